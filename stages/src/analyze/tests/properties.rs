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

/// Device, metric, how far behind its receipt, value.
type Row = (usize, usize, i64, Option<u8>);

/// Rows of two devices and metrics: shuffled, delayed, repeated, ahead of time; with ticks and long silences
/// among them.
fn events() -> impl Strategy<Value = Vec<Event>> {
    let value = option::weighted(0.9, 0..200_u8);
    // The last is how long nothing came before it.
    let row = (0..2_usize, 0..2_usize, -60..60_i64, value, 0..3_i64)
        .prop_map(|(device, metric, behind, value, pause)| (Some((device, metric, behind, value)), pause));
    let tick = prop_oneof![4 => 0..40_i64, 1 => 900..1_100_i64].prop_map(|pause| (None, pause));
    vec(prop_oneof![10 => row, 1 => tick], 1..150).prop_map(|steps| {
        let mut now = 1_000;
        let event = |(row, pause): (Option<Row>, i64)| {
            now += pause;
            let Some((device, metric, behind, value)) = row else { return Event::Tick(now) };
            Event::Row {
                device: ["a", "b"][device],
                metric: ["m", "n"][metric],
                ts: if behind > 50 { now - behind } else { now - behind / 4 },
                value: value.map(|value| f64::from(value) / 7.0),
                received: now,
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
        let mut rest = events.as_slice();
        for (size, restart) in cuts.into_iter().cycle() {
            let (now, later) = rest.split_at(size.min(rest.len()));
            pieces.run(now);
            if restart > 0 {
                pieces.restart(restart == 1);
            }
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(pieces.readings, whole.readings);
        prop_assert_eq!(pieces.windows, whole.windows);
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
