use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use millstream::{
    database::Database,
    queue::{EncodedFrame, Publish, QueueName, SqliteOptions, SqliteQueues},
};
use stages::frame::{Frame, FrameId, Header, Kind, Lane, Micros, Reading, ReadingsBuilder};
use tests::Site;

const HOUR: Micros = 3_600_000_000;
/// Hours, and so partitions, that each frame has rows of.
pub(crate) const PARTITIONS: u64 = 10;
const ROWS: u64 = 60;
const PAUSE: Duration = Duration::from_millis(15);

/// Somebody who publishes readings into the queue of store, without end. Each has a number of its own, from 0 on.
pub(crate) struct Writer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Writer {
    pub(crate) fn start(site: &Site) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (database, stopped) = (site.data().join("millstream.db"), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let database = Database::open(&database).unwrap();
                let queues = SqliteQueues::open(database, SqliteOptions::default()).await.unwrap();
                let mut number = 0;
                while !stopped.load(Ordering::Relaxed) {
                    let frame = EncodedFrame::of(&frame(number)).unwrap();
                    for answer in queues.publish(vec![Publish { queue: QueueName::Store, frame }]).await {
                        answer.unwrap();
                    }
                    number += ROWS;
                    tokio::time::sleep(PAUSE).await;
                }
                number
            })
        });
        Self { stop, thread }
    }

    /// Ends it; answers how many readings were published.
    pub(crate) fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// The rows from `first` on, over all partitions.
fn frame(first: u64) -> Frame {
    let mut builder = ReadingsBuilder::new(&[]);
    for number in first..first + ROWS {
        let ts = (number % PARTITIONS) as Micros * HOUR + number as Micros;
        let device_id = &format!("device-{}", number % 7);
        builder.append(&Reading {
            device_id,
            metric: "level",
            ts,
            value: Some(number as f64),
            seq: Some(number),
            message: number,
            ..Reading::default()
        });
    }
    let id = FrameId(u128::from(first + 1).to_be_bytes());
    let header = Header { id, kind: Kind::Readings, lane: Lane(0), created_at: 0, epoch: 1, trace: None };
    builder.finish(header).unwrap()
}
