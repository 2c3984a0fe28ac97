//! Metrics that fall silent, and a great many of them.

use super::{
    bench::{Bench, Event, micros},
    *,
};

fn config() -> AnalyzeConfig {
    AnalyzeConfig {
        dedupe_secs: 50,
        allowed_lateness_secs: 5,
        idle_secs: 100,
        window_secs: 10,
        ..AnalyzeConfig::default()
    }
}

fn of(metric: &'static str, ts: i64, value: f64) -> Event {
    Event::Row { device: "a", metric, ts, value: Some(value), received: ts }
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|name| format!("metric-{name}")).collect()
}

fn rows(names: &[String], secs: i64) -> Frame {
    let mut builder = ReadingsBuilder::new(&[]);
    for metric in names {
        let (ts, received_at) = (micros(secs), micros(secs));
        let value = Some(1.0);
        builder.append(&Reading { device_id: "a", metric, ts, value, received_at, ..Reading::default() });
    }
    let header = Frame::tick(Lane(0), 0).header;
    builder.finish(Header { kind: Kind::Readings, ..header }).unwrap()
}

/// The score of an unusual value of a metric whose last value came so many seconds before, of a device that has
/// another one; `restart` is done just before.
fn score_after(silence: i64, restart: impl Fn(&mut Bench)) -> f64 {
    let mut bench = Bench::new(&config());
    for ts in 0..50 {
        bench.run(&[of("m", ts, 1.0)]);
    }
    for ts in 50..(49 + silence) {
        bench.run(&[of("n", ts, 1.0)]);
    }
    restart(&mut bench);
    bench.run(&[of("m", 49 + silence, 2.0)]);
    bench.readings.last().unwrap().5
}

#[test]
fn a_metric_that_was_silent_for_long_begins_anew_whether_or_not_it_was_let_go_of() {
    for (silence, expected) in [(100, 1.0), (101, 0.0), (102, 0.0)] {
        assert_eq!(score_after(silence, |_| {}), expected, "after {silence} s");
        assert_eq!(
            score_after(silence, |bench| bench.restart(false)),
            expected,
            "after {silence} s, by deltas"
        );
        assert_eq!(
            score_after(silence, |bench| bench.restart(true)),
            expected,
            "after {silence} s, by a snapshot"
        );
    }
}

#[test]
fn windows_go_out_in_an_order_that_does_not_hang_on_what_was_let_go_of() {
    for snapshot in [false, true] {
        let mut bench = Bench::new(&config());
        bench.run(&[of("m", 0, 1.0), of("n", 0, 1.0), of("n", 150, 1.0)]);
        bench.restart(snapshot);
        bench.run(&[of("m", 151, 1.0), Event::Tick(200)]);
        let found: Vec<_> = bench.windows.iter().map(|window| (&*window.key.1, window.key.2)).collect();
        assert_eq!(found, [("m", 0), ("n", 0), ("m", 150), ("n", 150)]);
    }
}

#[test]
fn metrics_that_never_come_again_are_let_go_of() {
    let analyze = Analyze::new(&config());
    let mut state = AnalyzeState::default();
    let mut sizes = Vec::new();
    for (step, names) in (0..).zip(names(10_000).chunks(1_000)) {
        analyze.plan(&mut state, &rows(names, 60 * step)).unwrap();
        sizes.push(analyze.snapshot(&mut state).unwrap().len());
    }
    assert!(sizes[9] < 3 * sizes[0], "{sizes:?}");
    assert_eq!(state.metrics(), 2_000);
    let mut found = AnalyzeState::default();
    analyze.apply(&mut found, &analyze.snapshot(&mut state).unwrap()).unwrap();
    assert_eq!(found.metrics(), 2_000);
}

#[test]
fn a_device_may_have_a_great_many_metrics() {
    let analyze = Analyze::new(&config());
    let mut state = AnalyzeState::default();
    let names = names(20_000);
    let plan = analyze.plan(&mut state, &rows(&names, 1)).unwrap();
    assert_eq!(plan.counts.consumed, 20_000);
    // The same rows are repeats: each metric finds its own.
    let plan = analyze.plan(&mut state, &rows(&names, 1)).unwrap();
    assert_eq!(plan.counts.repeated, 20_000);
}
