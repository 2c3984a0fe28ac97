//! Nothing hangs on where frames end or when a process does, and windows are what a batch computation gives.

use std::collections::BTreeMap;

use proptest::{collection::vec, option, prelude::*};

use super::{
    AnalyzeConfig,
    bench::{Bench, Closed, Event, Key, Passed},
};

/// What a batch computation makes of the readings that went on.
fn group_by(readings: &[Passed]) -> BTreeMap<Key, Vec<(i64, f64)>> {
    let mut groups: BTreeMap<Key, Vec<_>> = BTreeMap::new();
    for (device, metric, ts, value, late, _) in readings {
        if let (Some(value), false) = (value, late) {
            let key = (device.clone(), metric.clone(), ts.div_euclid(10) * 10);
            groups.entry(key).or_default().push((*ts, *value));
        }
    }
    groups
}

fn assert_same(window: &Closed, rows: &[(i64, f64)]) {
    let values = || rows.iter().map(|(_, value)| *value);
    let (count, mean) = (rows.len() as f64, values().sum::<f64>() / rows.len() as f64);
    let first = rows.iter().min_by_key(|(ts, _)| *ts).unwrap().1;
    let last = rows.iter().max_by_key(|(ts, _)| *ts).unwrap().1;
    let (min, max) = (values().fold(f64::MAX, f64::min), values().fold(f64::MIN, f64::max));
    assert_eq!((window.count, window.end), (rows.len() as u64, window.key.2 + 10));
    let [window_min, window_max, window_mean, window_first, window_last] = window.numbers;
    assert_eq!([window_min, window_max, window_first, window_last], [min, max, first, last], "{window:?}");
    let near = |one: f64, other: f64| (one - other).abs() <= 1e-9;
    assert!(near(window_mean, mean), "{window:?}");
    let squares: f64 = values().map(|value| (value - mean).powi(2)).sum();
    let stddev = (rows.len() > 1).then(|| (squares / (count - 1.0)).sqrt());
    assert_eq!(window.stddev.is_some(), stddev.is_some());
    assert!(near(window.stddev.unwrap_or_default(), stddev.unwrap_or_default()), "{window:?}");
}

/// What comes next.
#[derive(Debug, Clone)]
enum Step {
    /// Device, metric, how far behind its receipt, value.
    Row(usize, usize, i64, Option<u8>),
    /// Metric, how far the count goes back, value.
    Numbered(usize, u64, u8),
    Tick,
}

/// Rows of two devices and metrics: shuffled, delayed, repeated, ahead of time; with ticks and long silences
/// among them. And of a device without a clock, whose count falls now and then, with equal values or others.
fn events() -> impl Strategy<Value = Vec<Event>> {
    let value = option::weighted(0.9, 0..200_u8);
    // The last is how long nothing came before it.
    let row = (0..2_usize, 0..2_usize, -60..60_i64, value, 0..3_i64)
        .prop_map(|(device, metric, behind, value, pause)| (Step::Row(device, metric, behind, value), pause));
    let back = prop_oneof![6 => Just(0), 2 => 1..4_u64, 1 => Just(u64::MAX)];
    let pause = prop_oneof![9 => 0..3_i64, 1 => 100..700_i64];
    let numbered = (0..2_usize, back, 0..3_u8, pause)
        .prop_map(|(metric, back, value, pause)| (Step::Numbered(metric, back, value), pause));
    let tick = prop_oneof![4 => 0..40_i64, 1 => 900..1_100_i64].prop_map(|pause| (Step::Tick, pause));
    vec(prop_oneof![10 => row, 5 => numbered, 1 => tick], 1..150).prop_map(|steps| {
        let (mut now, mut count) = (1_000, 0_u64);
        let event = |(step, pause): (Step, i64)| {
            now += pause;
            match step {
                Step::Tick => Event::Tick(now),
                Step::Row(device, metric, behind, value) => Event::Row {
                    device: ["a", "b"][device],
                    metric: ["m", "n"][metric],
                    ts: if behind > 50 { now - behind } else { now - behind / 4 },
                    value: value.map(|value| f64::from(value) / 7.0),
                    received: now,
                },
                Step::Numbered(metric, back, value) => {
                    count = (count + 1).saturating_sub(back);
                    let (metric, value) = (["m", "n"][metric], f64::from(value));
                    Event::Numbered { metric, seq: count, value, received: now }
                }
            }
        };
        steps.into_iter().map(event).collect()
    })
}

