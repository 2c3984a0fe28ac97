//! The embedded engine: queues in the data file, for any number of processes on one host.
//!
//! A frame is a small row and, apart from it, its bytes. What it waits for is in the row's `holder`: nobody, a
//! time, or the end of a lease; so every change of a delivery is one small update, and consuming,
//! publishing and changing state are one transaction.

mod balance;
mod commit;
mod dead;
mod depth;
mod guard;
mod handover;
mod lease;
mod line;
mod options;
mod publish;
mod receive;
mod settle;
mod shed;
mod signals;
mod tally;

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU32, Ordering},
    },
};

use rusqlite::Connection;
use tracing::warn;

pub(crate) use self::options::PUT_OFF_MAX;
pub use self::options::{Clock, SqliteOptions};
use self::{
    handover::Handover,
    signals::Signals,
    tally::{Tally, Touched},
};
use super::{Holder, Publish, QueueError, QueueName};
use crate::database::{Database, Durability, Pending, Turn};

/// The queues in one data file; clones share them. Open them once for each [`Database`].
///
/// Dropping the last clone gives back what its holders still have, uncounted.
#[derive(Clone)]
pub struct SqliteQueues {
    inner: Arc<Inner>,
}

struct Inner {
    database: Database,
    options: SqliteOptions,
    signals: Arc<Signals>,
    handover: Arc<Handover>,
    owners_checked_at: AtomicI64,
}

/// Workers and leases are counted through the process, so that no two are ever taken for each other.
static WORKERS: AtomicU32 = AtomicU32::new(1);
static LEASES: AtomicI64 = AtomicI64::new(1);

impl SqliteQueues {
    /// Opens the queues in `database`. The first to do so fixes the number of lanes.
    ///
    /// # Errors
    /// [`QueueError::Lanes`] when they were created with another number of lanes; when the file cannot be
    /// written or read.
    pub async fn open(database: Database, options: SqliteOptions) -> Result<Self, QueueError> {
        let (path, lanes) = (database.path().to_owned(), options.lanes);
        let bytes = database
            .write(Durability::Fsync, move |connection| match depth::fix_lanes(connection, lanes)? {
                stored if stored == lanes => Ok(depth::bytes(connection)?),
                stored => Err(QueueError::Lanes { path, stored, asked: lanes }),
            })
            .await?;
        Ok(Self::of(database, options, bytes))
    }

    /// The queues in a database that is only read; whatever would change them answers
    /// [`DatabaseError::Closed`](crate::database::DatabaseError::Closed).
    ///
    /// # Errors
    /// [`QueueError::Lanes`] when they were created with another number of lanes; when the file cannot be read.
    pub async fn open_to_read(database: Database, options: SqliteOptions) -> Result<Self, QueueError> {
        let (path, lanes) = (database.path().to_owned(), options.lanes);
        let read = move |connection: &Connection| match depth::lanes(connection)? {
            stored if stored == lanes || stored == 0 => Ok(depth::bytes(connection)?),
            stored => Err(QueueError::Lanes { path, stored, asked: lanes }),
        };
        let bytes = database.read(read).await?;
        Ok(Self::of(database, options, bytes))
    }

    fn of(database: Database, options: SqliteOptions, bytes: [u64; QueueName::ALL.len()]) -> Self {
        let inner = Inner {
            database,
            options,
            signals: Arc::new(Signals::new(bytes)),
            handover: Arc::default(),
            owners_checked_at: AtomicI64::new(i64::MIN),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The data file.
    pub fn database(&self) -> &Database {
        &self.inner.database
    }

    /// What the queues were opened with.
    pub fn options(&self) -> &SqliteOptions {
        &self.inner.options
    }

    /// See [`Queues::holder`](super::Queues::holder).
    pub fn holder(&self) -> Holder {
        Holder { owner: self.inner.database.owner(), worker: WORKERS.fetch_add(1, Ordering::Relaxed) }
    }

    /// Hands in a change to queues; who waits for what it brings about is woken after its commit.
    async fn change<T: Send + 'static>(
        &self,
        durability: Durability,
        work: impl FnOnce(&Connection, &mut Tally) -> Result<T, QueueError> + Send + 'static,
    ) -> Pending<(T, Touched), QueueError> {
        self.change_in((durability, Turn::Common), work).await
    }

    /// Like [`SqliteQueues::change`], with its turn.
    async fn change_in<T: Send + 'static>(
        &self,
        asked: (Durability, Turn),
        work: impl FnOnce(&Connection, &mut Tally) -> Result<T, QueueError> + Send + 'static,
    ) -> Pending<(T, Touched), QueueError> {
        let (signals, now) = (self.inner.signals.clone(), self.options().clock.now());
        let SqliteOptions { notify_bytes_max, notify_dead_bytes_max, .. } = self.inner.options;
        let (handover, settled) = (self.inner.handover.clone(), self.inner.handover.clone());
        let counted = move |connection: &Connection| {
            let mut tally = Tally::default();
            let value = work(connection, &mut tally)?;
            let written = mem::take(&mut tally.written);
            let mut touched = tally.write(connection)?;
            shed::shed(connection, &mut touched, QueueName::Notify, notify_bytes_max, now)?;
            shed::forget(connection, &mut touched, QueueName::Notify, notify_dead_bytes_max)?;
            written.into_iter().for_each(|written| handover.offer(written));
            Ok((value, touched))
        };
        let wake = move |result: &Result<(T, Touched), QueueError>| {
            settled.settle(result.is_ok());
            if let Ok((_, touched)) = result {
                signals.send(touched);
                if touched.shed > 0 {
                    let alerts = touched.shed;
                    warn!(alerts, "the queue notify is full: its oldest alerts are now dead letters");
                }
                if touched.forgotten > 0 {
                    let alerts = touched.forgotten;
                    warn!(
                        alerts,
                        "the oldest dead letters of notify were dropped: see notify.dead_bytes_max"
                    );
                }
            }
        };
        self.inner.database.submit(asked, counted, wake).await
    }

    /// See [`Queues::check`](super::Queues::check).
    pub fn check(&self, entry: &Publish) -> Result<(), QueueError> {
        let SqliteOptions { frame_bytes_max: max, lanes, .. } = self.inner.options;
        let frame = &entry.frame;
        if frame.bytes.len() > max {
            return Err(QueueError::TooLarge { frame: frame.id, bytes: frame.bytes.len(), max });
        }
        if frame.lane.0 >= lanes && !entry.queue.is_by_lane() {
            return Err(QueueError::Lane { frame: frame.id, lane: frame.lane, lanes });
        }
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let owner = self.database.owner();
        // When the writer has no room, the leases end with this process's registration.
        self.database.post(move |connection| Ok(lease::release(connection, owner)?));
    }
}

impl Holder {
    /// How the holder stands in a frame's row.
    fn key(self) -> i64 {
        i64::from(self.owner.0) << 32 | i64::from(self.worker)
    }
}
