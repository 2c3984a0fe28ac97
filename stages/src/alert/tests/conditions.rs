//! Thresholds, how long they must be crossed, and where an alert clears.

use super::*;

#[test]
fn fires_once_and_resolves_once() {
    let events = "
        1: 20
        2: 31
        3: 32
        4: 30
        5: 29";
    check(
        RuleConfig { above: Some(30.0), ..rule() },
        events,
        &["firing at 2 since 2", "resolved at 4 since 2"],
    );
}

#[test]
fn fires_again_after_it_was_resolved() {
    let events = "
        1: 31
        2: 29
        3: 31";
    let expected = ["firing at 1 since 1", "resolved at 2 since 1", "firing at 3 since 3"];
    check(RuleConfig { above: Some(30.0), ..rule() }, events, &expected);
}

#[test]
fn each_device_has_its_own_alert() {
    let events = "
        1: 31
        2 b/temperature: 31
        3 b/pressure: 99
        4: 29
        5 c/temperature: 29";
    let expected = ["firing at 1 since 1", "b firing at 2 since 2", "resolved at 4 since 1"];
    check(RuleConfig { above: Some(30.0), ..rule() }, events, &expected);
}

#[test]
fn waits_until_the_condition_has_held_for_long_enough() {
    let rule = RuleConfig { at_least: Some(30.0), for_secs: 10, ..rule() };
    let held = "
        0: 30
        9: 30
        10: 30";
    check(rule.clone(), held, &["firing at 10 since 0"]);
    let interrupted = "
        0: 30
        5: 29
        6: 30
        15: 30";
    check(rule, interrupted, &[]);
}

#[test]
fn every_comparison_draws_its_line_where_it_says() {
    let at = |value: f64| format!("1: {value}");
    let fired = ["firing at 1 since 1"];
    check(RuleConfig { above: Some(30.0), ..rule() }, &at(30.0), &[]);
    check(RuleConfig { above: Some(30.0), ..rule() }, &at(30.1), &fired);
    check(RuleConfig { at_least: Some(30.0), ..rule() }, &at(30.0), &fired);
    check(RuleConfig { below: Some(30.0), ..rule() }, &at(30.0), &[]);
    check(RuleConfig { below: Some(30.0), ..rule() }, &at(29.9), &fired);
    check(RuleConfig { at_most: Some(30.0), ..rule() }, &at(30.0), &fired);
    check(RuleConfig { anomaly_score_at_least: Some(0.99), ..rule() }, &at(91.0), &fired);
    check(RuleConfig { anomaly_score_at_least: Some(0.99), ..rule() }, &at(89.0), &[]);
}

/// `rule` fires at second 1 by `crosses`, stays at second 2 with `stays`, and resolves at second 3 with `clears`.
#[track_caller]
fn clears(rule: RuleConfig, crosses: f64, stays: f64, clears: f64, text: &str) {
    let events = format!("1: {crosses}\n2: {stays}\n3: {clears}");
    check(rule.clone(), &events, &["firing at 1 since 1", "resolved at 3 since 1"]);
    let rows = run(&alert(vec![rule]), &frames(&script(&events), false));
    assert_eq!(rows[0].condition, text);
}

#[test]
fn once_it_fires_the_clearing_threshold_takes_the_place_of_the_other() {
    let above = RuleConfig { above: Some(80.0), clear: Some(75.0), ..rule() };
    clears(above, 80.1, 75.1, 75.0, "temperature above 80, until at most 75");
    let at_least = RuleConfig { at_least: Some(80.0), clear: Some(75.0), ..rule() };
    clears(at_least, 80.0, 75.0, 74.9, "temperature at least 80, until below 75");
    let below = RuleConfig { below: Some(10.0), clear: Some(12.5), ..rule() };
    clears(below, 9.9, 12.4, 12.5, "temperature below 10, until at least 12.5");
    let at_most = RuleConfig { at_most: Some(10.0), clear: Some(12.5), ..rule() };
    clears(at_most, 10.0, 12.5, 12.6, "temperature at most 10, until above 12.5");
    let unusual = RuleConfig { anomaly_score_at_least: Some(0.99), clear: Some(0.6), ..rule() };
    let text = "temperature anomaly score at least 0.99, until below 0.6";
    let rows = run(&alert(vec![unusual]), &frames(&script("1: 91\n2: 92\n3: 89"), false));
    assert_eq!(
        rows.iter().map(Seen::line).collect::<Vec<_>>(),
        ["firing at 1 since 1", "resolved at 3 since 1"]
    );
    assert_eq!(rows[0].condition, text);
    let stubborn = RuleConfig { anomaly_score_at_least: Some(0.99), clear: Some(0.5), ..rule() };
    check(stubborn, "1: 91\n2: 89", &["firing at 1 since 1"]);
}

#[test]
fn between_the_thresholds_nothing_fires_and_a_pending_alert_is_given_up() {
    let rule = RuleConfig { above: Some(80.0), clear: Some(75.0), for_secs: 10, ..rule() };
    let events = "
        0: 77
        10: 81
        15: 77
        20: 81
        29: 81
        30: 81
        40: 77
        50: 76
        60: 75
        70: 77
        90: 77";
    check(rule, events, &["firing at 30 since 20", "resolved at 60 since 20"]);
}

