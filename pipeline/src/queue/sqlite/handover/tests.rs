use std::{path::Path, time::Duration};

use stages::frame::{Frame, FrameId, Header, Kind, Lane, Reading, ReadingsBuilder};

use super::*;
use crate::{
    database::Database,
    queue::{
        Commit, Delivery, EncodedFrame, NumberedDelta, Publish, QueueError, ReceiveLimits, SqliteOptions,
        SqliteQueues, Verdict,
    },
};

const QUEUE: QueueName = QueueName::Analyze;

fn encoded(index: u64) -> EncodedFrame {
    let mut builder = ReadingsBuilder::new(&[]);
    builder.append(&Reading { device_id: "a", seq: Some(index), ..Reading::default() });
    let id = FrameId::ingested(1, index);
    let header = Header { id, kind: Kind::Readings, lane: Lane(0), created_at: 0, epoch: 1, trace: None };
    EncodedFrame::of(&builder.finish(header).unwrap()).unwrap()
}

fn place(seq: i64) -> Place {
    Place { seq, id: FrameId::ingested(1, seq.unsigned_abs()), published_at: 7 }
}

fn written(seq: i64) -> Written {
    Written { queue: QUEUE, place: place(seq), body: encoded(seq.unsigned_abs()).bytes }
}

/// Frames from here on are kept as long as there are not more than `frames`.
fn of_frames(frames: usize) -> Handover {
    let bytes = written(1).body.decoded_bytes().unwrap() + ENTRY_BYTES;
    let handover = Handover::within(frames * bytes + bytes / 2);
    handover.expect(QUEUE);
    handover
}

#[test]
fn a_frame_is_handed_over_once() {
    let handover = of_frames(2);
    handover.offer(written(1));
    handover.settle(true);
    assert_eq!(handover.take(place(1)), Some(written(1).body));
    assert_eq!(handover.take(place(1)), None);
    assert_eq!((handover.len(), handover.kept().bytes), (0, 0));
}

#[test]
fn of_too_many_the_oldest_are_given_up() {
    let handover = of_frames(2);
    (1..=5).for_each(|seq| handover.offer(written(seq)));
    handover.settle(true);
    assert_eq!(handover.len(), 2);
    assert_eq!(
        (1..=5).map(|seq| handover.take(place(seq)).is_some()).collect::<Vec<_>>(),
        [false, false, false, true, true]
    );
    assert_eq!(handover.kept().bytes, 0);
}

#[test]
fn a_frame_that_is_larger_than_the_limit_is_not_kept() {
    let handover = of_frames(0);
    handover.offer(written(1));
    assert_eq!((handover.len(), handover.kept().bytes), (0, 0));
}

#[test]
fn what_was_undone_is_not_handed_over() {
    let handover = of_frames(9);
    handover.offer(written(1));
    handover.settle(true);
    handover.offer(written(2));
    handover.settle(false);
    assert_eq!((handover.take(place(2)), handover.len()), (None, 1));
}

#[test]
fn a_number_that_came_again_is_another_frame() {
    let handover = of_frames(9);
    let others = [Place { id: FrameId::ingested(2, 1), ..place(1) }, Place { published_at: 8, ..place(1) }];
    for other in others {
        handover.offer(written(1));
        assert_eq!((handover.take(other), handover.len()), (None, 0));
    }
    handover.offer(written(1));
    handover.offer(Written { place: others[0], ..written(2) });
    assert_eq!(handover.take(others[0]), Some(written(2).body));
    assert_eq!((handover.len(), handover.kept().bytes), (0, 0));
}

#[test]
fn what_nobody_here_receives_is_not_kept() {
    let handover = of_frames(9);
    handover.expect(QueueName::Notify);
    for queue in [QueueName::Alert, QueueName::Notify] {
        handover.offer(Written { queue, ..written(1) });
    }
    assert_eq!(handover.len(), 0);
}

async fn open(directory: &Path) -> SqliteQueues {
    let database = Database::open(&directory.join("millstream.db")).unwrap();
    let queues = SqliteQueues::open(database, SqliteOptions::default()).await.unwrap();
    assert!(receive(&queues).await.is_empty(), "from now on it receives");
    queues
}

