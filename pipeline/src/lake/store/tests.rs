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
    frame::{Frame, FrameId, Header, Kind, Lane, Reading, ReadingsBuilder},
    store::Granularity,
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{Mode, Store, StoreOptions};
use crate::{
    database::Database,
    lake::Lake,
    queue::{Clock, Depth, EncodedFrame, Publish, QueueName, SqliteOptions, SqliteQueues},
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
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(&directory.path().join("millstream.db")).unwrap();
        let now = Arc::new(AtomicI64::new(1_000_000_000));
        let tells = Arc::clone(&now);
        let clock = Clock::new(move || tells.load(Ordering::Relaxed));
        let options = SqliteOptions { clock, ..SqliteOptions::default() };
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
        let store = Store::new(lake, self.queues.clone(), options, self.mode.subscribe());
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
