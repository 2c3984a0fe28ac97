//! Which rows count in which window, and what closes one.

use super::{
    bench::{Bench, Event, micros, received, row},
    *,
};

fn config() -> AnalyzeConfig {
    AnalyzeConfig {
        dedupe_secs: 600,
        allowed_lateness_secs: 5,
        idle_secs: 1_000,
        window_secs: 10,
        open_windows_max: 4,
        ..AnalyzeConfig::default()
    }
}

/// Which windows go out, as (start, count).
#[track_caller]
fn check(events: &[Event], expected: &[(i64, u64)]) {
    check_with(&config(), events, expected);
}

#[track_caller]
fn check_with(config: &AnalyzeConfig, events: &[Event], expected: &[(i64, u64)]) {
    let mut bench = Bench::new(config);
    bench.run(events);
    assert_eq!(bench.counts(), expected, "of {events:?}");
}

#[test]
fn a_window_closes_when_the_watermark_comes_to_its_end() {
    check(&[row(0, 1.0), row(9, 1.0), row(14, 1.0)], &[]);
    check(&[row(0, 1.0), row(9, 1.0), row(15, 1.0)], &[(0, 2)]);
    check(&[row(3, 1.0), row(47, 1.0), row(99, 1.0)], &[(0, 1), (40, 1)]);
    check(&[row(-1, 1.0), row(0, 1.0), row(15, 1.0)], &[(-10, 1), (0, 1)]);
    check(&[row(10, 1.0), row(9, 1.0), row(24, 1.0)], &[(0, 1)]);
}

#[test]
fn what_is_late_or_a_repeat_or_no_number_does_not_count() {
    check(&[row(8, 1.0), row(9, 1.0), row(14, 1.0), row(8, 1.0), row(30, 1.0)], &[(0, 2), (10, 1)]);
    check(&[row(3, 1.0), row(9, 1.0), row(3, 2.0), row(30, 1.0)], &[(0, 2)]);
    let text = Event::Row { device: "a", metric: "m", ts: 9, value: None, received: 9 };
    check(&[row(8, 1.0), text, row(30, 1.0)], &[(0, 1)]);
    check(&[text, row(30, 1.0)], &[]);
}

#[test]
fn windows_may_be_left_out() {
    let config = AnalyzeConfig { window_secs: 0, ..config() };
    check_with(&config, &[row(0, 1.0), row(100, 1.0), Event::Tick(500)], &[]);
}

#[test]
fn the_numbers_are_those_of_the_values() {
    let mut bench = Bench::new(&config());
    bench.run(&[
        row(2, 1.0),
        row(5, 4.0),
        row(5, 2.0),
        row(1, 300.0),
        row(8, 300.0),
        row(6, 1.5),
        row(50, 0.0),
    ]);
    let [window] = bench.windows.as_slice() else { panic!("{:?}", bench.windows) };
    assert_eq!((window.end, window.count, window.unit.as_deref()), (10, 6, Some("K")));
    let [min, max, mean, first, last] = window.numbers;
    assert_eq!([min, max, first, last], [1.0, 300.0, 300.0, 300.0]);
    let stddev = window.stddev.unwrap();
    for (found, expected) in [(mean, 101.416_666_666_666_67), (stddev, 153.825_360_934_621_78)] {
        assert!((found / expected - 1.0).abs() < 1e-12, "{found} for {expected}");
    }
}

#[test]
fn of_one_instant_the_first_is_first_and_the_last_is_last() {
    let mut bench = Bench::new(&config());
    bench.run(&[row(5, 3.0), row(5, 1.0), row(5, 200.0), row(5, 2.0), row(50, 0.0)]);
    let [window] = bench.windows.as_slice() else { panic!("{:?}", bench.windows) };
    assert_eq!(window.numbers, [1.0, 200.0, 51.5, 3.0, 2.0]);
    assert_eq!(window.unit.as_deref(), Some("Cel"), "that of the last");
}

#[test]
fn one_value_has_no_deviation_and_the_greatest_have_a_mean() {
    let mut bench = Bench::new(&config());
    bench.run(&[row(1, 7.0), row(11, f64::MAX), row(12, f64::MIN), row(50, 0.0)]);
    assert_eq!((bench.windows[0].stddev, bench.windows[0].numbers), (None, [7.0; 5]));
    assert_eq!(bench.windows[1].numbers[2], 0.0);
}

