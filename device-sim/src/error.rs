//! What can go wrong, in words for the person at the terminal.

use std::{
    io,
    path::{Path, PathBuf},
};

use parquet::errors::ParquetError;

/// Why the simulator could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The request itself makes no sense.
    #[error("{0}")]
    Usage(String),
    /// A file or directory cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried, as a verb.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// A line of an input file breaks its format.
    #[error("{}:{line}: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of the lake is no Parquet file, or lacks what the check needs.
    #[error("cannot read {} as Parquet: {reason}", path.display())]
    Lake {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The broker answered in a way that trying again does not change.
    #[error("{broker} does not serve client {client}: {reason}")]
    Broker {
        /// The broker's address.
        broker: String,
        /// The MQTT client identifier.
        client: String,
        /// What it said, and the way out.
        reason: String,
    },
    /// A publish cannot be put into an MQTT packet.
    #[error("cannot publish to topic {topic:?}: {reason}")]
    Publish {
        /// The topic.
        topic: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A task of the simulator ended by a panic.
    #[error("a connection's task failed: {0}")]
    Task(String),
}

impl SimError {
    /// The process's exit code: 2 where the input or its files are wrong, 1 where the broker is.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_)
            | Self::File { .. }
            | Self::Line { .. }
            | Self::Lake { .. }
            | Self::Publish { .. } => 2,
            Self::Broker { .. } | Self::Task(_) => 1,
        }
    }

    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { action, path: path.to_path_buf(), source }
    }

    pub(crate) fn line(path: &Path, line: u64, reason: impl ToString) -> Self {
        Self::Line { path: path.to_path_buf(), line, reason: reason.to_string() }
    }

    pub(crate) fn parquet(path: &Path) -> impl Fn(ParquetError) -> Self {
        move |error| Self::Lake { path: path.to_path_buf(), reason: error.to_string() }
    }
}