async fn receive(queues: &SqliteQueues) -> Vec<Delivery> {
    let limits = ReceiveLimits { frames: 9, bytes: 1 << 20, wait: Duration::ZERO };
    queues.receive(QUEUE, queues.holder(), limits).await.unwrap()
}

/// One delivery, and whether it needed not be read.
async fn receive_one(queues: &SqliteQueues) -> (Delivery, bool) {
    let delivery = <[Delivery; 1]>::try_from(receive(queues).await).unwrap().into_iter().next().unwrap();
    let kept = delivery.frame.bytes.decoded_bytes().is_some();
    (delivery, kept)
}

async fn publish(queues: &SqliteQueues, index: u64) {
    let entry = Publish { queue: QUEUE, frame: encoded(index) };
    queues.publish(vec![entry]).await.remove(0).unwrap();
}

async fn settle(queues: &SqliteQueues, delivery: Delivery, verdict: Verdict) {
    queues.settle(vec![(delivery.receipt, verdict)]).await.remove(0).unwrap();
}

#[tokio::test]
async fn what_is_received_again_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let queues = open(directory.path()).await;
    publish(&queues, 1).await;
    for kept in [true, false] {
        let (delivery, was_kept) = receive_one(&queues).await;
        assert_eq!((&delivery.frame, was_kept), (&encoded(1), kept));
        assert_eq!(delivery.frame.bytes.frame().unwrap(), encoded(1).bytes.frame().unwrap());
        settle(&queues, delivery, Verdict::Later(Duration::ZERO)).await;
    }
    assert_eq!(queues.inner.handover.len(), 0);
}

#[tokio::test]
async fn a_commit_that_is_refused_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let queues = open(directory.path()).await;
    let delta = NumberedDelta {
        stage: "alert",
        lane: Lane(0),
        number: 9,
        bytes: vec![1],
        snapshot: None,
        applied: Vec::new(),
    };
    let publish_frame = || vec![Publish { queue: QUEUE, frame: encoded(1) }];
    let fenced = Commit { publish: publish_frame(), deltas: vec![delta], ..Commit::default() };
    let error = queues.commit(vec![fenced]).await.remove(0).unwrap_err();
    assert!(matches!(error, QueueError::Fenced { .. }), "{error}");
    assert_eq!((queues.inner.handover.len(), receive(&queues).await.len()), (0, 0));

    // Its number is that of the next frame.
    publish(&queues, 2).await;
    assert_eq!(receive_one(&queues).await.0.frame, encoded(2));
}

#[tokio::test]
async fn frames_that_another_process_took_are_not_taken_for_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let (here, there) = (open(directory.path()).await, open(directory.path()).await);
    publish(&here, 1).await;
    let (delivery, kept) = receive_one(&there).await;
    assert_eq!((&delivery.frame, kept), (&encoded(1), false), "what comes from another process is read");
    let seq = delivery.receipt.row().unwrap().seq;
    settle(&there, delivery, Verdict::Done).await;
    assert_eq!(here.inner.handover.len(), 1);

    publish(&there, 2).await;
    let (delivery, kept) = receive_one(&here).await;
    assert_eq!((delivery.receipt.row().unwrap().seq, kept), (seq, false), "the same number");
    assert_eq!(delivery.frame, encoded(2), "another frame");
    assert_eq!(here.inner.handover.len(), 0);
}

#[tokio::test]
async fn rows_come_as_they_were_published() {
    let directory = tempfile::tempdir().unwrap();
    let queues = open(directory.path()).await;
    for index in 0..20 {
        publish(&queues, index).await;
    }
    let run = receive_all(&queues).await;
    let expected: Vec<Frame> = (0..20).map(|index| encoded(index).bytes.frame().unwrap()).collect();
    assert_eq!(run, expected);
}

async fn receive_all(queues: &SqliteQueues) -> Vec<Frame> {
    let holder = queues.holder();
    let limits = ReceiveLimits { frames: 6, bytes: 1 << 20, wait: Duration::ZERO };
    let mut frames = Vec::new();
    loop {
        let run = queues.receive(QUEUE, holder, limits).await.unwrap();
        if run.is_empty() {
            return frames;
        }
        frames.extend(run.iter().map(|delivery| delivery.frame.bytes.frame().unwrap()));
    }
}
