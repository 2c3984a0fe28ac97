use proptest::prelude::*;

use super::*;
use crate::frame::{Frame, FrameId, Header, Lane, Reading, ReadingsBuilder};

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
    let header = Header {
        id: FrameId([0; 16]),
        kind: Kind::Readings,
        lane: Lane(0),
        created_at: 0,
        epoch: 0,
        trace: None,
    };
    builder.finish(header).unwrap()
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
    let rows: Vec<_> = runs.into_iter().map(|(_, rows)| rows).collect();
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

proptest! {
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