#[test]
fn late_rows_and_texts_change_no_alert() {
    let events = "
        10: 31
        5 late: 20
        3: 20
        4 late: 99
        11: off";
    check(RuleConfig { above: Some(30.0), ..rule() }, events, &["firing at 10 since 10"]);
}

#[test]
fn a_clock_that_runs_ahead_silences_nobody() {
    let events = "
        9000 received 1000: 31
        1000: 20";
    let expected = ["firing at 9000 since 1000", "resolved at 1000 since 1000"];
    check(RuleConfig { above: Some(30.0), ..rule() }, events, &expected);
}

#[test]
fn an_alert_of_which_nothing_more_is_heard_expires() {
    let hot = RuleConfig { above: Some(30.0), ..rule() };
    let events = "
        10: 31
        tick 1009
        500 b/temperature: 31
        600 late: 20
        tick 1499
        tick 1500
        tick 1600
        tick 9000
        9001: 31";
    let expected = [
        "firing at 10 since 10",
        "b firing at 500 since 500",
        "b expired at 1500 since 500",
        "expired at 1600 since 10",
        "firing at 9001 since 9001",
    ];
    check(hot.clone(), events, &expected);

    let rows = run(&alert(vec![hot]), &frames(&script("10: 31\n12: 32\ntick 5000"), false));
    let [fired, expired] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((&expired.alert, expired.value, expired.anomaly_score), (&fired.alert, None, None));
    assert_eq!((expired.message, expired.times[2]), (12, 5000 * SECOND));
}

#[test]
fn what_is_only_pending_is_forgotten_without_a_word() {
    let rule = RuleConfig { above: Some(30.0), for_secs: 60, ..rule() };
    check(rule, "10: 31\ntick 5000\n5001: 31\n5030: 31", &[]);
}

#[test]
fn other_metrics_are_passed_on_untouched() {
    let alert = alert(vec![RuleConfig { metric: Some("other".to_owned()), above: Some(0.0), ..rule() }]);
    let [input] = frames(&script("1: 31"), false).try_into().unwrap();
    let plan = alert.plan(&mut AlertState::default(), &input).unwrap();
    assert_eq!(plan.publish.len(), 1);
    assert_eq!(plan.publish[0].1.rows, input.rows);
    assert_eq!((plan.counts.consumed, plan.counts.produced), (1, 1));
    assert!(plan.delta.0.is_empty());
}

#[test]
fn a_reading_not_newer_than_the_one_that_ended_an_alert_begins_no_other() {
    let hot = RuleConfig { above: Some(80.0), ..rule() };
    let events = "
        10: 90
        20: 50
        12: 91
        20: 92
        15 received 30: 93
        21: 94
        22: 50";
    let expected = [
        "firing at 10 since 10",
        "resolved at 20 since 10",
        "firing at 21 since 21",
        "resolved at 22 since 21",
    ];
    check(hot.clone(), events, &expected);

    let lasting = RuleConfig { for_secs: 30, ..hot };
    let events = "
        10: 90
        20: 50
        12: 90
        50: 90
        79: 90
        80: 90";
    check(lasting, events, &["firing at 80 since 50"]);
}

/// Times in whole seconds, or a clock that runs ahead, put several readings at one instant.
#[test]
fn two_alerts_of_one_device_never_share_their_name() {
    let alert = alert(vec![RuleConfig { above: Some(80.0), ..rule() }]);
    let events = "
        10: 90
        10: 50
        10: 91
        11: 92
        9000 received 20: 50
        9001 received 20: 93
        9002 received 21: 94";
    let rows = run(&alert, &frames(&script(events), false));
    let fired: Vec<_> = rows.iter().filter(|row| row.state == "firing").collect();
    assert_eq!(fired.iter().map(|row| row.times[1] / SECOND).collect::<Vec<_>>(), [10, 11, 21]);
    assert!(fired.windows(2).all(|pair| pair[0].alert != pair[1].alert), "{fired:?}");
}

#[test]
fn when_an_alert_ended_is_saved_once_and_forgotten_in_the_end() {
    let alert = alert(vec![RuleConfig { above: Some(80.0), ..rule() }]);
    let mut state = AlertState::default();
    let mut plan = |text: &str| {
        let [frame] = frames(&script(text), false).try_into().unwrap();
        let plan = alert.plan(&mut state, &frame).unwrap();
        (seen(&plan).len(), plan.delta.0.len(), alert.snapshot(&state).unwrap())
    };
    let (_, _, empty) = plan("5: 50");
    let (transitions, bytes, ended) = plan("10: 90\n20: 50");
    assert_eq!(transitions, 2);
    assert!(bytes < 50 && ended != empty, "{bytes}");
    assert_eq!(plan("30: 50\n15: 90\n31: off\n16 late: 90"), (0, 0, ended));
    assert_eq!(plan("tick 1019").2.len(), bytes);
    let (transitions, _, after) = plan("tick 1020");
    assert_eq!((transitions, after), (0, empty));
}
