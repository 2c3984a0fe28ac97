//! What a queue costs of a hop: full frames are received, and settled as those they lead to are published. What a stage
//! does with them, and encoding, are other benchmarks. The floor is SQLite alone: the same bytes into a table and the last
//! ones out of it, in one commit with an fsync. Run it with `cargo bench -p millstream --bench queue`; `items/s` are
//! readings, and what they take encoded is counted beside them.

#![expect(clippy::unwrap_used, reason = "a benchmark may fail")]
#![allow(missing_docs, reason = "a benchmark is called by its name")]

mod fixture;

use std::time::Duration;

use bytes::Bytes;
use divan::{
    Bencher,
    counter::{BytesCount, ItemsCount},
};
use millstream::{
    database::{Database, Turn},
    queue::{
        Commit, Delivery, EncodedFrame, Holder, Publish, QueueName::Analyze, ReceiveLimits, SqliteOptions,
        SqliteQueues,
    },
};
use rusqlite::Connection;
use stages::plan::Counts;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Messages of a frame, each of four readings.
const MESSAGES: u64 = 500;
/// How many frames go together, of each lane as many: more than what a commit costs by itself weighs.
const FRAMES: [u32; 2] = [16, 64];
const LANES: u16 = 4;

fn main() {
    divan::main();
}

/// Frames whose rows are handed over within the process, as between its stages.
#[divan::bench(args = FRAMES, sample_count = 100, sample_size = 1)]
fn hop(bencher: Bencher<'_, '_>, frames: u32) {
    carry(bencher, &(0..frames).map(frame).collect::<Vec<_>>());
}

/// Frames that are read from the file.
#[divan::bench(args = FRAMES, sample_count = 100, sample_size = 1)]
fn hop_through_file(bencher: Bencher<'_, '_>, frames: u32) {
    let encoded = |frame: EncodedFrame| EncodedFrame { bytes: Bytes::clone(&frame.bytes).into(), ..frame };
    carry(bencher, &(0..frames).map(frame).map(encoded).collect::<Vec<_>>());
}

/// One transaction of the same bytes by the same pragmas, with nothing around it.
#[divan::bench(args = FRAMES, sample_count = 100, sample_size = 1)]
fn bare_commit(bencher: Bencher<'_, '_>, frames: u32) {
    let directory = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut connection = Connection::open(directory.path().join("bare.db")).unwrap();
    connection
        .execute_batch(
            "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             PRAGMA cache_size = -32768; PRAGMA wal_autocheckpoint = 2048;
             CREATE TABLE body (seq INTEGER PRIMARY KEY, bytes BLOB NOT NULL);",
        )
        .unwrap();
    let run: Vec<EncodedFrame> = (0..frames).map(frame).collect();
    count(bencher, &run).bench_local(|| {
        let transaction = connection.transaction().unwrap();
        transaction.execute("DELETE FROM body", []).unwrap();
        let mut insert = transaction.prepare_cached("INSERT INTO body (bytes) VALUES (?1)").unwrap();
        for frame in &run {
            insert.execute([&frame.bytes[..]]).unwrap();
        }
        drop(insert);
        transaction.commit().unwrap();
    });
}

/// Sends the same frames through a queue again and again.
fn carry(bencher: Bencher<'_, '_>, frames: &[EncodedFrame]) {
    let (directory, runtime) =
        (TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap(), Runtime::new().unwrap());
    let database = Database::open(&directory.path().join("millstream.db")).unwrap();
    let options = SqliteOptions { lanes: LANES, ..SqliteOptions::default() };
    let queues = runtime.block_on(SqliteQueues::open(database, options)).unwrap();
    let holder = queues.holder();
    // The first look tells the queue that this process reads it.
    runtime.block_on(receive(&queues, holder, Duration::ZERO));
    runtime.block_on(commit(&queues, Vec::new(), frames));
    count(bencher, frames).bench_local(|| {
        runtime.block_on(async {
            let run = receive(&queues, holder, Duration::from_secs(10)).await;
            assert_eq!(run.len(), frames.len());
            commit(&queues, run, frames).await;
        });
    });
}

async fn receive(queues: &SqliteQueues, holder: Holder, wait: Duration) -> Vec<Delivery> {
    let limits = ReceiveLimits { frames: usize::MAX, bytes: usize::MAX, wait };
    queues.receive_runs(Analyze, holder, limits).await.unwrap()
}

/// Settles the deliveries and publishes frames, in one transaction. It does not wait for its turn, so that only work counts.
async fn commit(queues: &SqliteQueues, done: Vec<Delivery>, frames: &[EncodedFrame]) {
    let publish = |frame: &EncodedFrame| Publish { queue: Analyze, frame: frame.clone() };
    let commit = Commit {
        receipts: done.into_iter().map(|delivery| delivery.receipt).collect(),
        publish: frames.iter().map(publish).collect(),
        counts: vec![("analyze", Counts { consumed: 1, ..Counts::default() })],
        ..Commit::default()
    };
    queues.commit_with(commit, Turn::First, |_| Ok(())).await.unwrap();
}

fn count<'a, 'b>(bencher: Bencher<'a, 'b>, frames: &[EncodedFrame]) -> Bencher<'a, 'b> {
    let (rows, bytes): (Vec<_>, Vec<_>) = frames.iter().map(|frame| (frame.rows, frame.bytes.len())).unzip();
    bencher
        .counter(ItemsCount::new(rows.iter().sum::<u32>()))
        .counter(BytesCount::new(bytes.iter().sum::<usize>()))
}

fn frame(number: u32) -> EncodedFrame {
    let lane = u16::try_from(number).unwrap() % LANES;
    EncodedFrame::of(&fixture::readings(u64::from(number) * MESSAGES, MESSAGES, lane)).unwrap()
}
