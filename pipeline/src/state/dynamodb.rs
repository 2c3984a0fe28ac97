//! State in one table of DynamoDB, for any number of processes: of each lane of a stage a *head* with the number of the
//! last change, deltas, and a snapshot now and then.
//!
//! What a topology has beside it is in the same table: the number of lanes, the epochs of ingest, the books, and what
//! store is about to write (`lake/intents/dynamodb.rs`). Keys are two strings:
//!
//! | `pk` | `sk` | holds |
//! |---|---|---|
//! | `state#STAGE#LANE` | `head` | `number`, `snapshot` (the key of the last), `writer` of the last change, the books of the lane |
//! | | `delta#NUMBER` | the changes `first` to `NUMBER` of one commit, and the ids of the frames `applied` |
//! | | `snapshot#NUMBER#WRITER` | the whole state after `NUMBER`, and the ids last applied |
//! | | `part#NUMBER#WRITER#…` | a piece of bytes that are too large for one item, unless they go to an object store |
//! | `meta` | `lanes`, `ingest_epoch` | a `number` each |
//! | `books#STAGE` | a shard | the books of stages without state |
//! | `rolls` | the roll's name | what store is about to write |
//! | `frame#ID` | `frame` | the rolls that have this frame |
//! | `outbox#QUEUE#ID` | `outbox` | what this frame of a queue without order led to, or which frame has that of the same commit |
//! | `replayed#…`, `replay` | | what came back from the quarantine (`quarantine/replayed/claims.rs`) |
//!
//! The head is small, since it is read before each plan and written with each commit, and DynamoDB bills whole items. All
//! other items of a commit are written before it or with it: what no head points to is nothing, and goes with the next
//! snapshot. A write tells its own work by its `writer`, so that an answer that was lost is not taken for a fence.

mod action;
mod append;
mod books;
mod calls;
mod create;
mod error;
mod item;
mod load;
mod meta;
mod outbox;
mod value;

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, Hasher, RandomState},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;

pub(crate) use self::{
    action::{Action, Change},
    calls::ACTIONS_MAX,
    item::{Item, Key, binary, bytes_of, number_of, numeric, text, text_of, texts_of},
    value::Value,
};
pub use self::{error::TableError, outbox::Outbox, value::PART_BYTES_MAX};
use crate::clock;

/// Which table, and what it has to keep.
#[derive(Debug, Clone)]
pub struct TableOptions {
    /// Its name.
    pub name: String,
    /// For how long the queues keep a frame: as long as frames that were written are remembered.
    pub retention: Duration,
}

/// The table of a topology; clones share it.
#[derive(Clone)]
pub struct Table {
    inner: Arc<Inner>,
    /// Where large states go, if not in pieces into the table.
    #[cfg(feature = "object-store")]
    objects: Option<value::Objects>,
}

struct Inner {
    client: Client,
    options: TableOptions,
    /// Names this handle among all that write.
    writer: u64,
    writes: AtomicU64,
    requests: Mutex<BTreeMap<&'static str, u64>>,
}

impl Table {
    /// A handle on the table; nothing is asked yet.
    pub fn new(config: &SdkConfig, options: TableOptions) -> Self {
        // Random, as every such hasher is: the table has no place where processes could be numbered.
        let writer = RandomState::new().build_hasher().finish();
        let (client, writes, requests) = (Client::new(config), AtomicU64::new(0), Mutex::default());
        let inner = Inner { client, options, writer, writes, requests };
        Self {
            inner: Arc::new(inner),
            #[cfg(feature = "object-store")]
            objects: None,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.inner.options.name
    }

    /// How many requests were made so far to read and write items, by kind.
    pub fn requests(&self) -> BTreeMap<&'static str, u64> {
        self.inner.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One more request.
    fn requested(&self, kind: &'static str) {
        *self.inner.requests.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default() += 1;
    }

    /// A name for one write that no other write has, of at most 36 characters.
    pub(crate) fn write_name(&self) -> String {
        format!("{:016x}-{}", self.inner.writer, self.inner.writes.fetch_add(1, Ordering::Relaxed))
    }

    /// When something that is written now may go, in seconds since 1970.
    pub(crate) fn expires_at(&self) -> u64 {
        let now = u64::try_from(clock::now() / 1_000_000).unwrap_or_default();
        now.saturating_add(self.inner.options.retention.as_secs())
    }
}
