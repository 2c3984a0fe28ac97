mod bench;
mod count;
mod properties;
mod room;
mod series;
mod windows;

use super::*;
use crate::frame::{Frame, FrameId, Header, Lane, Reading, ReadingsBuilder};

/// Device, seconds, sequence number, value, second of receipt.
type Row = (&'static str, i64, Option<u64>, f64, i64);

fn frame(rows: &[Row]) -> Frame {
    let mut builder = ReadingsBuilder::new(&[]);
    for (device_id, secs, seq, value, received) in rows {
        builder.append(&Reading {
            device_id,
            metric: "temperature",
            ts: secs * 1_000_000,
            value: Some(*value),
            seq: *seq,
            received_at: received * 1_000_000,
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

fn analyze() -> Analyze {
    Analyze::new(&AnalyzeConfig {
        dedupe_secs: 600,
        allowed_lateness_secs: 60,
        idle_secs: 86_400,
        window_secs: 0,
        ..AnalyzeConfig::default()
    })
}

/// What comes out, as (second, late) per row.
fn passed(plan: &Plan) -> Vec<(i64, bool)> {
    let mut passed = Vec::new();
    for (_, frame) in &plan.publish {
        let readings = Readings::of(frame).unwrap();
        for row in 0..readings.len() {
            passed.push((readings.ts(row) / 1_000_000, readings.score(row).unwrap().0));
        }
    }
    passed
}

const NOW: i64 = 1_000_000;

#[track_caller]
fn check(rows: &[Row], expected: &[(i64, bool)]) {
    let plan = analyze().plan(&mut AnalyzeState::default(), &frame(rows)).unwrap();
    assert_eq!(passed(&plan), expected);
    assert_eq!(plan.counts.produced + plan.counts.repeated, rows.len() as u64);
    assert_eq!(plan.counts.late, expected.iter().filter(|(_, late)| *late).count() as u64);
}

#[test]
fn a_repeat_is_dropped_and_its_like_are_not() {
    let row = ("a", 100, Some(1), 20.0, NOW);
    check(&[row, row], &[(100, false)]);
    check(&[row, ("a", 100, Some(2), 20.0, NOW)], &[(100, false), (100, false)]);
    check(&[row, ("a", 100, Some(1), 20.5, NOW)], &[(100, false), (100, false)]);
    check(&[row, ("b", 100, Some(1), 20.0, NOW)], &[(100, false), (100, false)]);
    check(&[row, ("a", 101, Some(1), 20.0, NOW)], &[(100, false), (101, false)]);
    check(&[row, ("a", 100, None, 20.0, NOW)], &[(100, false), (100, false)]);
}

#[test]
fn equal_rows_without_a_sequence_are_one() {
    check(&[("a", 100, None, 20.0, NOW), ("a", 100, None, 20.0, NOW + 5)], &[(100, false)]);
}

#[test]
fn a_repeat_behind_newer_rows_is_found() {
    let rows = [
        ("a", 100, Some(1), 1.0, NOW),
        ("a", 700, Some(2), 2.0, NOW),
        ("a", 100, Some(1), 1.0, NOW),
        ("a", 99, Some(0), 1.0, NOW),
    ];
    check(&rows, &[(100, false), (700, false), (99, true)]);
}

#[test]
fn rows_of_one_instant_are_told_apart_however_many() {
    let once: Vec<Row> = (0..1_000).map(|seq| ("a", 100, Some(seq), 1.0, NOW)).collect();
    let twice = [once.clone(), once].concat();
    check(&twice, &[(100, false); 1_000]);
}

#[test]
fn late_rows_are_marked_and_kept() {
    let rows = [
        ("a", 1_000, None, 1.0, NOW),
        ("a", 940, None, 1.0, NOW),
        ("a", 939, None, 1.0, NOW),
        ("b", 1, None, 1.0, NOW),
    ];
    check(&rows, &[(1_000, false), (940, false), (939, true), (1, false)]);
}

#[test]
fn a_clock_that_runs_ahead_makes_no_other_row_late() {
    let rows = [("a", NOW + 50_000, None, 1.0, NOW), ("a", NOW, None, 2.0, NOW)];
    check(&rows, &[(NOW + 50_000, false), (NOW, false)]);
}

#[test]
fn a_device_that_was_silent_for_long_starts_anew() {
    let analyze = analyze();
    let mut state = AnalyzeState::default();
    analyze.plan(&mut state, &frame(&[("a", NOW, None, 1.0, NOW)])).unwrap();
    let later = NOW + 86_401;
    let plan = analyze.plan(&mut state, &frame(&[("a", 5, None, 1.0, later)])).unwrap();
    assert_eq!(passed(&plan), [(5, false)], "its old watermark is forgotten");
}

#[test]
fn idle_devices_leave_the_snapshot() {
    let analyze = analyze();
    let mut state = AnalyzeState::default();
    analyze.plan(&mut state, &frame(&[("a", 1, None, 1.0, NOW)])).unwrap();
    let with_idle = analyze.snapshot(&mut state).unwrap().len();
    let later = NOW + 86_401;
    analyze.plan(&mut state, &frame(&[("b", 1, None, 1.0, later)])).unwrap();
    analyze.plan(&mut state, &Frame::tick(Lane(0), later * 1_000_000)).unwrap();
    assert_eq!(analyze.snapshot(&mut state).unwrap().len(), with_idle);
}

/// Rows of a device that comes through another lane of transform may be ahead of it by more than the idle time.
#[test]
fn a_device_is_not_idle_because_another_one_is_ahead() {
    let analyze = analyze();
    let mut state = AnalyzeState::default();
    let row = ("a", NOW, Some(1), 1.0, NOW);
    analyze.plan(&mut state, &frame(&[row])).unwrap();
    analyze.plan(&mut state, &frame(&[("b", NOW, None, 1.0, NOW + 90_000)])).unwrap();
    let mut restored = AnalyzeState::default();
    let snapshot = analyze.snapshot(&mut state).unwrap();
    analyze.apply(&mut restored, &snapshot).unwrap();
    for state in [&mut state, &mut restored] {
        let plan = analyze.plan(state, &frame(&[("a", NOW, Some(1), 1.0, NOW + 10)])).unwrap();
        assert_eq!(plan.counts.repeated, 1);
    }
}

#[test]
fn the_scores_of_a_spike_stand_out() {
    let mut rows: Vec<Row> = (0..100).map(|secs| ("a", secs, None, (secs % 7) as f64, NOW)).collect();
    rows.push(("a", 100, None, 1_000.0, NOW));
    let plan = analyze().plan(&mut AnalyzeState::default(), &frame(&rows)).unwrap();
    let columns = &plan.publish[0].1.rows;
    let anomaly = columns.column_by_name("anomaly").unwrap();
    let anomaly = anomaly.as_any().downcast_ref::<BooleanArray>().unwrap();
    let marked: Vec<_> = (0..rows.len()).filter(|row| anomaly.value(*row)).collect();
    assert_eq!(marked, [100]);
}
