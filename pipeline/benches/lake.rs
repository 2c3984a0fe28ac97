//! What the writer of the lake costs per row, from frames as store collects them to a Parquet file. Run it with
//! `cargo bench -p millstream --bench lake`; `items/s` are rows.

#![expect(clippy::unwrap_used, reason = "a benchmark may fail")]
#![allow(missing_docs, reason = "a benchmark is called by its name")]

use arrow_array::RecordBatch;
use divan::{Bencher, counter::ItemsCount};
use millstream::lake::write_parquet;
use stages::{
    frame::{Frame, FrameId, Header, Kind, Lane, Reading, ReadingsBuilder, Scores},
    store::{Dataset, Granularity, arrange},
};

/// Messages of a roll, each of four readings.
const MESSAGES: u64 = 50_000;
/// How many messages one frame of a roll holds.
const SIZES: [u64; 2] = [200, 2_000];
const DEVICES: u64 = 1_000;
const METRICS: [&str; 4] = ["temperature", "humidity", "pressure", "vibration"];
/// 2024-01-01T00:00:00Z.
const START: i64 = 1_704_067_200_000_000;

fn main() {
    divan::main();
}

/// Joins what was collected, as a roll does before it sorts.
#[divan::bench(args = SIZES, sample_count = 10, sample_size = 1)]
fn join(bencher: Bencher<'_, '_>, size: u64) {
    let frames: Vec<Frame> = (0..MESSAGES / size).map(|frame| readings(frame * size, size)).collect();
    bencher.counter(ItemsCount::new(MESSAGES * 4)).bench_local(|| Frame::coalesce(&frames).unwrap());
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn sort(bencher: Bencher<'_, '_>) {
    let batches = [readings(0, MESSAGES).rows];
    bencher
        .counter(ItemsCount::new(MESSAGES * 4))
        .bench_local(|| arrange(Dataset::Readings, Granularity::Day, &batches).unwrap());
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn write(bencher: Bencher<'_, '_>) {
    let batches: [RecordBatch; 1] = [readings(0, MESSAGES).rows];
    let partitions = arrange(Dataset::Readings, Granularity::Day, &batches).unwrap();
    let order = partitions.into_iter().next().unwrap().1;
    bencher
        .counter(ItemsCount::new(order.len()))
        .with_inputs(|| tempfile::tempfile().unwrap())
        .bench_local_values(|file| write_parquet(file, Dataset::Readings, &batches, &order).unwrap());
}

fn readings(first: u64, count: u64) -> Frame {
    let mut rows = ReadingsBuilder::new(&[]);
    let mut scores = Scores::default();
    for message in first..first + count {
        let ts = START + i64::try_from(message * 100).unwrap();
        let wave = (message as f64 * 0.37).sin();
        let row = Reading {
            device_id: &format!("device-{:06}", message % DEVICES),
            ts: ts - ts % 1_000,
            seq: Some(message / DEVICES),
            received_at: ts + 1_500,
            message,
            ..Reading::default()
        };
        let values = [20.0 + wave, 40.0 + 3.0 * wave, 1013.25 + wave, 0.0173 + 0.001 * wave];
        for (metric, value) in METRICS.into_iter().zip(values) {
            rows.append(&Reading { metric, value: Some((value * 1e3).round() / 1e3), ..row });
        }
        for metric in 0..4 {
            scores.late.push(false);
            scores.anomaly_score.push((wave * f64::from(metric)).abs());
            scores.anomaly.push(false);
        }
    }
    let id = FrameId::ingested(1, first);
    let header = Header { id, kind: Kind::Readings, lane: Lane(0), created_at: 0, epoch: 1, trace: None };
    let frame = rows.finish(header).unwrap();
    scores.add_to(&frame.rows, frame.header).unwrap()
}
