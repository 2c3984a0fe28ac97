//! Where stages keep their state, lane by lane: numbered deltas and, now and then, a snapshot.
//!
//! Deltas are written by [`Queues::commit`](crate::queue::Queues::commit), together with what led to them.

pub(crate) mod sqlite;

use stages::frame::{FrameId, Lane};

use crate::{database::Database, queue::QueueError};

/// The state of lanes in one of the stores; clones share it.
#[derive(Clone)]
pub enum StateStore {
    /// Beside the embedded queues.
    Sqlite(Database),
}

/// A lane's state, or what is new in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The whole state after the change with this number. Take it first, where there is one.
    pub snapshot: Option<(u64, Vec<u8>)>,
    /// The changes after it, without a gap, in order.
    pub deltas: Vec<(u64, Vec<u8>)>,
    /// Frames that these dealt with, in order, where a commit is no transaction.
    pub applied: Vec<FrameId>,
    /// The last number: the next change has this plus 1. 0 when there is no state.
    pub number: u64,
}

impl StateStore {
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
        }
    }
}
