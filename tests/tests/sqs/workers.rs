//! Workers of analyze on standard queues, which have a lane in hand at the same time.

use std::{collections::BTreeMap, sync::Arc};

use millstream::{
    queue::{
        Commit, EncodedFrame, NumberedDelta, Publish,
        QueueName::{Alert, Analyze as BeforeAnalyze},
        Queues, Verdict,
    },
    state::StateStore,
    worker::{SharedHop, SharedStage, StageWorker},
};
use stages::{
    analyze::{Analyze, AnalyzeConfig},
    frame::{FrameId, Header, Kind, Lane, Reading, Readings, ReadingsBuilder},
    stage::Stage,
};
use tests::PATIENCE;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Duration, Instant, sleep},
};

use crate::commits::{Processes, commit, receive};

const SECOND: i64 = 1_000_000;

fn analyze() -> Stage {
    Stage::Analyze(Arc::new(Analyze::new(&AnalyzeConfig::default())))
}

/// A frame of readings that are counted from `first`.
fn frame(number: u64, first: u64, rows: u64) -> EncodedFrame {
    let mut builder = ReadingsBuilder::new(&[]);
    for seq in first..first + rows {
        let ts = i64::try_from(seq).unwrap() * SECOND;
        builder.append(&Reading {
            device_id: "a",
            metric: "temperature",
            ts,
            received_at: ts,
            value: Some(1.0),
            seq: Some(seq),
            ..Reading::default()
        });
    }
    let id = FrameId::ingested(1, number);
    let header = Header { id, kind: Kind::Readings, lane: Lane(0), created_at: 0, epoch: 1, trace: None };
    EncodedFrame::of(&builder.finish(header).unwrap()).unwrap()
}

async fn publish(queues: &Queues, frame: EncodedFrame) {
    queues.publish(vec![Publish { queue: BeforeAnalyze, frame }]).await.remove(0).unwrap();
}

/// A worker as a process of its own has it.
fn start(at: &Processes, queues: &Queues, stop: &watch::Sender<bool>) -> JoinHandle<()> {
    let (_sender, stage) = watch::channel(analyze());
    let hop = SharedHop::of(SharedStage::new(stage));
    let state = StateStore::DynamoDb(at.table.clone());
    let worker = StageWorker::new(hop, queues.clone(), state, 5, stop.subscribe());
    tokio::spawn(async move { worker.run().await.unwrap() })
}

/// Has both processes work until nothing is left for analyze.
async fn work(at: &Processes) {
    let stop = watch::Sender::new(false);
    let workers = [start(at, &at.one, &stop), start(at, &at.other, &stop)];
    let deadline = Instant::now() + PATIENCE;
    while at.one.depth(BeforeAnalyze).await.unwrap().frames > 0 {
        assert!(Instant::now() < deadline, "analyze does not empty its queue");
        sleep(Duration::from_millis(20)).await;
    }
    stop.send_replace(true);
    for worker in workers {
        worker.await.unwrap();
    }
}

/// What has come to alert, how often, by frames that are each taken once.
async fn come_to_alert(at: &Processes) -> BTreeMap<u64, u32> {
    let (mut rows, mut frames) = (BTreeMap::new(), Vec::new());
    loop {
        let held = receive(&at.one, Alert).await;
        if held.is_empty() {
            return rows;
        }
        for delivery in held {
            if !frames.contains(&delivery.frame.id) {
                frames.push(delivery.frame.id);
                let frame = delivery.frame.bytes.frame().unwrap();
                let readings = Readings::of(&frame).unwrap();
                (0..readings.len()).for_each(|row| *rows.entry(readings.seq(row).unwrap()).or_default() += 1);
            }
            at.one.settle(vec![(delivery.receipt, Verdict::Done)]).await.remove(0).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqs_workers_of_one_lane_send_each_row_once() {
    let at = Processes::start().await;
    // Each row is in two frames, as after a lost PUBACK, and every third frame comes twice.
    for number in 0..60 {
        publish(&at.one, frame(number, 5 * number, 10)).await;
        if number % 3 == 0 {
            publish(&at.one, frame(number, 5 * number, 10)).await;
        }
    }
    work(&at).await;
    let expected: BTreeMap<u64, u32> = (0..305).map(|seq| (seq, 1)).collect();
    assert_eq!(come_to_alert(&at).await, expected);
    let state = StateStore::DynamoDb(at.table.clone());
    assert_eq!(state.number("analyze", Lane(0)).await.unwrap(), 60, "each frame changed it once");
}

#[tokio::test(flavor = "multi_thread")]
async fn sqs_worker_sends_what_was_saved_of_a_frame_that_its_state_forgot() {
    let at = Processes::start().await;
    publish(&at.one, frame(1, 0, 10)).await;
    let held = receive(&at.one, BeforeAnalyze).await.remove(0);
    let stage = analyze();
    let snapshot = Some(stage.snapshot(&mut stage.empty_state()).unwrap());
    let (name, bytes, applied) = (stage.name(), Vec::new(), Vec::new());
    let delta = NumberedDelta { stage: name, lane: Lane(0), number: 1, bytes, snapshot, applied };
    // It led to other rows than it would now.
    let saved = Commit {
        receipts: vec![held.receipt],
        publish: vec![Publish { queue: Alert, frame: frame(7, 100, 3) }],
        deltas: vec![delta],
        applied: vec![held.frame.id],
        ..Commit::default()
    };
    commit(&at.one, saved).await.unwrap();
    assert_eq!(come_to_alert(&at).await.len(), 3);

    publish(&at.one, frame(1, 0, 10)).await;
    publish(&at.one, frame(2, 50, 10)).await;
    work(&at).await;
    let expected: BTreeMap<u64, u32> = (50..60).chain(100..103).map(|seq| (seq, 1)).collect();
    assert_eq!(come_to_alert(&at).await, expected);
    let state = StateStore::DynamoDb(at.table.clone());
    assert_eq!(state.number("analyze", Lane(0)).await.unwrap(), 2);
}
