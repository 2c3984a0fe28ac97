use std::collections::BTreeMap;

use arrow_select::interleave::interleave_record_batch;
use proptest::prelude::*;

use super::*;
use crate::frame::{Frame, FrameId, Header, Lane, Reading, ReadingsBuilder, Scores};

fn micros(text: &str) -> Micros {
    chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros()
}

fn readings(rows: &[(&str, &str, f64)]) -> Frame {
    let mut builder = ReadingsBuilder::new(&[]);
    for (device_id, ts, value) in rows {
        builder.append(&Reading {
            device_id,
            metric: "value",
            ts: micros(ts),
            value: Some(*value),
            ..Reading::default()
        });
    }
    builder.finish(header()).unwrap()
}

fn header() -> Header {
    Header { id: FrameId([0; 16]), kind: Kind::Readings, lane: Lane(0), created_at: 0, epoch: 0, trace: None }
}

#[track_caller]
fn check_directory(granularity: Granularity, ts: &str, expected: &str) {
    let partition = granularity.partition(micros(ts));
    assert!(partition.contains(micros(ts)), "{ts} is in {partition:?}");
    assert_eq!(granularity.directory(partition), expected);
    let named = expected.split('/').fold(None, |around, name| Partition::named(name, around));
    assert_eq!(named, Some(partition), "{expected} is read back");
}

#[test]
fn directories_are_named_in_hive_style() {
    check_directory(Granularity::Day, "2024-02-29T23:59:59.999999Z", "date=2024-02-29");
    check_directory(Granularity::Day, "2024-03-01T00:00:00Z", "date=2024-03-01");
    check_directory(Granularity::Day, "1969-12-31T23:59:59Z", "date=1969-12-31");
    check_directory(Granularity::Month, "2024-12-31T23:00:00Z", "month=2024-12");
    check_directory(Granularity::Month, "1969-12-31T23:59:59Z", "month=1969-12");
    check_directory(Granularity::Hour, "2024-02-29T05:30:00Z", "date=2024-02-29/hour=05");
    check_directory(Granularity::Hour, "1969-12-31T23:59:59Z", "date=1969-12-31/hour=23");
}

#[test]
fn rows_are_cut_at_partitions_and_sorted_by_device_and_time() {
    let first = readings(&[
        ("b", "2024-01-02T00:00:01Z", 1.0),
        ("a", "2024-01-02T00:00:02Z", 2.0),
        ("b", "2024-01-01T12:00:00Z", 3.0),
    ]);
    let second = readings(&[("a", "2024-01-02T00:00:01Z", 4.0), ("c", "2024-01-01T00:00:00Z", 5.0)]);
    let runs = arrange(Dataset::Readings, Granularity::Day, &[first.rows, second.rows]).unwrap();
    let places = |order: Vec<Stretch>| order.iter().flat_map(Stretch::places).collect::<Vec<_>>();
    let rows: Vec<_> = runs.into_iter().map(|(_, order)| places(order)).collect();
    assert_eq!(rows, [vec![(0, 2), (1, 1)], vec![(1, 0), (0, 1), (0, 0)]]);
}

#[test]
fn what_is_already_in_the_lake_is_left_out() {
    let frame = readings(&[("a", "2024-01-01T23:59:59Z", 1.0), ("a", "2024-01-02T00:00:00Z", 2.0)]);
    let written = [Granularity::Day.partition(micros("2024-01-01T00:00:00Z"))];
    let rows = without_written(Dataset::Readings, &frame.rows, &written).unwrap();
    let left = Frame { rows, ..frame };
    assert_eq!(crate::frame::Readings::of(&left).unwrap().value(0), Some(2.0));
    assert_eq!(left.rows.num_rows(), 1);
}

