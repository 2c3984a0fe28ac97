//! The embedded engine under test: its own clock, and handles in place of processes.

use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use millstream::{
    database::Database,
    queue::{Clock, Queues, SqliteOptions, SqliteQueues},
    state::StateStore,
};
use tempfile::TempDir;

use crate::engine::{DEDUPE_WINDOW, Engine, LANES, Limits, MAX_ATTEMPTS};

pub(crate) struct Sqlite {
    directory: TempDir,
    limits: Limits,
    now: Arc<AtomicI64>,
    current: Option<Process>,
    /// Handles whose owner is held for dead, though they go on: like a process that was only asleep.
    asleep: Vec<Process>,
}

/// A handle registers as an owner, as a process does.
struct Process {
    queues: SqliteQueues,
    lock_file: PathBuf,
}

impl Sqlite {
    async fn open(&self, limits: Limits) -> Process {
        let before = self.lock_files();
        let database = Database::open(&self.directory.path().join("millstream.db")).expect("opened");
        let now = self.now.clone();
        let options = SqliteOptions {
            lanes: LANES,
            lease: Self::LEASE,
            queue_bytes_max: limits.queue_bytes_max,
            notify_bytes_max: limits.queue_bytes_max,
            notify_dead_bytes_max: limits.dead_bytes_max,
            frame_bytes_max: limits.frame_bytes_max,
            dedupe_window: DEDUPE_WINDOW,
            max_attempts: MAX_ATTEMPTS,
            clock: Clock::new(move || now.load(Ordering::Relaxed)),
            ..SqliteOptions::default()
        };
        let queues = SqliteQueues::open(database, options).await.expect("opened");
        let lock_file = self.lock_files().difference(&before).next().expect("a new owner").clone();
        Process { queues, lock_file }
    }

    fn lock_files(&self) -> BTreeSet<PathBuf> {
        let Ok(entries) = fs::read_dir(self.directory.path().join("owners")) else { return BTreeSet::new() };
        let paths = entries.map(|entry| entry.expect("listed").path());
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "lock")).collect()
    }

    fn current(&self) -> &SqliteQueues {
        &self.current.as_ref().expect("started").queues
    }
}

impl Engine for Sqlite {
    const LEASE: Duration = Duration::from_secs(30);
    const MOMENT: Duration = Duration::from_secs(1);
    const FRAME_BYTES_MAX: usize = 1 << 20;

    async fn start(limits: Limits) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let now = Arc::new(AtomicI64::new(1_700_000_000_000_000));
        let mut engine = Self { directory, limits, now, current: None, asleep: Vec::new() };
        engine.current = Some(engine.open(limits).await);
        engine
    }

    fn queues(&self) -> Queues {
        Queues::Sqlite(self.current().clone())
    }

    fn state(&self) -> StateStore {
        StateStore::Sqlite(self.current().database().clone())
    }

    async fn another_process(&self) -> Queues {
        self.another_process_with(self.limits).await
    }

    async fn another_process_with(&self, limits: Limits) -> Queues {
        Queues::Sqlite(self.open(limits).await.queues)
    }

    async fn restart(&mut self) {
        self.current = None;
        self.current = Some(self.open(self.limits).await);
    }

    async fn die(&mut self) {
        let process = self.current.take().expect("started");
        fs::remove_file(&process.lock_file).expect("the lock of a live owner");
        self.asleep.push(process);
        self.current = Some(self.open(self.limits).await);
    }

    async fn advance(&self, by: Duration) {
        self.now.fetch_add(i64::try_from(by.as_micros()).expect("a short time"), Ordering::Relaxed);
    }

    async fn put_back(&self, by: Duration) {
        self.now.fetch_sub(i64::try_from(by.as_micros()).expect("a short time"), Ordering::Relaxed);
    }

    fn child(&self, action: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_queue-child"));
        command.arg(action).arg(self.directory.path());
        command
    }
}
