//! The lake: a directory of Parquet datasets that anybody may read at any time.
//!
//! A file appears whole or not at all, and its rows appear once, whatever is killed or stopped when:
//!
//! 1. The rows of a *roll* (a set of frames that the store worker holds) are sorted and cut at
//!    partitions; each partition becomes one file with a name made from the time and the frames' ids.
//! 2. A staging directory is made, then an *intent* (which files, from which frames) is committed, provided
//!    the frames are still held.
//! 3. Each file is written in the staging directory, synced, then linked to its name; a link never replaces.
//! 4. One commit settles the frames and removes the intent.
//!
//! Whoever is later handed a frame that an intent names first resolves that intent: it
//! renames the roll's staging directory, after which a worker that was only asleep can link nothing
//! more, sees which files are there, and leaves their rows out when it writes the frame's others.

mod collection;
mod intents;
mod meters;
mod parquet;
mod roll;
mod staging;
mod store;

pub use self::{
    meters::{DatasetStats, LakeMeters},
    staging::Lake,
    store::{Mode, Store, StoreOptions},
};

use crate::error::Class;

/// What went wrong between the queue and the lake.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// A file or directory could not be written.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file or directory.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// There is no lake, and none can be made.
    #[error("cannot create {path}: {source}; make that possible, or choose another directory (store.lake)")]
    Open {
        /// The directory.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file could not be filled with rows.
    #[error("cannot write {path}: {source}")]
    Parquet {
        /// What it was to become, inside the lake.
        path: String,
        /// What the encoder says, or the system below it.
        source: ::parquet::errors::ParquetError,
    },
    /// A frame in the store queue is none that store reads.
    #[error(transparent)]
    Frame(#[from] stages::frame::FrameError),
    /// The queue or the database refused.
    #[error(transparent)]
    Queue(#[from] crate::queue::QueueError),
    /// The worker's own thread ended early.
    #[error("the writer of Parquet files ended early: {0}")]
    Thread(#[from] tokio::task::JoinError),
}

impl LakeError {
    /// What a caller can do about it. A lake that cannot be written or read now may be so later.
    fn class(&self) -> Class {
        match self {
            Self::Io { .. } | Self::Parquet { .. } => Class::Retry,
            Self::Frame(_) => Class::Dead,
            Self::Queue(error) => error.class(),
            Self::Open { .. } | Self::Thread(_) => Class::Fatal,
        }
    }

    fn io(action: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Io { action, path, source }
    }
}
