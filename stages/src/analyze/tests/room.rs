//! The bound of what is remembered of repeats.

use super::{
    bench::{Bench, Event, row},
    *,
};

const BYTES_MAX: u64 = 64 << 10;

fn bench() -> Bench {
    let config =
        AnalyzeConfig { dedupe_secs: 1 << 30, dedupe_bytes_max: BYTES_MAX, ..AnalyzeConfig::default() };
    Bench::new(&AnalyzeConfig { window_secs: 0, ..config })
}

/// Values that take many bytes.
fn rows(secs: std::ops::Range<i64>) -> Vec<Event> {
    secs.map(|secs| row(secs, (secs as f64).sqrt())).collect()
}

#[test]
fn what_lies_furthest_back_is_forgotten_early_and_counted() {
    let mut bench = bench();
    for secs in (0..20_000).step_by(500) {
        bench.run(&rows(secs..(secs + 500)));
        assert!(bench.state.size() <= BYTES_MAX as usize, "{} bytes", bench.state.size());
    }
    let forgotten = bench.state.take_forgotten();
    assert!((5_000..19_000).contains(&forgotten), "{forgotten} rows");
    assert_eq!(bench.state.take_forgotten(), 0, "they were told");
    assert_eq!(bench.readings.len(), 20_000, "each is new");
    bench.run(&rows(19_000..20_000));
    assert_eq!(bench.readings.len(), 20_000, "the newest are remembered");
    bench.run(&rows(0..100));
    assert_eq!(bench.readings.len(), 20_100, "the oldest are not, and are kept");
}

#[test]
fn another_process_remembers_the_same() {
    for snapshot in [false, true] {
        let (mut whole, mut other) = (bench(), bench());
        for secs in (0..9_000).step_by(500) {
            // Some of them again, from where memory ends.
            for bench in [&mut whole, &mut other] {
                bench.run(&rows(secs..(secs + 500)));
                bench.run(&rows(secs / 2..(secs / 2 + 300)));
            }
            other.restart(snapshot);
            assert_eq!(other.state.size(), whole.state.size(), "at {secs}");
        }
        assert!(whole.state.take_forgotten() > 0);
        assert_eq!(other.readings, whole.readings);
    }
}

#[test]
fn devices_whose_clocks_stand_still_do_not_break_it() {
    let mut bench = bench();
    for round in 0..40 {
        let events: Vec<_> = (0..500).map(|at| row(1_000, f64::from(round * 500 + at) / 7.0)).collect();
        bench.run(&events);
        assert!(bench.state.size() <= BYTES_MAX as usize, "{} bytes", bench.state.size());
    }
}
