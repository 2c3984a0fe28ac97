//! Store workers on one queue and one lake, and what comes of them.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use millstream::{
    database::Database,
    lake::{Intents, Lake, Mode, Store, StoreOptions},
    queue::{Clock, EncodedFrame, Publish, QueueName, Queues, SqliteOptions, SqliteQueues},
    state::dynamodb::Table,
};
use parquet::{
    file::reader::{FileReader, SerializedFileReader},
    record::Field,
};
use stages::{
    frame::{FrameId, Header, Kind, Lane, Micros, Reading, ReadingsBuilder},
    store::Granularity,
};
use tests::PATIENCE;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

const DAY: Micros = 24 * 3600 * 1_000_000;
/// Days that each frame has a reading of, each a partition.
pub(crate) const DAYS: u64 = 2;
const POLL: Duration = Duration::from_millis(2);

/// A queue whose clock stands still until it is moved, and a lake.
pub(crate) struct World {
    directory: tempfile::TempDir,
    pub(crate) queues: SqliteQueues,
    now: Arc<AtomicI64>,
    published: u64,
}

/// A store worker.
pub(crate) struct Worker {
    pub(crate) mode: watch::Sender<Mode>,
    pub(crate) task: JoinHandle<()>,
}

impl World {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(&directory.path().join("millstream.db")).unwrap();
        let now = Arc::new(AtomicI64::new(1_000_000_000));
        let tells = Arc::clone(&now);
        let clock = Clock::new(move || tells.load(Ordering::Relaxed));
        let options = SqliteOptions { clock, ..SqliteOptions::default() };
        let queues = SqliteQueues::open(database, options).await.unwrap();
        Self { directory, queues, now, published: 0 }
    }

    pub(crate) fn in_data_file(&self) -> Intents {
        Intents::Sqlite(self.queues.clone())
    }

    pub(crate) fn in_table(&self, table: &Table) -> Intents {
        Intents::in_table(table.clone(), Queues::Sqlite(self.queues.clone()))
    }

    /// Publishes frames of a reading a day.
    pub(crate) async fn publish(&mut self, frames: u64) {
        let entries = (0..frames).map(|_| {
            self.published += 1;
            Publish { queue: QueueName::Store, frame: frame(self.published) }
        });
        let entries = entries.collect();
        assert!(self.queues.publish(entries).await.iter().all(Result::is_ok));
    }

    /// Publishes the last frame once more, as a publisher does whose answer was lost.
    pub(crate) async fn repeat(&self) {
        let window = i64::try_from(self.queues.options().dedupe_window.as_micros()).unwrap();
        self.now.fetch_add(2 * window, Ordering::Relaxed);
        let entry = Publish { queue: QueueName::Store, frame: frame(self.published) };
        assert!(self.queues.publish(vec![entry]).await.iter().all(Result::is_ok));
    }

    pub(crate) fn start(&self, intents: Intents, mode: Mode) -> Worker {
        let lake = Lake::open(&self.lake()).unwrap();
        let hour = Duration::from_secs(3600);
        let granularity = Granularity::Day;
        let options =
            StoreOptions { granularity, rows_max: 1000, bytes_max: 1 << 20, age: hour, age_max: hour };
        let mode = watch::Sender::new(mode);
        let queues = Queues::Sqlite(self.queues.clone());
        let store = Store::new(lake, queues, intents, options, mode.subscribe());
        Worker { mode, task: tokio::spawn(async move { store.run().await.unwrap() }) }
    }

    pub(crate) fn lake(&self) -> PathBuf {
        self.directory.path().join("lake")
    }

    /// Whoever works now has lost its leases.
    pub(crate) fn end_leases(&self) {
        let lease = i64::try_from(self.queues.options().lease.as_micros()).unwrap();
        self.now.fetch_add(lease + 1, Ordering::Relaxed);
    }

    pub(crate) async fn depth(&self) -> (u64, u64) {
        let depth = self.queues.depth(QueueName::Store).await.unwrap();
        assert_eq!(depth.dead, 0, "no frame is given up");
        (depth.frames, depth.in_flight)
    }

    pub(crate) async fn until_held(&self, frames: u64) {
        self.until("they are held", |(_, held)| held == frames).await;
    }

    pub(crate) async fn until_dry(&self) {
        self.until("all is written", |(frames, _)| frames == 0).await;
    }

    pub(crate) async fn until(&self, what: &str, condition: impl Fn((u64, u64)) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition(self.depth().await) {
            assert!(Instant::now() < deadline, "{what}: {:?}", self.depth().await);
            sleep(POLL).await;
        }
    }

    /// Nobody can write the partition of this day until the answer is dropped, unless it is there already.
    pub(crate) fn block(&self, day: u64) -> Blocked {
        let directory = self.lake().join("readings").join(format!("date=1970-01-{:02}", day + 1));
        fs::create_dir_all(directory.parent().unwrap()).unwrap();
        let is_new = File::create_new(&directory).is_ok();
        Blocked(is_new.then_some(directory))
    }

    /// How many readings were published.
    pub(crate) fn rows(&self) -> u64 {
        self.published * DAYS
    }

    /// Asserts that each reading that was published is in the lake, once.
    pub(crate) fn is_complete(&self, case: &str) {
        let mut found = BTreeMap::<_, u64>::new();
        numbers(&self.lake()).into_iter().for_each(|number| *found.entry(number).or_default() += 1);
        let expected = (0..self.rows()).map(|number| (number + DAYS, 1)).collect();
        assert_eq!(found, expected, "{case}");
    }
}

impl Worker {
    /// It dies where it is.
    pub(crate) fn kill(&self) {
        self.task.abort();
    }

    /// Lets it finish what it has.
    pub(crate) async fn stop(self) {
        self.mode.send_replace(Mode::Stop);
        timeout(PATIENCE, self.task).await.expect("it stops").expect("it ends well");
    }
}

/// A file in the place of a directory.
pub(crate) struct Blocked(Option<PathBuf>);

impl Drop for Blocked {
    fn drop(&mut self) {
        self.0.iter().for_each(|file| fs::remove_file(file).unwrap());
    }
}

/// Frame `number`, with messages of numbers that no other has.
fn frame(number: u64) -> EncodedFrame {
    let id = FrameId::ingested(1, number);
    let header = Header { id, kind: Kind::Readings, lane: Lane(0), created_at: 0, epoch: 1, trace: None };
    let mut builder = ReadingsBuilder::new(&[]);
    for day in 0..DAYS {
        builder.append(&Reading {
            device_id: "a",
            metric: "temperature",
            ts: DAY * i64::try_from(day).unwrap(),
            value: Some(1.0),
            message: number * DAYS + day,
            ..Reading::default()
        });
    }
    EncodedFrame::of(&builder.finish(header).unwrap()).unwrap()
}

/// The numbers of the messages in all files that readers of the lake see.
fn numbers(directory: &Path) -> Vec<u64> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with('.') {
            continue;
        }
        if path.is_dir() {
            numbers.extend(self::numbers(&path));
            continue;
        }
        let file = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
        for row in file.get_row_iter(None).unwrap() {
            let row = row.unwrap();
            let message = row.get_column_iter().find(|(name, _)| *name == "message").unwrap().1;
            let Field::ULong(number) = message else { panic!("{message}") };
            numbers.push(*number);
        }
    }
    numbers
}