#[test]
fn ticks_close_the_windows_of_silent_devices() {
    let other = Event::Row { device: "b", metric: "m", ts: 3, value: Some(1.0), received: 30 };
    check(&[row(3, 1.0), Event::Tick(14)], &[]);
    check(&[row(3, 1.0), Event::Tick(15)], &[(0, 1)]);
    check(&[row(3, 1.0), Event::Tick(15), Event::Tick(15), Event::Tick(99)], &[(0, 1)]);
    check(&[row(3, 1.0), other, Event::Tick(41)], &[(0, 1)]);
    check(&[row(3, 1.0), other, Event::Tick(42)], &[(0, 1), (0, 1)]);
}

#[test]
fn a_clock_that_is_slow_stays_so_in_silence() {
    check(&[received(3, 1.0, 1_003), Event::Tick(1_014)], &[]);
    check(&[received(3, 1.0, 1_003), Event::Tick(1_015)], &[(0, 1)]);
}

#[test]
fn a_tick_from_before_the_last_row_closes_nothing() {
    check(&[row(100, 1.0), Event::Tick(50)], &[]);
}

/// Several processes tell time, and queues without order mix it up.
#[test]
fn an_older_tick_closes_nothing_and_takes_nothing_back() {
    check(&[row(3, 1.0), Event::Tick(15), Event::Tick(9), Event::Tick(15)], &[(0, 1)]);
    check(&[row(3, 1.0), Event::Tick(13), Event::Tick(4), Event::Tick(15)], &[(0, 1)]);
    check(&[row(3, 1.0), Event::Tick(15), row(22, 1.0), Event::Tick(15), Event::Tick(33)], &[(0, 1)]);
    let mut bench = Bench::new(&config());
    bench.run(&[row(3, 1.0), Event::Tick(14), Event::Tick(5), row(4, 1.0)]);
    assert!(!bench.readings.last().unwrap().4, "its window is open");
}

#[test]
fn what_comes_after_a_tick_closed_its_window_is_late() {
    let mut bench = Bench::new(&config());
    // Cut off at 13, back at 60 with all that it had kept.
    bench.run(&[row(13, 1.0), Event::Tick(55)]);
    for (ts, snapshot) in [(17, false), (18, true), (19, false)] {
        bench.restart(snapshot);
        bench.run(&[received(ts, 1.0, 60)]);
        assert!(bench.readings.last().unwrap().4, "the window that was open is closed");
    }
    bench.run(&[received(20, 1.0, 60), received(33, 1.0, 60), received(38, 1.0, 60), received(60, 1.0, 60)]);
    assert_eq!(bench.counts(), [(10, 1), (20, 1), (30, 2)], "the backlog has its windows");
    assert!(bench.readings[4..].iter().all(|row| !row.4));
}

#[test]
fn a_clock_that_runs_ahead_opens_so_many_windows_and_no_more() {
    let ahead: Vec<_> = (0..6).map(|step| received(1_000 + 10 * step, 1.0, 20)).collect();
    check(&ahead, &[(1_000, 1), (1_010, 1)]);
    let mut bench = Bench::new(&config());
    bench.run(&ahead);
    bench.run(&[received(1_015, 1.0, 20), received(1_020, 2.0, 20), Event::Tick(2_000)]);
    assert_eq!(bench.counts(), [(1_000, 1), (1_010, 1), (1_020, 2), (1_030, 1), (1_040, 1), (1_050, 1)]);
    assert!(bench.readings[6].4, "its window is closed, so it is late");
}

#[test]
fn a_device_that_is_forgotten_leaves_its_windows_behind() {
    let patient = AnalyzeConfig { allowed_lateness_secs: 1_000_000, open_windows_max: 100_000, ..config() };
    let other = Event::Row { device: "b", metric: "m", ts: 5_000, value: Some(1.0), received: 5_000 };
    // Its next row comes before any tick.
    check_with(&patient, &[row(3, 1.0), received(4_000, 1.0, 4_000)], &[(0, 1)]);
    // A tick finds it idle, however patient the watermark is.
    check_with(&patient, &[row(3, 1.0), Event::Tick(1_003)], &[]);
    check_with(&patient, &[row(3, 1.0), Event::Tick(1_004)], &[(0, 1)]);
    // A snapshot does not let go of it before.
    let mut bench = Bench::new(&patient);
    bench.run(&[row(3, 1.0), other]);
    bench.restart(true);
    bench.run(&[Event::Tick(5_001)]);
    assert_eq!(bench.windows[0].key, ("a".to_owned(), "m".to_owned(), 0));
    // After that it does.
    let with = bench.analyze.snapshot(&mut bench.state).unwrap().len();
    bench.run(&[Event::Tick(9_000)]);
    assert!(bench.analyze.snapshot(&mut bench.state).unwrap().len() < with);
    assert_eq!(bench.windows.len(), 2);
}

