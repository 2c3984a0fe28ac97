use std::path::PathBuf;

use stages::frame::{FrameId, Lane};

use super::QueueName;
#[cfg(feature = "sqs")]
use crate::state::dynamodb::TableError;
use crate::{database::DatabaseError, error::Class};

/// Why a queue refused an entry.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QueueError {
    /// The lease is gone: the frame is handed out again, or settled by another.
    #[error("the lease of frame {frame} in queue {queue} is lost: what was made of it must not be kept")]
    Lost {
        /// Where it was leased from.
        queue: QueueName,
        /// Which frame.
        frame: FrameId,
    },
    /// A frame over the limit; nothing was sent.
    #[error(
        "frame {frame} of {bytes} bytes is over frame_bytes_max = {max}: close frames earlier or raise the limit"
    )]
    TooLarge {
        /// Which frame.
        frame: FrameId,
        /// Its encoded size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A frame of a lane that these queues do not have; nothing was sent.
    #[error("frame {frame} is of lane {lane}, the queues have lanes 0 to {}", lanes.saturating_sub(1))]
    Lane {
        /// Which frame.
        frame: FrameId,
        /// The lane in its header.
        lane: Lane,
        /// How many lanes there are.
        lanes: u16,
    },
    /// Another replay of the quarantine was faster; nothing was published.
    #[error("message {message} was replayed by another run meanwhile")]
    Replayed {
        /// Which message.
        message: u64,
    },
    /// The state of the lane is further on: another holder has it.
    #[error(
        "state {number} of {stage} in lane {lane} does not follow {last}: another holder has moved it on"
    )]
    Fenced {
        /// Whose state.
        stage: &'static str,
        /// In which lane.
        lane: Lane,
        /// The number that was to be added.
        number: u64,
        /// The last one there is.
        last: u64,
    },
    /// The state has what this frame changes, and so long ago that the lane does not say so any more.
    #[error("frame {frame} was applied before: what it led to is saved, and nothing more may come of it")]
    Applied {
        /// Which frame.
        frame: FrameId,
    },
    /// The state that was saved is none that this version of a stage reads.
    #[error(
        "the saved state of {stage} in lane {lane} cannot be used: {reason}; run the version of millstream \
         that wrote it"
    )]
    State {
        /// Whose state.
        stage: &'static str,
        /// Of which lane.
        lane: Lane,
        /// What is wrong with it.
        reason: String,
    },
    /// The queues were created with another number of lanes.
    #[error(
        "the queues in {} have {stored} lanes and cannot be opened with {asked}: set lanes to {stored}, \
         or run them dry and start with a new data directory", path.display()
    )]
    Lanes {
        /// The data file.
        path: PathBuf,
        /// How many lanes it was created with.
        stored: u16,
        /// How many the config asks for.
        asked: u16,
    },
    /// The data file cannot be written or read.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The queues of another engine, for something that is made for the embedded one.
    #[error("{what} needs the embedded engine: set queues.engine to sqlite")]
    Embedded {
        /// What needs it.
        what: &'static str,
    },
    /// SQS did not do what it was asked for.
    #[cfg(feature = "sqs")]
    #[error(transparent)]
    Sqs(#[from] super::SqsError),
    /// The table of the state cannot be written or read.
    #[cfg(feature = "sqs")]
    #[error(transparent)]
    Table(#[from] TableError),
}

impl QueueError {
    /// What a caller can do about it. After [`QueueError::Lost`] and [`QueueError::Fenced`] the frame comes again,
    /// to a holder that has loaded the lane's state; after [`QueueError::Applied`] it is only settled.
    pub fn class(&self) -> Class {
        match self {
            Self::Lost { .. } | Self::Fenced { .. } | Self::Applied { .. } | Self::Replayed { .. } => {
                Class::Retry
            }
            Self::TooLarge { .. } | Self::Lane { .. } => Class::Dead,
            Self::State { .. } | Self::Lanes { .. } | Self::Embedded { .. } => Class::Fatal,
            Self::Database(error) => error.class(),
            #[cfg(feature = "sqs")]
            Self::Sqs(error) => error.class(),
            #[cfg(feature = "sqs")]
            Self::Table(error) => error.class(),
        }
    }
}

impl From<rusqlite::Error> for QueueError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.into())
    }
}
