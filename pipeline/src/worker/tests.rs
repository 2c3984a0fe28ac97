mod hop;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use stages::{
    analyze::{Analyze, AnalyzeConfig},
    frame::{Frame, FrameId, Header, Kind, Lane, Reading, ReadingsBuilder},
    stage::Stage,
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{SharedHop, SharedStage, StageWorker, stage::End};
use crate::{
    database::{Database, DatabaseError, Durability},
    queue::{Depth, EncodedFrame, Publish, QueueName, Queues, ReceiveLimits, SqliteOptions, SqliteQueues},
    state::StateStore,
};

const MAX_ATTEMPTS: u32 = 3;

/// Queues in a directory of their own, and a worker of analyze on them.
struct Bench {
    _directory: tempfile::TempDir,
    queues: Queues,
    state: StateStore,
    stop: watch::Sender<bool>,
}

impl Bench {
    async fn new() -> Self {
        Self::with(SqliteOptions::default()).await
    }

    async fn with(options: SqliteOptions) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(&directory.path().join("millstream.db")).unwrap();
        let state = StateStore::Sqlite(database.clone());
        let engine = SqliteQueues::open(database, options).await.unwrap();
        let stop = watch::Sender::new(false);
        Self { _directory: directory, queues: Queues::Sqlite(engine), state, stop }
    }

    fn worker(&self, max_attempts: u32) -> StageWorker {
        let stage = Stage::Analyze(Arc::new(Analyze::new(&AnalyzeConfig::default())));
        let (queues, state) = (self.queues.clone(), self.state.clone());
        let (_sender, stage) = watch::channel(stage);
        StageWorker::new(
            SharedHop::of(SharedStage::new(stage)),
            queues,
            state,
            max_attempts,
            self.stop.subscribe(),
        )
    }

    fn start(&self) -> tokio::task::JoinHandle<()> {
        let worker = self.worker(MAX_ATTEMPTS);
        tokio::spawn(async move { worker.run().await.unwrap() })
    }

    async fn publish(&self, frame: EncodedFrame) {
        let entry = Publish { queue: QueueName::Analyze, frame };
        self.queues.publish(vec![entry]).await.remove(0).unwrap();
    }

    /// Works until the queue of analyze is empty; what it holds then, and the queue behind it.
    async fn work(&self) -> (Depth, Depth) {
        let worker = self.start();
        let empty = async {
            while self.queues.depth(QueueName::Analyze).await.unwrap().frames > 0 {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(20), empty).await.expect("analyze empties its queue");
        self.stop.send_replace(true);
        worker.await.unwrap();
        (
            self.queues.depth(QueueName::Analyze).await.unwrap(),
            self.queues.depth(QueueName::Alert).await.unwrap(),
        )
    }
}

fn readings(index: u64, rows: u64) -> Frame {
    let mut builder = ReadingsBuilder::new(&[]);
    for row in 0..rows {
        builder.append(&Reading {
            device_id: "a",
            metric: "temperature",
            value: Some(1.0),
            seq: Some(row),
            ..Reading::default()
        });
    }
    let id = FrameId::ingested(1, index);
    let header = Header { id, kind: Kind::Readings, lane: Lane(0), created_at: 0, epoch: 1, trace: None };
    builder.finish(header).unwrap()
}

#[tokio::test]
async fn a_run_goes_through_and_is_counted_once() {
    let bench = Bench::new().await;
    for index in 0..3 {
        bench.publish(EncodedFrame::of(&readings(index, 10)).unwrap()).await;
    }
    let (analyze, alert) = bench.work().await;
    assert_eq!((analyze.dead, alert.rows), (0, 10), "the other two frames repeat the first");
    let books = bench.queues.books().await.unwrap();
    assert_eq!((books["analyze"].consumed, books["analyze"].repeated), (10, 20));
}

#[tokio::test]
async fn state_is_found_again_by_the_next_worker() {
    let bench = Bench::new().await;
    bench.publish(EncodedFrame::of(&readings(0, 10)).unwrap()).await;
    bench.work().await;
    bench.stop.send_replace(false);
    bench.publish(EncodedFrame::of(&readings(1, 10)).unwrap()).await;
    let (_, alert) = bench.work().await;
    assert_eq!(alert.rows, 10, "a new worker knows the rows of the one before");
}

#[tokio::test]
async fn a_frame_that_is_none_becomes_a_dead_letter_and_the_lane_goes_on() {
    let bench = Bench::new().await;
    let good = EncodedFrame::of(&readings(0, 10)).unwrap();
    let bytes = Bytes::from_static(b"no frame").into();
    bench.publish(EncodedFrame { id: FrameId::ingested(1, 9), bytes, ..good.clone() }).await;
    bench.publish(good).await;
    let (analyze, alert) = bench.work().await;
    assert_eq!((analyze.dead, alert.rows), (1, 10));
}

#[tokio::test]
async fn nothing_overtakes_a_frame_that_cannot_be_settled() {
    let bench = Bench::new().await;
    let good = EncodedFrame::of(&readings(0, 10)).unwrap();
    let bytes = vec![0; 200_000].into();
    bench.publish(EncodedFrame { id: FrameId::ingested(1, 9), bytes, ..good.clone() }).await;
    bench.publish(good).await;
    let limits = ReceiveLimits { frames: 9, bytes: 1 << 20, wait: Duration::ZERO };
    let run = bench.queues.receive(QueueName::Analyze, bench.queues.holder(), limits).await.unwrap();
    assert_eq!(run.len(), 2);

    // The dead letter, a copy of the frame, has no room.
    let engine = bench.queues.embedded("this test").unwrap();
    let full = |connection: &rusqlite::Connection| -> Result<(), DatabaseError> {
        Ok(connection.pragma_update_and_check(None, "max_page_count", 1, |_| Ok(()))?)
    };
    engine.database().write(Durability::Process, full).await.unwrap();
    let worker = bench.worker(1);
    let end = timeout(Duration::from_secs(20), worker.work_lanes(run)).await.expect("in time").unwrap();
    assert_eq!(end, End::Abandoned);
    assert_eq!(bench.queues.depth(QueueName::Analyze).await.unwrap().in_flight, 2);
    assert_eq!(bench.queues.depth(QueueName::Alert).await.unwrap().frames, 0);
}

#[tokio::test]
async fn rows_that_fail_even_alone_are_set_aside_one_by_one() {
    let bench = Bench::new().await;
    // Readings by its header, but without their columns: no row of it can be planned.
    let mut wrong = readings(5, 4);
    wrong.rows = wrong.rows.project(&[0, 1]).unwrap();
    bench.publish(EncodedFrame::of(&wrong).unwrap()).await;
    bench.publish(EncodedFrame::of(&readings(6, 10)).unwrap()).await;
    let (analyze, alert) = bench.work().await;
    assert_eq!((analyze.dead, alert.rows), (4, 10));
}

/// A bench whose queues take `frame` and nothing larger, as what analyze makes of it is.
async fn tight(frame: &EncodedFrame) -> Bench {
    let bench =
        Bench::with(SqliteOptions { frame_bytes_max: frame.bytes.len(), ..SqliteOptions::default() }).await;
    bench.publish(frame.clone()).await;
    bench
}

#[tokio::test]
async fn a_frame_that_leads_to_a_larger_one_than_fits_goes_through_in_halves() {
    let bench = tight(&EncodedFrame::of(&readings(0, 1_000)).unwrap()).await;
    let (analyze, alert) = bench.work().await;
    assert_eq!((analyze.dead, alert.rows, alert.frames), (0, 1_000, 2));
    let books = bench.queues.books().await.unwrap();
    assert_eq!(
        (books["analyze"].consumed, books["analyze"].repeated),
        (1_000, 0),
        "a failed try leaves no trace"
    );
}

/// Text that does not compress to nothing.
fn long_text() -> String {
    let next = |state: &u64| Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    std::iter::successors(Some(1), next).take(2_000).map(|state| format!("{state:x}")).collect()
}

fn texts(index: u64, rows: &[(u64, &str)]) -> EncodedFrame {
    let mut builder = ReadingsBuilder::new(&[]);
    for (seq, text) in rows {
        builder.append(&Reading {
            device_id: "a",
            metric: "log",
            text: Some(text),
            seq: Some(*seq),
            ..Reading::default()
        });
    }
    EncodedFrame::of(&builder.finish(readings(index, 0).header).unwrap()).unwrap()
}

#[tokio::test]
async fn only_the_row_that_leads_to_too_large_a_frame_is_set_aside() {
    let long = long_text();
    let bench = tight(&texts(0, &[(0, "short"), (1, &long), (2, "short")])).await;
    let (analyze, alert) = bench.work().await;
    assert_eq!((analyze.dead, analyze.dead_rows, alert.rows), (1, 1, 2));
}

#[tokio::test]
async fn a_row_that_is_set_aside_costs_the_others_no_memory() {
    let long = long_text();
    // One repeat of a frame before, and one of a piece that went through before the row at fault.
    let rows = [(0, "short"), (1, "short"), (2, &*long), (1, "short"), (3, "short")];
    let frame = texts(1, &rows);
    let bench =
        Bench::with(SqliteOptions { frame_bytes_max: frame.bytes.len(), ..SqliteOptions::default() }).await;
    bench.publish(texts(0, &[(0, "short")])).await;
    bench.work().await;
    bench.stop.send_replace(false);
    bench.publish(frame).await;
    let (analyze, alert) = bench.work().await;
    assert_eq!((analyze.dead, alert.rows), (1, 3));
    let books = bench.queues.books().await.unwrap();
    assert_eq!((books["analyze"].consumed, books["analyze"].repeated), (3, 2));
    let audit = bench.queues.audit(true).await.unwrap();
    assert_eq!((audit.balances[QueueName::Analyze as usize].missing(), audit.miscounts), (0, vec![]));
}

#[tokio::test]
async fn a_frame_without_rows_that_fails_is_set_aside_whole() {
    let bench = Bench::new().await;
    let mut wrong = readings(5, 4);
    wrong.rows = wrong.rows.project(&[0, 1]).unwrap().slice(0, 0);
    bench.publish(EncodedFrame::of(&wrong).unwrap()).await;
    bench.publish(EncodedFrame::of(&readings(6, 10)).unwrap()).await;
    let (analyze, alert) = bench.work().await;
    assert_eq!((analyze.dead, alert.rows), (1, 10));
}

#[tokio::test]
async fn ticks_go_through_and_close_windows() {
    let bench = Bench::new().await;
    bench.publish(EncodedFrame::of(&readings(0, 10)).unwrap()).await;
    for secs in [119, 120, 125] {
        bench.publish(EncodedFrame::of(&Frame::tick(Lane(0), secs * 1_000_000)).unwrap()).await;
    }
    let (analyze, alert) = bench.work().await;
    assert_eq!((analyze.dead, alert.rows), (0, 10));
    assert_eq!(alert.frames, 4, "the readings, and each tick by itself");
    assert_eq!(bench.queues.depth(QueueName::Store).await.unwrap().rows, 1, "one window");
    let books = bench.queues.books().await.unwrap();
    assert_eq!((books["analyze"].consumed, books["analyze"].produced), (10, 11));
}
