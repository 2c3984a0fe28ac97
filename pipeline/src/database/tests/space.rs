//! What a backlog took is given back while the process runs.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use stages::frame::{FrameId, Lane};
use tokio::time::sleep;

use super::fresh;
use crate::{
    database::Database,
    queue::{EncodedFrame, Publish, QueueName, Queues, ReceiveLimits, SqliteOptions, SqliteQueues, Verdict},
};

const PATIENCE: Duration = Duration::from_secs(180);
/// Longer than that: what is held stays so, however long the file takes to shrink.
const LEASE: Duration = Duration::from_secs(3600);
const FRAME_BYTES: usize = 1 << 20;

/// The bytes of the data file and of its log.
fn bytes(path: &Path) -> u64 {
    let log = path.with_extension("db-wal");
    [path, &log].iter().map(|file| fs::metadata(file).map_or(0, |file| file.len())).sum()
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

async fn open(path: &Path) -> Queues {
    let database = Database::open_with(path, Duration::from_secs(1)).expect("opened");
    let options = SqliteOptions { lease: LEASE, ..SqliteOptions::default() };
    Queues::Sqlite(SqliteQueues::open(database, options).await.expect("opened"))
}

async fn publish(queues: &Queues, number: u8) {
    let bytes = vec![number; FRAME_BYTES].into();
    let frame = EncodedFrame { id: FrameId([number; 16]), lane: Lane(0), rows: 1, bytes };
    queues.publish(vec![Publish { queue: QueueName::Store, frame }]).await.remove(0).expect("published");
}

#[tokio::test]
async fn what_a_backlog_took_is_given_back_while_processes_run() {
    let (_directory, path) = fresh();
    let (queues, other) = (open(&path).await, open(&path).await);
    for number in 0..100 {
        publish(&queues, number).await;
    }
    assert!(bytes(&path) > 100 * FRAME_BYTES as u64, "{}", bytes(&path));

    let (holder, wait) = (other.holder(), Duration::ZERO);
    let limits = ReceiveLimits { frames: 100, bytes: usize::MAX, wait };
    // The last frame stays, at the end of the file: what is free is in front of it.
    let run = other.receive(QueueName::Store, holder, limits).await.expect("received");
    let verdicts = run.into_iter().take(99).map(|delivery| (delivery.receipt, Verdict::Done)).collect();
    for answer in other.settle(verdicts).await {
        answer.expect("settled");
    }
    until("the file shrinks", || bytes(&path) < 3 * FRAME_BYTES as u64).await;

    let run = queues.receive(QueueName::Store, queues.holder(), limits).await.expect("received");
    assert!(run.is_empty(), "it is held");
    drop(other);
    let run = queues.receive(QueueName::Store, queues.holder(), limits).await.expect("received");
    assert_eq!(*run[0].frame.bytes, vec![99; FRAME_BYTES], "what was there still is");
    assert_eq!(queues.audit(true).await.expect("audited").miscounts, []);
}
