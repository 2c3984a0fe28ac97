//! What a frame costs in a queue that is shallow, and in one that is deep: it should be the same.
//!
//! `cargo run --release -p millstream --example queue_depth [FRAMES]` fills queues with 1000 frames and with FRAMES
//! (100,000, unless given), and prints what publishing, receiving, extending, consuming and looking at the depth take
//! at that depth, and a look for frames where there are none, each a hundred times. A part of the frames is in hand
//! all the while, as that is which store collects.
#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::{
    env,
    time::{Duration, Instant},
};

use anyhow::Context;
use millstream::{
    database::Database,
    queue::{
        EncodedFrame, Publish,
        QueueName::{self, Analyze, Store, Validate},
        ReceiveLimits, SqliteOptions, SqliteQueues, Verdict,
    },
};
use stages::frame::{FrameId, Lane};
use tokio::time::sleep;

const LANES: u16 = 4;
const BYTES: usize = 2 << 10;
const AT_ONCE: usize = 16;
const TIMES: usize = 100;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let deep: u64 =
        env::args().nth(1).map_or(Ok(100_000), |frames| frames.parse()).context("how many frames?")?;
    for queue in [Analyze, Store] {
        for frames in [1000, deep] {
            measure(queue, frames).await?;
        }
    }
    Ok(())
}

async fn measure(queue: QueueName, frames: u64) -> anyhow::Result<()> {
    let directory = tempfile::tempdir_in(".")?;
    let database = Database::open(&directory.path().join("millstream.db"))?;
    let dedupe_window = Duration::from_secs(1);
    let options = SqliteOptions { lanes: LANES, dedupe_window, ..SqliteOptions::default() };
    let queues = SqliteQueues::open(database, options).await?;
    for first in (0..frames).step_by(512) {
        publish(&queues, queue, first, frames.min(first + 512)).await?;
    }
    let collected = receive(&queues, queue, usize::try_from(frames / 5)?).await?;

    // From here on ids are forgotten.
    sleep(2 * dedupe_window).await;
    let (mut published, mut received, mut extended) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let (mut consumed, mut looked) = (Duration::ZERO, Duration::ZERO);
    let (mut next, mut in_vain) = (frames, Duration::ZERO);
    for _ in 0..TIMES {
        let begun = Instant::now();
        publish(&queues, queue, next, next + AT_ONCE as u64).await?;
        published += begun.elapsed();
        next += AT_ONCE as u64;

        let begun = Instant::now();
        let run = receive(&queues, queue, AT_ONCE).await?;
        received += begun.elapsed();

        let begun = Instant::now();
        queues.depth(queue).await?;
        looked += begun.elapsed();

        let begun = Instant::now();
        let nothing = ReceiveLimits { frames: AT_ONCE, bytes: 1, wait: Duration::ZERO };
        assert!(queues.receive(Validate, queues.holder(), nothing).await?.is_empty());
        in_vain += begun.elapsed();

        let receipts: Vec<_> = run.into_iter().map(|delivery| delivery.receipt).collect();
        let begun = Instant::now();
        queues.extend(receipts.clone()).await.into_iter().collect::<Result<(), _>>()?;
        extended += begun.elapsed();

        let begun = Instant::now();
        let verdicts = receipts.into_iter().map(|receipt| (receipt, Verdict::Done)).collect();
        queues.settle(verdicts).await.into_iter().collect::<Result<(), _>>()?;
        consumed += begun.elapsed();
    }
    let micros = |took: Duration| took.as_secs_f64() * 1e6 / TIMES as f64;
    println!(
        "{queue:>8}, {frames:>7} frames deep ({} more in hand): publish {:>6.0} µs, receive {:>6.0} µs, \
         extend {:>6.0} µs, consume {:>6.0} µs, depth {:>6.0} µs, look in vain {:>6.0} µs",
        collected.len(),
        micros(published),
        micros(received),
        micros(extended),
        micros(consumed),
        micros(looked),
        micros(in_vain),
    );
    Ok(())
}

async fn publish(queues: &SqliteQueues, queue: QueueName, from: u64, to: u64) -> anyhow::Result<()> {
    let frame = |number: u64| EncodedFrame {
        id: FrameId::ingested(1, number),
        lane: Lane((number % u64::from(LANES)) as u16),
        rows: 100,
        bytes: vec![number as u8; BYTES].into(),
    };
    let entries = (from..to).map(|number| Publish { queue, frame: frame(number) }).collect();
    Ok(queues.publish(entries).await.into_iter().collect::<Result<(), _>>()?)
}

async fn receive(
    queues: &SqliteQueues,
    queue: QueueName,
    frames: usize,
) -> anyhow::Result<Vec<millstream::queue::Delivery>> {
    let limits = ReceiveLimits { frames, bytes: 64 << 20, wait: Duration::from_secs(10) };
    Ok(queues.receive(queue, queues.holder(), limits).await?)
}
