//! The quarantine of the lake: read while the pipeline runs or not, in bounded memory, and the way back from it.
//!
//! Rows stay in the lake for ever. Which of them were replayed stands in the data file, or in the table beside queues on SQS, by message number: a row waits as
//! long as its message was not replayed more often than the row says. A message that is refused again after that leads to
//! a row with one replay more, which waits anew.

mod files;
mod filter;
mod reader;
mod replay;
mod replayed;
mod source;
#[cfg(test)]
mod tests;

use std::{io, path::PathBuf};

use stages::frame::FrameError;

pub use self::{
    filter::{Filter, Span},
    reader::{Picked, Reader, Take},
    replay::{Outcome, Replay, ReplayOptions},
    replayed::Replayed,
};
use crate::{database::DatabaseError, lake::LakeError, queue::QueueError};

/// What the books call those that come back.
pub const STAGE: &str = "replay";

/// Why the quarantine cannot be read, or nothing of it replayed.
#[derive(Debug, thiserror::Error)]
pub enum QuarantineError {
    /// A file or directory cannot be used.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A directory has more files than this process may open.
    #[error(
        "cannot open the {files} files of {} at once: merge them with `millstream compact`, or raise the limit of open \
         files (`ulimit -n`)", path.display()
    )]
    TooManyFiles {
        /// Which directory.
        path: PathBuf,
        /// How many there are.
        files: usize,
    },
    /// A file is no Parquet file, or a damaged one.
    #[error("cannot read {} as Parquet: {source}", path.display())]
    Parquet {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: parquet::errors::ParquetError,
    },
    /// A file lacks a column, or has one of another type.
    #[error("{} is no file of the quarantine: {source}", path.display())]
    Rows {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: FrameError,
    },
    /// The object store that the lake is in cannot be used.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// Messages cannot be made into frames.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The queue refused.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The data file cannot be used.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}