#[test]
fn windows_outlive_a_change_of_their_length() {
    let mut bench = Bench::new(&config());
    bench.run(&[row(3, 1.0), row(12, 1.0)]);
    bench.analyze = Analyze::new(&AnalyzeConfig { window_secs: 20, ..config() });
    bench.restart(false);
    bench.run(&[row(13, 2.0), row(14, 3.0)]);
    bench.restart(false);
    bench.run(&[row(25, 1.0), row(60, 1.0)]);
    let found: Vec<_> = bench.windows.iter().map(|window| (window.key.2, window.end, window.count)).collect();
    assert_eq!(found, [(0, 10, 1), (10, 20, 3), (20, 40, 1)]);
}

/// Windows of 10 s that `before` opens, rows of `after` with windows of another length; what then goes out, as
/// (start, end, count).
#[track_caller]
fn check_change(before: &[Event], length: u32, after: &[Event], expected: &[(i64, i64, u64)]) {
    for snapshot in [false, true] {
        let mut bench = Bench::new(&config());
        bench.run(before);
        bench.analyze = Analyze::new(&AnalyzeConfig { window_secs: length, ..config() });
        for event in after {
            bench.restart(snapshot);
            bench.run(&[*event]);
        }
        bench.run(&[Event::Tick(900)]);
        let found: Vec<_> =
            bench.windows.iter().map(|window| (window.key.2, window.end, window.count)).collect();
        assert_eq!(found, expected, "of {before:?}, then {after:?}");
    }
}

#[test]
fn windows_of_different_lengths_do_not_overlap() {
    check_change(&[row(9, 1.0)], 20, &[row(13, 1.0), row(8, 1.0)], &[(0, 10, 2), (10, 20, 1)]);
    // That of the time before has gone out.
    check_change(&[row(3, 1.0), row(15, 1.0)], 60, &[row(21, 1.0)], &[(0, 10, 1), (10, 20, 1), (20, 60, 1)]);
    check_change(&[row(3, 1.0), Event::Tick(40)], 20, &[row(41, 1.0)], &[(0, 10, 1), (40, 60, 1)]);
    check_change(&[row(3, 1.0), Event::Tick(40)], 60, &[row(41, 1.0)], &[(0, 10, 1), (10, 60, 1)]);
    // That of a time to come is open.
    check_change(&[row(12, 1.0)], 30, &[row(8, 1.0), row(21, 1.0)], &[(0, 10, 1), (10, 20, 1), (20, 30, 1)]);
    check_change(&[row(12, 1.0)], 4, &[row(13, 1.0), row(21, 1.0)], &[(10, 20, 2), (20, 24, 1)]);
}

#[test]
fn the_windows_of_many_devices_go_out_in_frames_of_bounded_size() {
    let mut bench = Bench::new(&config());
    let rows = (0..5_000).map(|device| {
        let device = format!("device-{device}").leak();
        Event::Row { device, metric: "m", ts: 1, value: Some(1.0), received: 1 }
    });
    bench.run(&rows.collect::<Vec<_>>());
    let plan = bench.analyze.plan(&mut bench.state, &Frame::tick(Lane(0), micros(100))).unwrap();
    let sizes: Vec<_> = plan.publish[1..].iter().map(|(_, frame)| frame.rows.num_rows()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 5_000);
    assert!(sizes.len() > 1 && sizes.iter().all(|rows| *rows < 3_000), "{sizes:?}");
}

#[test]
fn a_tick_that_closes_nothing_changes_no_state() {
    let mut bench = Bench::new(&config());
    bench.run(&[row(3, 1.0)]);
    let plan = bench.analyze.plan(&mut bench.state, &Frame::tick(Lane(0), micros(4))).unwrap();
    assert_eq!((plan.publish.len(), plan.delta.0.len(), plan.counts), (1, 0, Counts::default()));
}

#[test]
fn a_delta_of_one_more_row_is_small() {
    let mut bench = Bench::new(&config());
    bench.run(&[row(1, 1.0)]);
    bench.run(&[row(2, 2.0)]);
    let sizes: Vec<_> = bench.deltas.iter().map(Vec::len).collect();
    assert!(sizes[0] - sizes[1] > 50, "{sizes:?}");
}

#[test]
fn bytes_that_are_no_state_are_refused() {
    let mut bench = Bench::new(&config());
    bench.run(&[row(1, 1.0)]);
    bench.run(&[row(2, 2.0)]);
    bench.analyze.apply(&mut AnalyzeState::default(), &bench.deltas[0][..20]).unwrap_err();
    // The second says of the first's window that it has one more row.
    let error = bench.analyze.apply(&mut AnalyzeState::default(), &bench.deltas[1]).unwrap_err();
    assert!(error.to_string().ends_with("it lacks a window of m of a that it speaks of"), "{error}");
}
