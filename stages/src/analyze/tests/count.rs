//! Rows that have a number and no time of their own.

use super::{
    bench::{Bench, Event},
    *,
};

/// Metric, number, value, second of receipt.
type Sent = (&'static str, u64, f64, i64);

fn config() -> AnalyzeConfig {
    AnalyzeConfig { dedupe_secs: 600, window_secs: 0, ..AnalyzeConfig::default() }
}

/// The second and value of what goes on, which is the same wherever frames end and processes begin.
#[track_caller]
fn check(sent: &[Sent], expected: &[(i64, f64)]) {
    let event = |(metric, seq, value, received): &Sent| Event::Numbered {
        metric,
        seq: *seq,
        value: *value,
        received: *received,
    };
    let events: Vec<_> = sent.iter().map(event).collect();
    for (size, restart) in
        [(events.len(), None), (1, None), (1, Some(false)), (1, Some(true)), (2, Some(false))]
    {
        let mut bench = Bench::new(&config());
        for events in events.chunks(size) {
            bench.run(events);
            if let Some(snapshot) = restart {
                bench.restart(snapshot);
            }
        }
        let passed: Vec<_> = bench.readings.iter().map(|row| (row.2, row.3.unwrap())).collect();
        assert_eq!(passed, expected, "in frames of {size}, restarted {restart:?}");
    }
}

#[test]
fn what_is_received_again_is_one_row() {
    check(&[("m", 1, 5.0, 1_000), ("m", 1, 5.0, 1_030)], &[(1_000, 5.0)]);
    let sent = [
        ("m", 1, 5.0, 1_000),
        ("m", 2, 5.0, 1_100),
        ("m", 3, 5.0, 1_200),
        ("m", 1, 5.0, 1_300),
        ("m", 2, 5.0, 1_300),
        ("m", 3, 5.0, 1_300),
        ("m", 4, 5.0, 1_300),
    ];
    check(&sent, &[(1_000, 5.0), (1_100, 5.0), (1_200, 5.0), (1_300, 5.0)]);
}

#[test]
fn other_numbers_values_and_metrics_are_other_rows() {
    let sent = [("m", 1, 5.0, 1_000), ("n", 1, 5.0, 1_001), ("m", 2, 5.0, 1_002), ("m", 2, 6.0, 1_003)];
    check(&sent, &[(1_000, 5.0), (1_001, 5.0), (1_002, 5.0), (1_003, 6.0)]);
}

#[test]
fn it_is_remembered_as_long_as_any_row() {
    let one = |again| [("m", 1, 5.0, 1_000), ("n", 2, 5.0, again), ("m", 1, 5.0, again + 1)];
    check(&one(1_599), &[(1_000, 5.0), (1_599, 5.0)]);
    check(&one(1_700), &[(1_000, 5.0), (1_700, 5.0), (1_701, 5.0)]);
}

#[test]
fn a_count_that_begins_anew_is_another_one() {
    let sent = [
        ("on", 1, 1.0, 1_000),
        ("m", 1, 5.0, 1_000),
        ("on", 2, 1.0, 1_001),
        ("m", 2, 6.0, 1_001),
        ("on", 3, 1.0, 1_002),
        ("m", 3, 7.0, 1_002),
        // From here on; by itself, the first `on` cannot be told from the one before.
        ("on", 1, 1.0, 1_010),
        ("m", 1, 5.5, 1_010),
        ("on", 2, 1.0, 1_011),
        ("m", 2, 6.0, 1_011),
        ("on", 2, 1.0, 1_012),
        ("m", 2, 6.0, 1_012),
    ];
    let old = [(1_000, 1.0), (1_000, 5.0), (1_001, 1.0), (1_001, 6.0), (1_002, 1.0), (1_002, 7.0)];
    check(&sent, &[&old[..], &[(1_010, 5.5), (1_011, 1.0), (1_011, 6.0)]].concat());
}

#[test]
fn a_device_that_always_counts_from_one_loses_no_change() {
    let sent = [("m", 1, 5.0, 1_000), ("m", 1, 6.0, 1_100), ("m", 1, 5.0, 1_200), ("m", 1, 5.0, 1_201)];
    check(&sent, &[(1_000, 5.0), (1_100, 6.0), (1_200, 5.0)]);
}

/// As after a replay of what was refused.
#[test]
fn a_row_that_was_received_earlier_begins_no_new_count() {
    let sent = [
        ("m", 1, 5.0, 1_000),
        ("m", 3, 7.0, 1_020),
        ("m", 2, 6.0, 1_010),
        ("m", 3, 7.0, 1_030),
        ("m", 2, 6.0, 1_030),
    ];
    check(&sent, &[(1_000, 5.0), (1_020, 7.0), (1_010, 6.0)]);
}

#[test]
fn a_row_of_the_old_count_that_comes_behind_the_new_one_changes_nothing() {
    let sent = [
        ("m", 8, 5.0, 1_000),
        ("m", 1, 6.0, 1_020),
        ("m", 9, 7.0, 1_010),
        ("m", 2, 6.0, 1_030),
        ("m", 1, 6.0, 1_040),
        ("m", 2, 6.0, 1_040),
    ];
    check(&sent, &[(1_000, 5.0), (1_020, 6.0), (1_010, 7.0), (1_030, 6.0)]);
}

#[test]
fn samples_of_one_message_may_fall_and_share_a_number() {
    let message = |at| [("m", 9, 1.0, at), ("m", 8, 2.0, at), ("m", 8, 3.0, at), ("m", 7, 1.0, at)];
    let passed = [(1_000, 1.0), (1_000, 2.0), (1_000, 3.0), (1_000, 1.0)];
    check(&[message(1_000), message(1_060)].concat(), &passed);
}

/// The time of a device may be that of the receipt to the microsecond; when the row comes again it is not.
#[test]
fn a_time_that_is_that_of_the_receipt_by_chance_is_one_too() {
    let rows = [("a", NOW, Some(1), 5.0, NOW), ("a", NOW, Some(1), 5.0, NOW + 9)];
    super::check(&rows, &[(NOW, false)]);
}

#[test]
fn rows_with_a_time_take_no_more_bytes() {
    let mut bytes = [false, true].map(|numbered| {
        let (analyze, mut state) = (analyze(), AnalyzeState::default());
        let seq = numbered.then_some(1);
        analyze.plan(&mut state, &frame(&[("a", 100, seq, 20.0, NOW)])).unwrap();
        analyze.snapshot(&mut state).unwrap().len()
    });
    bytes.sort_unstable();
    assert_eq!(bytes[0], bytes[1]);
}

/// What a version wrote that did not know of counts: device a with two rows, numbered 1 and 2, of the seconds 100 and 190.
const BEFORE: [u8; 82] = [
    1, 1, 97, 128, 174, 153, 181, 1, 128, 192, 168, 202, 154, 58, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 1, 0, 1, 11, 116, 101, 109, 112, 101, 114, 97, 116, 117, 114, 101, 2, 0, 0, 0, 0, 0, 0, 52, 64, 0,
    0, 0, 0, 0, 0, 0, 0, 128, 174, 153, 181, 1, 2, 2, 1, 107, 243, 203, 31, 55, 72, 104, 11, 6, 1, 80, 172,
    45, 195, 196, 191, 15, 72, 0,
];

#[test]
fn a_state_of_before_there_were_counts_is_read() {
    let (analyze, mut state) = (analyze(), AnalyzeState::default());
    analyze.apply(&mut state, &BEFORE).unwrap();
    let rows = [
        ("a", 100, Some(1), 20.0, NOW + 1),
        ("a", 190, Some(2), 20.0, NOW + 1),
        ("a", NOW + 2, Some(3), 20.0, NOW + 2),
        ("a", NOW + 3, Some(3), 20.0, NOW + 3),
    ];
    let plan = analyze.plan(&mut state, &frame(&rows)).unwrap();
    assert_eq!(passed(&plan), [(NOW + 2, false)]);
    let mut restored = AnalyzeState::default();
    analyze.apply(&mut restored, &BEFORE).unwrap();
    analyze.apply(&mut restored, &plan.delta.0).unwrap();
    let again = frame(&[("a", NOW + 4, Some(3), 20.0, NOW + 4)]);
    assert_eq!(analyze.plan(&mut restored, &again).unwrap().counts.repeated, 1);
}
