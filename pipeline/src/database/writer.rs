//! The writer thread: takes every job that waits, and commits them together.

use std::{
    iter,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use rusqlite::{Connection, config::DbConfig};
use tokio::{
    runtime::{Builder, Runtime},
    sync::{mpsc, watch},
    time::timeout,
};

use super::{
    DatabaseError, Durability, job::Job, meters::Meters, open::io_error, space::Space, trouble::Trouble,
};
use crate::failpoint::fail_point;

/// How many jobs share a commit at most: what waits longer than theirs waits for the next.
const GROUP_MAX: usize = 256;

/// The least time from one commit to the next. Under little load every job would else come alone, and a
/// commit writes a dozen pages and fsyncs however little is in it; under much load a commit takes longer.
const PACE: Duration = Duration::from_millis(3);

/// How often the file is asked whether another process wrote to it.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Pages in the write-ahead log (8 KiB each) after which a commit also brings it into the file.
const CHECKPOINT_PAGES: i64 = 2048;

/// The log file is cut back to this size after it had to grow beyond.
const JOURNAL_BYTES: i64 = 64 << 20;

/// Memory for pages, as SQLite wants it: negative KiB.
const CACHE_KIB: i32 = -(32 << 10);

pub(super) struct Writer {
    connection: Connection,
    runtime: Runtime,
    jobs: mpsc::Receiver<Box<dyn Job>>,
    others: watch::Sender<u64>,
    synchronous: Durability,
    data_version: i64,
    looked_at: Instant,
    /// When the last commit began.
    began_at: Option<Instant>,
    trouble: Arc<Trouble>,
    meters: Arc<Meters>,
    space: Space,
}

impl Writer {
    pub(super) fn new(
        path: &Path,
        connection: Connection,
        jobs: mpsc::Receiver<Box<dyn Job>>,
        others: watch::Sender<u64>,
        (meters, trouble): (Arc<Meters>, Arc<Trouble>),
        spare_for: Duration,
    ) -> Result<Self, DatabaseError> {
        connection.pragma_update(None, "synchronous", "FULL")?;
        // Done by `checkpoint`: SQLite's own keeps it to itself when it fails.
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.pragma_update(None, "journal_size_limit", JOURNAL_BYTES)?;
        connection.pragma_update(None, "cache_size", CACHE_KIB)?;
        // What a savepoint may have to undo is kept in memory, not in a temporary file.
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        // Else SQLite plans a statement anew whenever its parameters change.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        let data_version = data_version(&connection)?;
        // Of the runtime only the timer is used: to wait for a job, but not longer than until the next look.
        let runtime = Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(io_error(path, "start the timer for writing"))?;
        let synchronous = Durability::Fsync;
        Ok(Self {
            connection,
            runtime,
            jobs,
            others,
            synchronous,
            data_version,
            looked_at: Instant::now(),
            began_at: None,
            trouble,
            meters,
            space: Space::new(spare_for),
        })
    }

    /// Until every handle is gone and every job is done.
    pub(super) fn run(mut self) {
        loop {
            let next = self.runtime.block_on(async { timeout(LOOK_EVERY, self.jobs.recv()).await });
            let idle = next.is_err();
            match next {
                Ok(Some(first)) => self.commit(first),
                Ok(None) => return,
                Err(_quiet) => {}
            }
            self.give_space_back(idle);
            self.look_for_others();
        }
    }

    fn commit(&mut self, first: Box<dyn Job>) {
        let mut group = self.gather(first);
        let began_at = Instant::now();
        self.began_at = Some(began_at);
        let committed = match self.trouble.found() {
            Some(error) => Err(error),
            None => self.transact(&mut group).map_err(|error| self.recover(error)),
        };
        if committed.is_err() {
            // Those that came meanwhile are told, too, and not after as long a wait of their own.
            group.extend(iter::from_fn(|| self.jobs.try_recv().ok()));
        }
        self.meters.committed(group.len(), began_at.elapsed());
        for job in group {
            job.answer(committed.clone());
        }
    }

    /// The jobs that wait, and those that come until it is time for the next commit.
    fn gather(&mut self, first: Box<dyn Job>) -> Vec<Box<dyn Job>> {
        let mut group = vec![first];
        while group.len() < GROUP_MAX {
            if let Ok(job) = self.jobs.try_recv() {
                group.push(job);
                continue;
            }
            let wait = self.began_at.map_or(Duration::ZERO, |at| PACE.saturating_sub(at.elapsed()));
            if wait.is_zero() {
                break;
            }
            match self.runtime.block_on(async { timeout(wait, self.jobs.recv()).await }) {
                Ok(Some(job)) => group.push(job),
                Ok(None) | Err(_) => break,
            }
        }
        group
    }

    fn transact(&mut self, group: &mut [Box<dyn Job>]) -> Result<(), DatabaseError> {
        let durability = group.iter().map(|job| job.durability()).max().unwrap_or(Durability::Fsync);
        self.synchronise(durability)?;
        self.execute("BEGIN IMMEDIATE")?;
        for job in group {
            self.execute("SAVEPOINT job")?;
            let keep = job.run(&self.connection);
            if let Some(trouble) = self.trouble.found() {
                return Err(trouble);
            }
            if self.connection.is_autocommit() {
                return Err(DatabaseError::Undone);
            }
            if !keep {
                self.execute("ROLLBACK TO job")?;
            }
            self.execute("RELEASE job")?;
        }
        fail_point!("commit_before");
        self.execute("COMMIT")?;
        fail_point!("commit_after");
        self.checkpoint()
    }

    /// Brings the write-ahead log into the file once it is long. That it finds no room or not everything may be
    /// moved yet is no matter, the next one goes on; a disk that fails is one: what the log
    /// holds may then not be on it, though its pages look clean from here on.
    fn checkpoint(&self) -> Result<(), DatabaseError> {
        let pages =
            |sql: &str| self.connection.prepare_cached(sql)?.query_row([], |row| row.get::<_, i64>(1));
        let checked = pages("PRAGMA wal_checkpoint(NOOP)").and_then(|in_log| match in_log {
            CHECKPOINT_PAGES.. => pages("PRAGMA wal_checkpoint(PASSIVE)"),
            _ => Ok(in_log),
        });
        // What was committed stays so: an error is answered only where nothing more will be.
        if let Err(error) = checked {
            self.trouble.look_at(&error.into());
        }
        self.trouble.found().map_or(Ok(()), Err)
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }

    /// In WAL mode `FULL` fsyncs the log at each commit, `NORMAL` only before a checkpoint.
    fn synchronise(&mut self, durability: Durability) -> rusqlite::Result<()> {
        if self.synchronous != durability {
            let level = match durability {
                Durability::Process => "NORMAL",
                Durability::Fsync => "FULL",
            };
            self.connection.pragma_update(None, "synchronous", level)?;
            self.synchronous = durability;
        }
        Ok(())
    }

    /// Nothing of a failed group is kept. After an IO error nothing is known of the file either: a
    /// kernel may report a failed fsync once and then forget the pages it could not write.
    fn recover(&self, error: DatabaseError) -> DatabaseError {
        let undone = self.connection.is_autocommit() || self.execute("ROLLBACK").is_ok();
        self.trouble.look_at(&error);
        if let DatabaseError::Sqlite(cause) = &error
            && !undone
        {
            self.trouble.stop(Arc::clone(cause));
        }
        self.trouble.found().unwrap_or(error)
    }

    fn give_space_back(&mut self, idle: bool) {
        if self.trouble.found().is_some() || !self.space.is_due() {
            return;
        }
        // What is lost of it in a power cut is given back anew.
        let step = self.synchronise(Durability::Process);
        if let Err(error) = step.and_then(|()| self.space.step(&mut self.connection, idle)) {
            self.recover(error.into());
        }
    }

    fn look_for_others(&mut self) {
        if self.looked_at.elapsed() < LOOK_EVERY {
            return;
        }
        self.looked_at = Instant::now();
        // A look that fails is made again; the next write tells what is wrong.
        if let Ok(version) = data_version(&self.connection)
            && version != self.data_version
        {
            self.data_version = version;
            self.others.send_modify(|changes| *changes += 1);
        }
    }
}

/// Changes when another connection commits, not when this one does.
fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}
