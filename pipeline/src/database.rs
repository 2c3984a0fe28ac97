//! The one SQLite file of a data directory: queues, state, sessions and books, written in group
//! commits.
//!
//! Every write is a job for one writer thread, which runs whatever is waiting in one transaction, each
//! job such that it can be undone by itself, and answers after the commit. So a hundred publishers, stages and
//! settlements share one fsync, and a job that fails takes nothing with it.

mod checksum;
mod error;
mod job;
mod line;
mod meters;
mod migrate;
mod open;
mod owner;
mod space;
#[cfg(test)]
mod tests;
mod trouble;
mod writer;

use std::{
    error::Error,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

#[cfg(feature = "sqs")]
pub(crate) use self::open::first_epoch;
pub(crate) use self::{
    checksum::{checked, checksum, damage},
    owner::Registration,
};
pub use self::{error::DatabaseError, meters::DatabaseStats, owner::Owner};
use self::{
    job::{Job, Task},
    meters::Meters,
    trouble::Trouble,
    writer::Writer,
};

/// What a write survives once it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// The death of this process, not a power cut: written, not fsynced. For leases and the like,
    /// which mean nothing after a reboot.
    Process,
    /// A power cut: the write-ahead log is fsynced.
    Fsync,
}

/// Which of the writes that wait are next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Before all that can wait: somebody outside of this process waits for it. Such writes keep their own order.
    First,
    /// In the order in which they came.
    Common,
}

/// A handle of an open data file; clones share it.
///
/// Dropping the last handle waits for the writes in hand and ends the writer thread.
#[derive(Clone)]
pub struct Database {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    registration: Arc<Registration>,
    reader: Arc<Mutex<Connection>>,
    others: watch::Receiver<u64>,
    meters: Arc<Meters>,
    trouble: Arc<Trouble>,
    /// `None` where it is only read, and while the last handle is dropped.
    jobs: Option<mpsc::Sender<Box<dyn Job>>>,
    writer: Option<JoinHandle<()>>,
}

/// How many writes may wait for the writer thread before callers wait to hand theirs in.
const JOBS_MAX: usize = 1024;

/// For how long pages of the file are free before they are given back.
const SPARE_FOR: Duration = Duration::from_secs(120);

impl Database {
    /// Opens the data file at `path`, usually `DIR/millstream.db`, and creates it and its directory
    /// where they are missing; a file of an older format becomes one of this. This process is registered as an owner in `owners/` beside the file.
    ///
    /// # Errors
    /// When the file cannot be created or read, is of another program, or of a format that this version cannot take
    /// over: a newer one, a very old one, or an older one while another process runs on it.
    pub fn open(path: &Path) -> Result<Self, DatabaseError> {
        Self::open_with(path, SPARE_FOR)
    }

