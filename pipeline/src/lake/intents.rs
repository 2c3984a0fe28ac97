//! What store is about to write, and what an interrupted worker had written, by frame.
//!
//! An intent is of a *roll*: its files, and its frames. It is opened before the first file is written and finished once all
//! are there. Whoever is handed a frame of one that is open resolves it, after which it says what of it came into the lake.

#[cfg(feature = "sqs")]
mod dynamodb;
mod sqlite;

use stages::{frame::FrameId, plan::Counts, store::Partition};

pub(super) use self::sqlite::all;
pub(crate) use self::sqlite::forget;
use super::{LakeError, Named, collection::GroupKey};
use crate::queue::{Ending, Queues, Receipt, SqliteQueues};
#[cfg(feature = "sqs")]
use crate::state::dynamodb::Table;

/// Where intents are kept; clones share it.
#[derive(Clone)]
pub enum Intents {
    /// In the data file: they change in one transaction with the queues.
    Sqlite(SqliteQueues),
    /// In a table beside queues of any kind.
    #[cfg(feature = "sqs")]
    DynamoDb(TableIntents),
}

/// Intents in a table, for any number of processes.
#[cfg(feature = "sqs")]
#[derive(Clone)]
pub struct TableIntents {
    table: Table,
    queues: Queues,
}

/// A file of a roll: the rows of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlannedFile {
    /// Inside the lake.
    pub(super) path: String,
    pub(super) key: GroupKey,
    pub(super) partition: Partition,
}

/// A frame for a roll, and the rolls that had it when it was looked at: none of these writes any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) frame: FrameId,
    pub(super) rolls: Vec<String>,
}

/// A roll that its own worker gave up, and resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GivenUp {
    pub(super) roll: String,
    /// Whether any of its files is in the lake.
    pub(super) wrote: bool,
}

/// All that is known of a roll before its first file is written.
#[derive(Debug)]
pub(super) struct Intent<'a> {
    pub(super) roll: &'a str,
    pub(super) claims: &'a [Claim],
    #[cfg_attr(not(feature = "sqs"), expect(dead_code, reason = "the data file knows who holds a frame"))]
    pub(super) given_up: &'a [GivenUp],
    pub(super) files: Vec<PlannedFile>,
}

/// A roll that somebody opened and did not finish, with its files.
#[derive(Debug, Clone)]
pub(super) struct Interrupted {
    pub(super) roll: String,
    pub(super) paths: Vec<String>,
}

/// What there is to know of frames that were just handed out.
pub(super) enum Looked {
    /// One of them is part of an open roll: resolve it, then look again.
    Interrupted(Interrupted),
    /// What became of each so far.
    Past(Vec<Past>),
}

/// What became of a frame so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Past {
    /// Partitions whose rows are in the lake.
    pub(super) written: Vec<Partition>,
    /// The rolls that had it.
    pub(super) rolls: Vec<String>,
    /// All its rows are in the lake, and counted: it only has to be settled.
    pub(super) finished: bool,
}

impl Intents {
    /// Where these queues have them; none where they have no table for them.
    pub fn of(queues: &Queues) -> Option<Self> {
        match queues {
            Queues::Sqlite(engine) => Some(Self::Sqlite(engine.clone())),
            #[cfg(feature = "sqs")]
            Queues::Sqs(engine) => Some(Self::in_table(engine.table()?.clone(), queues.clone())),
        }
    }

    /// Intents in `table`, of a store worker that takes from `queues`.
    #[cfg(feature = "sqs")]
    pub fn in_table(table: Table, queues: Queues) -> Self {
        Self::DynamoDb(TableIntents { table, queues })
    }

    /// What became of frames that were just handed out, whose rows are of these groups.
    pub(super) async fn look(&self, frames: &[(FrameId, GroupKey)]) -> Result<Looked, LakeError> {
        match self {
            Self::Sqlite(queues) => sqlite::look(queues, frames.to_vec()).await,
            #[cfg(feature = "sqs")]
            Self::DynamoDb(intents) => Ok(intents.look(frames).await?),
        }
    }

    /// Opens a roll, provided that no roll but those of the worker itself had one of its frames since it was looked at: all
    /// `receipts` are still held, or its claim comes first. Only then may its first file be written.
    pub(super) async fn open(&self, intent: &Intent<'_>, receipts: &[Receipt]) -> Result<(), LakeError> {
        match self {
            Self::Sqlite(queues) => sqlite::open(queues, intent, receipts).await,
            #[cfg(feature = "sqs")]
            Self::DynamoDb(intents) => Ok(intents.open(intent).await?),
        }
    }

    /// Settles the frames of a roll whose files are all in the lake, and counts their rows; lost, if somebody resolved it
    /// meanwhile.
    pub(super) async fn finish(
        &self,
        roll: &str,
        claims: &[Claim],
        receipts: &[Receipt],
        counts: Counts,
    ) -> Result<(), LakeError> {
        match self {
            Self::Sqlite(queues) => {
                let ending = Ending::of(receipts);
                let finished = sqlite::finish(queues, roll, claims, receipts, counts).await;
                ending.ended(&finished);
                finished
            }
            #[cfg(feature = "sqs")]
            Self::DynamoDb(intents) => Ok(intents.finish(roll, receipts, counts).await?),
        }
    }

    /// Closes a roll for good, after the lake was made to take no more of its files. Of these only `there` exist. Answers
    /// which count: somebody else may have closed it before.
    pub(super) async fn resolve(
        &self,
        interrupted: &Interrupted,
        there: Vec<String>,
    ) -> Result<Vec<String>, LakeError> {
        match self {
            Self::Sqlite(queues) => sqlite::resolve(queues, &interrupted.roll, there).await,
            #[cfg(feature = "sqs")]
            Self::DynamoDb(intents) => Ok(intents.resolve(interrupted, there).await?),
        }
    }

    /// Everything that is named by a roll whose files may still be looked for in the lake.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn all(&self) -> Result<Named, LakeError> {
        match self {
            Self::Sqlite(queues) => super::read_intents(queues.database()).await,
            #[cfg(feature = "sqs")]
            Self::DynamoDb(intents) => Ok(intents.all().await?),
        }
    }
}

impl Claim {
    /// On a frame that no roll had.
    #[cfg(test)]
    pub(super) fn first(frame: FrameId) -> Self {
        Self { frame, rolls: Vec::new() }
    }
}
