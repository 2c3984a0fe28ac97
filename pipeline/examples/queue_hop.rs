//! What a hop costs: frames go through four queues, publish → receive → commit, and so on.
//!
//! `cargo run --release -p millstream --example queue_hop [FRAMES]` prints frames and bytes per second, CPU
//! per hop (from `/proc/self/stat`, so on Linux), and the floor: the same bytes appended to a plain file,
//! with an fsync for every 16 frames.
#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::{
    env,
    fs::{self, File},
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context;
use bytes::Bytes;
use millstream::{
    database::Database,
    queue::{
        Commit, EncodedFrame, NumberedDelta, Publish,
        QueueName::{self, Alert, Analyze, Store, Transform, Validate},
        ReceiveLimits, SqliteOptions, SqliteQueues, Verdict,
    },
};
use stages::{
    frame::{FrameId, Lane},
    plan::Counts,
};

const WAY: [QueueName; 5] = [Validate, Transform, Analyze, Alert, Store];
const LANES: u16 = 4;
const AT_ONCE: usize = 16;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let frames: u32 =
        env::args().nth(1).map_or(Ok(5000), |frames| frames.parse()).context("how many frames?")?;
    for (bytes, frames) in [(10 << 10, frames), (200 << 10, frames / 10)] {
        let directory = tempfile::tempdir_in(".")?;
        let floor = append(&directory.path().join("floor"), bytes, frames)?;
        let (cpu, started) = (cpu_time()?, Instant::now());
        carry(directory.path(), bytes, frames).await?;
        let (cpu, took) = (cpu_time()? - cpu, started.elapsed());
        let hops = f64::from(frames) * WAY.len() as f64;
        let rate = hops / took.as_secs_f64();
        println!(
            "{bytes:>7} bytes: {rate:>8.0} hops/s, {:>7.1} MB/s, {:>6.1} µs CPU per hop, {:.1} times the floor",
            rate * bytes as f64 / 1e6,
            cpu.as_secs_f64() * 1e6 / hops,
            took.as_secs_f64() / floor.as_secs_f64(),
        );
    }
    Ok(())
}

/// The same bytes, once per queue, to a plain file.
fn append(path: &Path, bytes: usize, frames: u32) -> anyhow::Result<Duration> {
    let (frame, started) = (body(0, bytes), Instant::now());
    let mut file = File::create(path)?;
    for number in 0..frames as usize * WAY.len() {
        file.write_all(&frame)?;
        if number % AT_ONCE == 0 {
            file.sync_data()?;
        }
    }
    Ok(started.elapsed())
}

async fn carry(directory: &Path, bytes: usize, frames: u32) -> anyhow::Result<()> {
    let database = Database::open(&directory.join("millstream.db"))?;
    let queues =
        SqliteQueues::open(database, SqliteOptions { lanes: LANES, ..SqliteOptions::default() }).await?;
    let mut tasks = Vec::new();
    for pair in WAY.windows(2) {
        for _ in 0..2 {
            tasks.push(tokio::spawn(stage(queues.clone(), pair[0], pair[1])));
        }
    }
    let last = tokio::spawn(drain(queues.clone(), frames));
    for first in (0..frames).step_by(AT_ONCE) {
        let group = (first..frames.min(first + AT_ONCE as u32)).map(|number| frame(number, bytes));
        let answers = queues.publish(group.map(|frame| Publish { queue: Validate, frame }).collect()).await;
        answers.into_iter().collect::<Result<(), _>>()?;
    }
    last.await??;
    tasks.iter().for_each(|task| task.abort());
    Ok(())
}

async fn stage(queues: SqliteQueues, from: QueueName, to: QueueName) -> anyhow::Result<()> {
    let (holder, limits) = (queues.holder(), limits());
    let mut numbers = [0; LANES as usize];
    loop {
        let run = queues.receive(from, holder, limits).await?;
        let Some(lane) = run.first().map(|delivery| delivery.frame.lane) else { continue };
        // State of its own per worker: what is measured is the writing, not the fencing.
        let stage: &'static str = Box::leak(format!("{from}-{holder:?}").into_boxed_str());
        let number = &mut numbers[usize::from(lane.0)];
        *number += 1;
        let snapshot = (*number % 100 == 0).then(|| vec![1; 10_000]);
        let mut commit = Commit {
            deltas: vec![NumberedDelta { stage, lane, number: *number, bytes: vec![1; 500], snapshot }],
            counts: vec![(from.as_str(), Counts { consumed: 1, produced: 1, ..Counts::default() })],
            ..Commit::default()
        };
        for delivery in run {
            let id = delivery.frame.id.published(from.as_str(), 0, "next", 0);
            commit.publish.push(Publish { queue: to, frame: EncodedFrame { id, ..delivery.frame } });
            commit.receipts.push(delivery.receipt);
        }
        queues.commit(vec![commit]).await.into_iter().collect::<Result<(), _>>()?;
    }
}

async fn drain(queues: SqliteQueues, frames: u32) -> anyhow::Result<()> {
    let (holder, limits) = (queues.holder(), limits());
    let mut left = frames as usize;
    while left > 0 {
        let run = queues.receive(Store, holder, limits).await?;
        left -= run.len();
        let verdicts = run.into_iter().map(|delivery| (delivery.receipt, Verdict::Done)).collect();
        queues.settle(verdicts).await.into_iter().collect::<Result<(), _>>()?;
    }
    Ok(())
}

fn limits() -> ReceiveLimits {
    ReceiveLimits { frames: AT_ONCE, bytes: 4 << 20, wait: Duration::from_secs(10) }
}

fn frame(number: u32, bytes: usize) -> EncodedFrame {
    let lane = Lane(number as u16 % LANES);
    EncodedFrame {
        id: FrameId::ingested(1, number.into()),
        lane,
        rows: 100,
        bytes: body(number, bytes).into(),
    }
}

fn body(number: u32, bytes: usize) -> Bytes {
    (0..bytes).map(|at| (at as u32).wrapping_mul(number | 1) as u8).collect()
}

/// User and system time of this process; the kernel counts in hundredths of a second.
fn cpu_time() -> anyhow::Result<Duration> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit_once(')').context("a name in brackets")?.1;
    let ticks: Vec<u64> =
        after_name.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(Duration::from_millis(ticks.iter().sum::<u64>() * 10))
}
