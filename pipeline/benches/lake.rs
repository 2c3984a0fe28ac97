//! What the writer of the lake costs per row, from frames as store collects them to a Parquet file. Run it with
//! `cargo bench -p millstream --bench lake`; `items/s` are rows.

#![expect(clippy::unwrap_used, reason = "a benchmark may fail")]
#![allow(missing_docs, reason = "a benchmark is called by its name")]

mod fixture;

use arrow_array::RecordBatch;
use divan::{Bencher, counter::ItemsCount};
use millstream::lake::write_parquet;
use stages::{
    frame::{Frame, Scores},
    store::{Dataset, Granularity, arrange},
};

/// Messages of a roll, each of four readings.
const MESSAGES: u64 = 50_000;
/// How many messages one frame of a roll holds.
const SIZES: [u64; 2] = [200, 2_000];
/// Readings of a roll.
const ROWS: u64 = MESSAGES * fixture::METRICS.len() as u64;

fn main() {
    divan::main();
}

/// Joins what was collected, as a roll does before it sorts.
#[divan::bench(args = SIZES, sample_count = 10, sample_size = 1)]
fn join(bencher: Bencher<'_, '_>, size: u64) {
    let frames: Vec<Frame> = (0..MESSAGES / size).map(|frame| readings(frame * size, size)).collect();
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| Frame::coalesce(&frames).unwrap());
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn sort(bencher: Bencher<'_, '_>) {
    let batches = [readings(0, MESSAGES).rows];
    bencher
        .counter(ItemsCount::new(ROWS))
        .bench_local(|| arrange(Dataset::Readings, Granularity::Day, &batches).unwrap());
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn write(bencher: Bencher<'_, '_>) {
    let batches: [RecordBatch; 1] = [readings(0, MESSAGES).rows];
    let partitions = arrange(Dataset::Readings, Granularity::Day, &batches).unwrap();
    let order = partitions.into_iter().next().unwrap().1;
    bencher
        .counter(ItemsCount::new(ROWS))
        .with_inputs(|| tempfile::tempfile().unwrap())
        .bench_local_values(|file| write_parquet(file, Dataset::Readings, &batches, &order).unwrap());
}

/// Readings as analyze sends them on.
fn readings(first: u64, count: u64) -> Frame {
    let mut scores = Scores::default();
    for wave in (first..first + count).map(fixture::wave) {
        for (metric, _) in (0_u8..).zip(fixture::METRICS) {
            scores.late.push(false);
            scores.anomaly_score.push((wave * f64::from(metric)).abs());
            scores.anomaly.push(false);
        }
    }
    let frame = fixture::readings(first, count, 0);
    scores.add_to(&frame.rows, frame.header).unwrap()
}