fn config(idle_secs: u64) -> AnalyzeConfig {
    AnalyzeConfig {
        dedupe_secs: 600,
        allowed_lateness_secs: 5,
        idle_secs,
        window_secs: 10,
        open_windows_max: 3,
        ..AnalyzeConfig::default()
    }
}

/// Each cut is how many events a frame has at most, and whether the process ends after it.
fn run_in_pieces(bench: &mut Bench, mut rest: &[Event], cuts: Vec<(usize, u8)>) {
    for (size, restart) in cuts.into_iter().cycle() {
        let (now, later) = rest.split_at(size.min(rest.len()));
        bench.run(now);
        if restart > 0 {
            bench.restart(restart == 1);
        }
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
}

proptest! {
    #[test]
    fn frame_boundaries_and_restarts_change_nothing(
        events in events(),
        cuts in vec((1..10_usize, 0..3_u8), 1..40),
    ) {
        let config = config(1_000);
        let mut whole = Bench::new(&config);
        whole.run(&events);
        let mut pieces = Bench::new(&config);
        run_in_pieces(&mut pieces, &events, cuts);
        prop_assert_eq!(pieces.readings, whole.readings);
        prop_assert_eq!(pieces.windows, whole.windows);
    }

    /// Each message is sent until the device has heard that it is durable, with all after it.
    #[test]
    fn what_a_device_without_a_clock_sends_again_is_one_row(
        sent in vec((0..2_usize, 0..2_u8, 0..4_usize, 0..5_i64), 1..100),
        cuts in vec((1..10_usize, 0..3_u8), 1..40),
    ) {
        let (mut rows, mut events, mut now) = (Vec::new(), Vec::new(), 1_000);
        for (seq, (metric, value, again, pause)) in (0_u64..).zip(sent) {
            rows.push((["m", "n"][metric], seq, f64::from(value)));
            for (metric, seq, value) in &rows[rows.len().saturating_sub(again + 1)..] {
                now += pause;
                events.push(Event::Numbered { metric, seq: *seq, value: *value, received: now });
            }
            let last = events.len() - 1;
            if again > 0 {
                events.push(events[last]);
            }
        }
        let mut bench = Bench::new(&AnalyzeConfig { dedupe_secs: 3_000, ..config(1 << 30) });
        run_in_pieces(&mut bench, &events, cuts);
        let found: Vec<_> = bench.readings.iter().map(|row| (&*row.1, row.3.unwrap())).collect();
        prop_assert_eq!(found, rows.iter().map(|(metric, _, value)| (*metric, *value)).collect::<Vec<_>>());
    }

    #[test]
    fn windows_are_a_group_by_over_readings_that_are_not_late(events in events()) {
        let mut bench = Bench::new(&config(1 << 30));
        bench.run(&events);
        // All devices are silent from here on.
        bench.run(&[Event::Tick(1 << 40)]);
        let mut groups = group_by(&bench.readings);
        for window in &bench.windows {
            let rows = groups.remove(&window.key);
            assert_same(window, &rows.unwrap_or_else(|| panic!("{window:?} for nothing, or again")));
        }
        prop_assert_eq!(groups, BTreeMap::new());
    }

    /// A device that was forgotten may have a second row of a window.
    #[test]
    fn every_reading_that_is_not_late_counts_once(events in events()) {
        let mut bench = Bench::new(&config(1_000));
        bench.run(&events);
        bench.run(&[Event::Tick(1 << 40)]);
        let mut counted: BTreeMap<Key, u64> = BTreeMap::new();
        for window in &bench.windows {
            *counted.entry(window.key.clone()).or_default() += window.count;
        }
        let rows = group_by(&bench.readings).into_iter().map(|(key, rows)| (key, rows.len() as u64));
        prop_assert_eq!(counted, rows.collect());
    }
}
