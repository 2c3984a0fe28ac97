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

/// Rows of device c, which has numbers and no clock.
fn numbered(secs: std::ops::Range<i64>, again: i64) -> Vec<Event> {
    let row = |secs: i64| Event::Numbered {
        metric: "m",
        seq: secs.unsigned_abs(),
        value: 5.0,
        received: secs + again,
    };
    secs.map(row).collect()
}

#[test]
fn of_rows_with_a_number_and_no_time_the_newest_are_remembered_too() {
    let mut bench = bench();
    for secs in (0..12_000).step_by(500) {
        bench.run(&numbered(secs..(secs + 500), 0));
        assert!(bench.state.size() <= BYTES_MAX as usize, "{} bytes", bench.state.size());
    }
    assert!(bench.state.take_forgotten() > 4_000);
    bench.run(&numbered(11_000..12_000, 1_000));
    assert_eq!(bench.readings.len(), 12_000);
}

/// The state of a version that remembered identities by metric: of device a, so many rows as those of [`rows`].
fn before(secs: i64) -> Vec<u8> {
    let mut buckets: Vec<(i64, Vec<[u8; 8]>)> = Vec::new();
    let rows: Vec<_> = (0..secs).map(|secs| ("a", secs, None, (secs as f64).sqrt(), secs)).collect();
    let frame = frame(&rows);
    let readings = Readings::of(&frame).unwrap();
    for row in 0..readings.len() {
        let ts = readings.ts(row);
        let number = ts / 60_000_000;
        if buckets.last().is_none_or(|(last, _)| *last != number) {
            buckets.push((number, Vec::new()));
        }
        buckets.last_mut().unwrap().1.push(identity(&readings, row, Some(ts)).to_le_bytes());
    }
    let newest = (secs - 1) * 1_000_000;
    let level = (2_u64, 20.0_f64, 0.0_f64);
    let series = [("m", level, (newest, buckets), Vec::<u8>::new())].to_vec();
    postcard::to_stdvec(&[("a", newest, newest, i64::MIN, false, series)].to_vec()).unwrap()
}

#[test]
fn of_what_an_older_version_remembered_the_newest_stays() {
    let mut bench = bench();
    bench.deltas.push(before(10_000));
    bench.restart(false);
    bench.run(&rows(9_999..10_001));
    let forgotten = bench.state.take_forgotten();
    assert!((2_000..6_500).contains(&forgotten), "{forgotten} rows");
    assert!(bench.state.size() <= BYTES_MAX as usize, "{} bytes", bench.state.size());
    bench.run(&rows(7_000..10_000));
    assert_eq!(bench.readings.len(), 1, "all others are repeats");
}

#[test]
fn what_is_newest_of_each_device_stays_also_where_it_is_too_much() {
    let mut bench = bench();
    let names: Vec<&'static str> = (0..500).map(|name| &*format!("{name}").leak()).collect();
    let rows = |secs: i64| -> Vec<Event> {
        let row = |device: &&'static str| Event::Row {
            device,
            metric: "m",
            ts: secs,
            value: Some((secs as f64).sqrt()),
            received: secs,
        };
        names.iter().map(row).collect()
    };
    for secs in 0..200 {
        bench.run(&rows(secs));
    }
    bench.run(&(150..200).flat_map(rows).collect::<Vec<_>>());
    assert_eq!(bench.readings.len(), 100_000);
}

#[test]
fn indexes_have_a_bound_too() {
    let mut bench = bench();
    bench.run(&rows(0..6_000));
    assert_eq!(bench.state.indexes(), 0, "nothing was looked for");
    for secs in (0..6_000).step_by(1_000) {
        // All in one frame, and from each chunk.
        bench.run(&[rows(secs..secs + 100), rows(0..6_000)].concat());
        let indexes = bench.state.indexes();
        assert!(indexes <= BYTES_MAX as usize / 2, "{indexes} bytes");
    }
    assert_eq!(bench.readings.len(), 6_000);
}

#[test]
fn it_is_read_whatever_the_config_says_now() {
    for (before, after) in [(7_200, 60), (60, 7_200), (7_200, 600)] {
        let config = |dedupe_secs| AnalyzeConfig { dedupe_secs, window_secs: 0, ..AnalyzeConfig::default() };
        let (mut whole, mut other) = (Bench::new(&config(before)), Bench::new(&config(before)));
        for round in 0..60 {
            let live = 8_000 + round * 10;
            let backlog = 5_000 + round * 20;
            for bench in [&mut whole, &mut other] {
                if round == 30 {
                    bench.analyze = Analyze::new(&config(after));
                }
                bench.run(&rows(live..live + 10));
                bench.run(&[Event::Tick(live + 10)]);
                bench.run(&rows(backlog..backlog + 20));
                bench.run(&rows(live..live + 5));
            }
            other.restart(round % 10 == 9);
            assert_eq!(other.state.size(), whole.state.size(), "{before} to {after}, round {round}");
        }
        assert_eq!(other.readings, whole.readings, "{before} to {after}");
    }
}
