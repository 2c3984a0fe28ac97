//! Where stages keep their state, lane by lane: numbered deltas and, now and then, a snapshot.
//!
//! Deltas are written by [`Queues::commit`](crate::queue::Queues::commit), together with what led to them, or, where state
//! is kept apart from the queues, by the store itself: then they name the frames that led to them.

#[cfg(feature = "sqs")]
pub mod dynamodb;
pub(crate) mod sqlite;

use stages::frame::{FrameId, Lane};

use crate::{
    database::Database,
    queue::{QueueError, Queues},
};

/// So many ids of frames that were dealt with are remembered of a lane, where that is how one that comes again is told.
pub const APPLIED_MAX: usize = 4096;

/// The state of lanes in one of the stores; clones share it.
#[derive(Clone)]
pub enum StateStore {
    /// Beside the embedded queues.
    Sqlite(Database),
    /// In a table, for any number of processes.
    #[cfg(feature = "sqs")]
    DynamoDb(dynamodb::Table),
}

/// A lane's state, or what is new in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The whole state after the change with this number. Take it first, where there is one.
    pub snapshot: Option<(u64, Vec<u8>)>,
    /// The changes after it, without a gap, in order.
    pub deltas: Vec<(u64, Vec<u8>)>,
    /// The last number: the next change has this plus 1. 0 when there is no state.
    pub number: u64,
    /// The frames that the changes deal with, in order, the last [`APPLIED_MAX`] at most.
    pub applied: Vec<FrameId>,
}

impl StateStore {
    /// The state that belongs to these queues; none where they have no table for it.
    pub fn of(queues: &Queues) -> Option<Self> {
        match queues {
            Queues::Sqlite(engine) => Some(Self::Sqlite(engine.database().clone())),
            #[cfg(feature = "sqs")]
            Queues::Sqs(engine) => engine.table().cloned().map(Self::DynamoDb),
        }
    }

    /// The state of `stage` in `lane`; with `since`, only what is new after that number, unless a
    /// snapshot has replaced part of it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn load(
        &self,
        stage: &'static str,
        lane: Lane,
        since: Option<u64>,
    ) -> Result<Loaded, QueueError> {
        match self {
            Self::Sqlite(database) => {
                database.read(move |connection| sqlite::load(connection, stage, lane, since)).await
            }
            #[cfg(feature = "sqs")]
            Self::DynamoDb(table) => Ok(table.load(stage, lane, since).await?),
        }
    }

    /// The number of the last change of `stage` in `lane`: whether it has moved on.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn number(&self, stage: &'static str, lane: Lane) -> Result<u64, QueueError> {
        match self {
            Self::Sqlite(database) => {
                database.read(move |connection| sqlite::last(connection, stage, lane)).await
            }
            #[cfg(feature = "sqs")]
            Self::DynamoDb(table) => Ok(table.number(stage, lane).await?),
        }
    }
}