/// Rows sorted one by one.
fn slowly_arranged(batches: &[RecordBatch]) -> Vec<Vec<(usize, usize)>> {
    let mut parts: BTreeMap<Partition, Vec<_>> = BTreeMap::new();
    for (batch, rows) in batches.iter().enumerate() {
        let keys = Keys::of(Dataset::Readings, rows).unwrap();
        for row in 0..rows.num_rows() {
            let (name, ts) = keys.of_row(row);
            let part = parts.entry(Granularity::Hour.partition(ts)).or_default();
            part.push((name.to_owned(), ts, (batch, row)));
        }
    }
    let order = |mut part: Vec<(String, Micros, (usize, usize))>| {
        part.sort();
        part.into_iter().map(|(_, _, place)| place).collect()
    };
    parts.into_values().map(order).collect()
}

/// Of which device, how much later than the one before, a flag, a number, and how many readings.
type Message = (usize, i64, Option<bool>, Option<u64>, usize);

/// Readings of random devices, at times that go on most often, with what may be null now here, now nowhere.
fn some_batches() -> impl Strategy<Value = Vec<RecordBatch>> {
    let row = (0..6_usize, -2..9_i64, any::<Option<bool>>(), any::<Option<u64>>(), 1..5_usize);
    let batch = (prop::collection::vec(row, 0..16), any::<[bool; 3]>());
    prop::collection::vec(batch, 1..6).prop_map(|batches| {
        let mut now = 3_600_000_000;
        let rows = |(rows, [texts, units, flags]): (Vec<Message>, [bool; 3])| {
            let (mut builder, mut scores) = (ReadingsBuilder::new(&["site".to_owned()]), Scores::default());
            for (device, step, mark, seq, metrics) in rows {
                now += step * 100_000_000;
                for metric in ["a", "b", "c", "d"].into_iter().take(metrics) {
                    builder.append(&Reading {
                        device_id: ["x", "xy", "a", "", "ä", "m"][device],
                        metric,
                        ts: now,
                        value: seq.map(|seq| seq as f64),
                        text: mark.filter(|_| texts).map(|_| "text"),
                        unit: seq.filter(|_| units).map(|_| metric),
                        seq,
                        message: device as u64,
                        tags: &[mark.filter(|mark| *mark && units).map(|_| "north")],
                        ..Reading::default()
                    });
                    scores.late.push(flags && mark == Some(true));
                    scores.anomaly_score.push(0.5);
                    scores.anomaly.push(flags);
                }
            }
            let header = header();
            let frame = builder.finish(header).unwrap();
            scores.add_to(&frame.rows, frame.header).unwrap().rows
        };
        batches.into_iter().map(rows).collect()
    })
}

proptest! {
    #[test]
    fn rows_are_arranged_as_if_each_was_sorted(batches in some_batches()) {
        let runs = arrange(Dataset::Readings, Granularity::Hour, &batches).unwrap();
        let places = |order: &[Stretch]| order.iter().flat_map(Stretch::places).collect::<Vec<_>>();
        let arranged: Vec<_> = runs.iter().map(|(_, order)| places(order)).collect();
        prop_assert_eq!(&arranged, &slowly_arranged(&batches));

        let batches: Vec<_> = batches.iter().collect();
        let mut gather = Gather::of(&batches).unwrap();
        for (_, order) in runs {
            // Also again with what was numbered before.
            for part in order.chunks(5).chain([&*order]) {
                let expected = interleave_record_batch(&batches, &places(part)).unwrap();
                prop_assert_eq!(gather.take(part).unwrap(), expected);
            }
        }
    }

    #[test]
    fn every_instant_has_one_partition(ts in -200_000_000_000_000_000_i64..200_000_000_000_000_000) {
        for granularity in [Granularity::Month, Granularity::Day, Granularity::Hour] {
            let partition = granularity.partition(ts);
            prop_assert!(partition.contains(ts));
            prop_assert_eq!(granularity.partition(partition.start), partition);
            prop_assert!(!granularity.directory(partition).is_empty());
        }
    }
}