    /// Like [`Database::open`]. What has been free in the file for `spare_for` is given back to the file system.
    ///
    /// # Errors
    /// As there.
    pub fn open_with(path: &Path, spare_for: Duration) -> Result<Self, DatabaseError> {
        let (connection, registration) = open::open(path)?;
        let reader = Arc::new(Mutex::new(open::reader(path)?));
        let (jobs, waiting) = mpsc::channel(JOBS_MAX);
        let (changed, others) = watch::channel(0);
        let (meters, trouble) = (Arc::new(Meters::default()), Arc::new(Trouble::new(path)));
        let told = (Arc::clone(&meters), Arc::clone(&trouble));
        let writer = Writer::new(path, connection, waiting, changed, told, spare_for)?;
        let writer = thread::Builder::new()
            .name("database".into())
            .spawn(move || writer.run())
            .map_err(open::io_error(path, "start the writer of"))?;
        let registration = Arc::new(registration);
        let inner = Inner {
            path: path.into(),
            registration,
            reader,
            others,
            meters,
            trouble,
            jobs: Some(jobs),
            writer: Some(writer),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Opens a data file that is there only to read it. Nothing is created, counted or brought to another format; every write
    /// answers [`DatabaseError::Closed`].
    ///
    /// # Errors
    /// When the file cannot be read, is of another program, or of another format.
    pub fn look(path: &Path) -> Result<Self, DatabaseError> {
        let reader = Arc::new(Mutex::new(open::look(path)?));
        let inner = Inner {
            path: path.into(),
            registration: Arc::new(Registration::of_reader(&open::owners(path))),
            reader,
            others: watch::channel(0).1,
            meters: Arc::new(Meters::default()),
            trouble: Arc::new(Trouble::new(path)),
            jobs: None,
            writer: None,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Runs `work` by itself within the next group commit and answers after that commit.
    ///
    /// `Ok` is durable. When `work` answers an error, what it changed is undone and nothing else is.
    /// When the future is dropped, the work may still be done.
    ///
    /// # Errors
    /// That of `work`, or why the commit failed: then nothing of it is kept.
    pub async fn write<T, E>(
        &self,
        durability: Durability,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DatabaseError> + Error + Send + 'static,
    {
        self.submit((durability, Turn::Common), work, |_| ()).await.answer().await
    }

    /// Hands in `work` like [`Database::write`], without waiting for its commit: writes of the same turn are done in
    /// the order they were submitted. `then` sees the result on the writer thread, after the commit and
    /// before the answer, also when nobody waits for it any more.
    pub(crate) async fn submit<T, E>(
        &self,
        asked: (Durability, Turn),
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        then: impl FnOnce(&Result<T, E>) + Send + 'static,
    ) -> Pending<T, E>
    where
        T: Send + 'static,
        E: From<DatabaseError> + Error + Send + 'static,
    {
        let (answer, pending) = oneshot::channel();
        if let Some(jobs) = &self.inner.jobs {
            // A writer that is gone drops the job, which the pending answer tells.
            let _sent = jobs.send(Box::new(Task::new(asked, self.trouble(), work, then, answer))).await;
        }
        Pending { answer: pending }
    }

    /// Hands in `work` when the writer has room for it, and never waits: for what is good to do and
    /// harmless to leave.
    pub(crate) fn post(&self, work: impl FnOnce(&Connection) -> Result<(), DatabaseError> + Send + 'static) {
        let (answer, _nobody) = oneshot::channel();
        if let Some(jobs) = &self.inner.jobs {
            let asked = (Durability::Process, Turn::Common);
            let _sent = jobs.try_send(Box::new(Task::new(asked, self.trouble(), work, |_| (), answer)));
        }
    }

    /// Runs `work` on one consistent view of the file, beside the writer.
    ///
    /// # Errors
    /// That of `work`.
    pub async fn read<T, E>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DatabaseError> + Error + Send + 'static,
    {
        let (reader, trouble) = (self.inner.reader.clone(), self.trouble());
        let read = move || {
            if let Some(trouble) = trouble.found() {
                return Err(trouble.into());
            }
            let reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
            // Dropped without a commit: there is nothing to commit.
            let view = reader.unchecked_transaction().map_err(DatabaseError::from)?;
            work(&view).map_err(|error| trouble.look(error))
        };
        tokio::task::spawn_blocking(read).await.unwrap_or_else(|_| Err(DatabaseError::Closed.into()))
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// What the commits of this process were like.
    pub fn stats(&self) -> DatabaseStats {
        self.inner.meters.stats()
    }

    /// Waits until the file cannot be used any more: the disk failed, or it is damaged. From then on every write and
    /// read answers so.
    pub async fn stopped(&self) -> DatabaseError {
        self.inner.trouble.wait().await
    }

    fn trouble(&self) -> Arc<Trouble> {
        Arc::clone(&self.inner.trouble)
    }

    /// This process's registration.
    pub fn owner(&self) -> Owner {
        self.inner.registration.owner()
    }

    /// Tells which other owners live.
    pub(crate) fn registration(&self) -> Arc<Registration> {
        self.inner.registration.clone()
    }

    /// Changes whenever another process, or another handle of this one, has written to the file: noticed
    /// within about 25 ms.
    pub(crate) fn others(&self) -> watch::Receiver<u64> {
        self.inner.others.clone()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.jobs = None;
        // The last handle may be dropped by a job, on the writer thread, which cannot wait for itself.
        if let Some(writer) = self.writer.take_if(|writer| writer.thread().id() != thread::current().id()) {
            let _panicked = writer.join();
        }
    }
}

/// A write that was handed in.
pub(crate) struct Pending<T, E> {
    answer: oneshot::Receiver<Result<T, E>>,
}

impl<T, E: From<DatabaseError>> Pending<T, E> {
    /// Waits for the commit.
    pub(crate) async fn answer(self) -> Result<T, E> {
        self.answer.await.unwrap_or_else(|_| Err(DatabaseError::Closed.into()))
    }
}
