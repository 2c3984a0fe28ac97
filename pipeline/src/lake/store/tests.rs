use std::{
    fs::{self, File},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use ::parquet::file::reader::{FileReader, SerializedFileReader};
use stages::{
    frame::{Frame, FrameId, Header, Kind, Lane, QuarantineBuilder, Reading, ReadingsBuilder},
    store::{Dataset, Granularity},
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{GroupKey, Intents, Mode, Store, StoreOptions};
use crate::{
    database::Database,
    lake::Lake,
    queue::{Clock, Depth, EncodedFrame, Publish, QueueName, Queues, SqliteOptions, SqliteQueues},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// A store worker on queues whose clock stands still until it is moved.
struct Bench {
    directory: tempfile::TempDir,
    queues: SqliteQueues,
    now: Arc<AtomicI64>,
    mode: watch::Sender<Mode>,
}

impl Bench {
    async fn new() -> Self {
        Self::on("", SqliteOptions::default()).await
    }

    /// One that goes on with what the statements `found` leave.
    async fn on(found: &str, options: SqliteOptions) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("millstream.db");
        if !found.is_empty() {
            rusqlite::Connection::open(&path).unwrap().execute_batch(found).unwrap();
        }
        let database = Database::open(&path).unwrap();
        let now = Arc::new(AtomicI64::new(1_000_000_000));
        let tells = Arc::clone(&now);
        let clock = Clock::new(move || tells.load(Ordering::Relaxed));
        let options = SqliteOptions { clock, ..options };
        let queues = SqliteQueues::open(database, options).await.unwrap();
        Self { directory, queues, now, mode: watch::Sender::new(Mode::Collect) }
    }

    fn start(&self) {
        let lake = Lake::open(&self.lake()).unwrap();
        let hour = Duration::from_secs(3600);
        let options = StoreOptions {
            granularity: Granularity::Day,
            rows_max: 1000,
            bytes_max: 1 << 20,
            age: hour,
            age_max: hour,
        };
        let (queues, intents) = (Queues::Sqlite(self.queues.clone()), Intents::Sqlite(self.queues.clone()));
        let store = Store::new(lake, queues, intents, options, self.mode.subscribe());
        tokio::spawn(async move { store.run().await.unwrap() });
    }

    fn lake(&self) -> std::path::PathBuf {
        self.directory.path().join("lake")
    }

    async fn publish(&self, number: u64) {
        let entry = Publish { queue: QueueName::Store, frame: EncodedFrame::of(&frame(number)).unwrap() };
        self.queues.publish(vec![entry]).await.remove(0).unwrap();
    }

    /// The store worker sleeps for longer than its leases last.
    fn sleep_through_leases(&self) {
        let lease = i64::try_from(self.queues.options().lease.as_micros()).unwrap();
        self.now.fetch_add(lease + 1, Ordering::Relaxed);
    }

    async fn until(&self, what: &str, condition: impl Fn(Depth) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let depth = self.queues.depth(QueueName::Store).await.unwrap();
            if condition(depth) {
                return;
            }
            assert!(Instant::now() < deadline, "{what}: {depth:?}");
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// A frame of one reading.
fn frame(number: u64) -> Frame {
    let header = Header {
        id: FrameId::ingested(1, number),
        kind: Kind::Readings,
        lane: Lane(0),
        created_at: 0,
        epoch: 1,
        trace: None,
    };
    let mut builder = ReadingsBuilder::new(&[]);
    builder.append(&Reading {
        device_id: "a",
        metric: "temperature",
        ts: i64::try_from(number).unwrap(),
        value: Some(1.0),
        message: number,
        ..Reading::default()
    });
    builder.finish(header).unwrap()
}

/// Rows of all files that readers of the lake see.
fn rows(directory: &Path) -> i64 {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let seen = entries.filter(|path| !path.file_name().unwrap().to_string_lossy().starts_with('.'));
    let count = |path: std::path::PathBuf| match path.is_dir() {
        true => rows(&path),
        false => {
            let file = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
            file.metadata().file_metadata().num_rows()
        }
    };
    seen.map(count).sum()
}

#[tokio::test]
async fn a_worker_that_slept_through_its_leases_goes_on_at_once_with_what_is_still_its_own() {
    let bench = Bench::new().await;
    bench.publish(1).await;
    bench.start();
    bench.until("it collects", |depth| depth.in_flight == 1).await;
    bench.sleep_through_leases();
    // With these it is handed the first one again, which it has in its collection.
    bench.publish(2).await;
    bench.until("it collects", |depth| depth.in_flight == 2).await;
    // From here on no lease ends: what it does not give back it never sees again.
    bench.mode.send_replace(Mode::Flush);
    bench.until("all is written", |depth| depth.frames == 0).await;
    assert_eq!(rows(&bench.lake()), 2);
    bench.mode.send_replace(Mode::Stop);
    timeout(PATIENCE, bench.mode.closed()).await.unwrap();
}

/// A file of data format 2 that has refused messages among the frames for store: see the tests of the database.
const FORMAT_2: &str = include_str!("../../database/tests/format-2.sql");

/// What such a frame's rows were called in intents, when they had no `schema_version` and no `replays`.
fn key_of_version_1() -> String {
    let rows = QuarantineBuilder::default().finish(frame(1).header).unwrap().rows;
    let first: Vec<_> = (0..rows.num_columns() - 2).collect();
    GroupKey::of(Dataset::Quarantine, &rows.project(&first).unwrap()).to_string()
}

#[tokio::test]
async fn what_an_older_version_was_writing_when_it_was_killed_is_not_written_again() {
    let path = "quarantine/date=2026-01-01/20260101T000000-feed.parquet";
    let key = key_of_version_1();
    let found = format!(
        "{FORMAT_2}
         UPDATE roll_file SET path = '{path}', rows_of = '{key}', starts_at = 0, ends_at = 9000000000000000;"
    );
    let bench = Bench::on(&found, SqliteOptions { lanes: 2, ..SqliteOptions::default() }).await;
    let linked = bench.lake().join(path);
    fs::create_dir_all(linked.parent().unwrap()).unwrap();
    File::create_new(&linked).unwrap();
    bench.mode.send_replace(Mode::Flush);
    bench.start();
    bench.until("all is written", |depth| depth.frames == 0).await;
    fs::remove_file(linked).unwrap();
    assert_eq!(rows(&bench.lake()), 84 - 3, "three rows are in the file that was linked");
}
