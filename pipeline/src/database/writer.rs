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
    DatabaseError, Durability, Turn, job::Job, line::Line, meters::Meters, open::io_error, space::Space,
    trouble::Trouble,
};
use crate::failpoint::fail_point;

/// How many jobs share a commit at most: what waits longer than theirs waits for the next.
const GROUP_MAX: usize = 256;

/// The least time from one commit to the next. Under little load every job would else come alone, and a
/// commit writes a dozen pages and fsyncs however little is in it; under much load a commit takes longer. Who comes first
/// does not wait for it.
const PACE: Duration = Duration::from_millis(5);

/// For how long jobs that can wait are done before a commit, though more of them wait: who is answered by it waits for
/// the last of them. On a slow disk for as long as the last commit took, so that what it costs is shared by more.
const GROUP_TIME: Duration = Duration::from_millis(2);

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
    line: Line,
    others: watch::Sender<u64>,
    synchronous: Durability,
    data_version: i64,
    looked_at: Instant,
    /// When the last commit began.
    began_at: Option<Instant>,
    /// How long it took to make the last transaction durable.
    synced_in: Duration,
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
            line: Line::default(),
            others,
            synchronous,
            data_version,
            looked_at: Instant::now(),
            began_at: None,
            synced_in: Duration::ZERO,
            trouble,
            meters,
            space: Space::new(spare_for),
        })
    }

    /// Until every handle is gone and every job is done.
    pub(super) fn run(mut self) {
        loop {
            // What the last commit left has waited long enough.
            let mut idle = false;
            if self.line.len() == 0 {
                match self.wait(LOOK_EVERY) {
                    Some(Some(first)) => {
                        self.line.push(first);
                        self.gather();
                    }
                    Some(None) => return,
                    None => idle = true,
                }
            }
            if !idle {
                self.take_in();
                self.commit();
            }
            self.give_space_back(idle);
            self.look_for_others();
        }
    }

    /// Waits for a job, but not for longer than this; the inner one is none when none will come any more.
    fn wait(&mut self, at_most: Duration) -> Option<Option<Box<dyn Job>>> {
        self.runtime.block_on(async { timeout(at_most, self.jobs.recv()).await }).ok()
    }

    /// Waits for more jobs until it is time for the next commit.
    fn gather(&mut self) {
        loop {
            self.take_in();
            let wait = self.began_at.map_or(Duration::ZERO, |at| PACE.saturating_sub(at.elapsed()));
            if wait.is_zero() || self.line.is_urgent() || self.line.len() >= GROUP_MAX {
                return;
            }
            match self.wait(wait) {
                Some(Some(job)) => self.line.push(job),
                Some(None) | None => return,
            }
        }
    }

    /// Lets those that were handed in meanwhile stand in line.
    fn take_in(&mut self) {
        while self.line.len() < GROUP_MAX
            && let Ok(job) = self.jobs.try_recv()
        {
            self.line.push(job);
        }
    }

    fn commit(&mut self) {
        let began_at = Instant::now();
        self.began_at = Some(began_at);
        let mut group = Vec::with_capacity(self.line.len());
        let committed = match self.trouble.found() {
            Some(error) => Err(error),
            None => self.transact(&mut group).map_err(|error| self.recover(error)),
        };
        if committed.is_err() {
            // Those that wait or came meanwhile are told, too, and not after as long a wait of their own.
            group.extend(self.line.drain());
            group.extend(iter::from_fn(|| self.jobs.try_recv().ok()));
        }
        self.meters.committed(group.len(), began_at.elapsed());
        let durable = committed.is_ok();
        for job in group {
            job.answer(committed.clone());
        }
        if durable {
            self.checkpoint();
        }
    }

    /// Does those that come first, and the others for a while; and commits them.
    fn transact(&mut self, group: &mut Vec<Box<dyn Job>>) -> Result<(), DatabaseError> {
        let (mut others_since, mut open, mut keeps) = (None::<Instant>, true, false);
        let group_time = GROUP_TIME.max(self.synced_in);
        self.synchronise(self.line.durability())?;
        self.execute("BEGIN IMMEDIATE")?;
        while let Some(mut job) = self.line.next(self.synchronous) {
            if job.turn() == Turn::Common {
                others_since.get_or_insert_with(Instant::now);
            }
            // The first that is kept needs no savepoint, which would keep a copy of each page that a write touches.
            let ready = match (open, keeps) {
                (false, _) => self.execute("BEGIN IMMEDIATE"),
                (true, false) => Ok(()),
                (true, true) => self.execute("SAVEPOINT job"),
            };
            let keep = ready.is_ok() && job.run(&self.connection);
            group.push(job);
            ready?;
            if let Some(trouble) = self.trouble.found() {
                return Err(trouble);
            }
            if self.connection.is_autocommit() {
                return Err(DatabaseError::Undone);
            }
            open = true;
            match (keep, keeps) {
                (true, true) => self.execute("RELEASE job")?,
                (true, false) => keeps = true,
                (false, true) => {
                    self.execute("ROLLBACK TO job")?;
                    self.execute("RELEASE job")?;
                }
                (false, false) => {
                    self.execute("ROLLBACK")?;
                    open = false;
                }
            }
            // Who cannot wait may have come meanwhile.
            self.take_in();
            let enough =
                group.len() >= GROUP_MAX || others_since.is_some_and(|at| at.elapsed() >= group_time);
            if enough && !self.line.is_urgent() {
                break;
            }
        }
        if !open {
            return Ok(());
        }
        fail_point!("commit_before");
        let commits_at = Instant::now();
        self.execute("COMMIT")?;
        self.synced_in = commits_at.elapsed();
        fail_point!("commit_after");
        Ok(())
    }

    /// Brings the write-ahead log into the file once it is long. That it finds no room or not everything may be
    /// moved yet is no matter, the next one goes on; a disk that fails is one: what the log
    /// holds may then not be on it, though its pages look clean from here on.
    fn checkpoint(&self) {
        let pages =
            |sql: &str| self.connection.prepare_cached(sql)?.query_row([], |row| row.get::<_, i64>(1));
        let checked = pages("PRAGMA wal_checkpoint(NOOP)").and_then(|in_log| match in_log {
            CHECKPOINT_PAGES.. => pages("PRAGMA wal_checkpoint(PASSIVE)"),
            _ => Ok(in_log),
        });
        // What was committed stays so, and was answered: an error is told to those who come next.
        if let Err(error) = checked {
            self.trouble.look_at(&error.into());
        }
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
