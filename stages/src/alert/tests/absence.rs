//! Rules that wait for readings to stay away.

use super::*;

fn absent(secs: u64) -> RuleConfig {
    RuleConfig { absent_secs: Some(secs), ..rule() }
}

#[test]
fn fires_at_the_first_tick_after_the_silence_and_resolves_at_the_next_reading() {
    let events = "
        10: 1
        tick 60
        tick 309
        tick 310
        tick 370
        400: 1
        500: 1
        tick 799
        tick 801";
    let expected = ["firing at 310 since 10", "resolved at 400 since 10", "firing at 801 since 500"];
    check(absent(300), events, &expected);
}

#[test]
fn a_device_is_known_from_its_first_reading_on() {
    check(absent(300), "tick 500\n501 a/pressure: 1\ntick 900", &[]);
}

#[test]
fn only_the_metric_of_the_rule_is_a_sign_of_life_and_without_one_every_metric() {
    let events = "
        10: 1
        200 a/pressure: 1
        tick 310
        tick 500
        600 a/pressure: 1";
    check(absent(300), events, &["firing at 310 since 10"]);
    let any = RuleConfig { metric: None, ..absent(300) };
    check(any, events, &["firing at 500 since 200", "resolved at 600 since 200"]);
}

#[test]
fn late_readings_and_texts_are_signs_of_life() {
    let events = "
        10: 1
        5 received 200 late: 1
        tick 310
        400: off
        tick 510";
    check(absent(300), events, &[]);
}

/// Silence is measured by receipt: what a device has kept and sends again is a sign of life now.
#[test]
fn the_clock_of_the_device_does_not_count() {
    let events = "
        9000 received 10: 1
        tick 310
        20 received 400: 1
        tick 699";
    check(absent(300), events, &["firing at 310 since 10", "resolved at 400 since 10"]);
}

#[test]
fn a_row_received_before_others_of_its_lane_takes_nothing_back() {
    check(absent(300), "100: 1\n50: 1\ntick 399\ntick 400", &["firing at 400 since 100"]);
}

#[test]
fn a_row_received_before_a_silence_began_does_not_end_it() {
    let events = "
        100: 1
        tick 400
        50: 1
        100: 1
        tick 410
        420: 1";
    check(absent(300), events, &["firing at 400 since 100", "resolved at 420 since 100"]);
}

/// Several lanes may bring what a device sends, one faster than the other.
#[test]
fn the_last_reading_is_the_one_that_was_received_last() {
    let rows = run(&alert(vec![absent(300)]), &frames(&script("20: 1\n10: 1\ntick 320"), false));
    let [fired] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((fired.message, fired.times), (20, [320, 20, 320].map(|secs| secs * SECOND)));
}

#[test]
fn the_rows_say_what_is_known() {
    let rule = RuleConfig { name: "silent".to_owned(), severity: Severity::Critical, ..absent(300) };
    let rows = run(&alert(vec![rule]), &frames(&script("10: 1\ntick 310\n399 received 400: 1"), false));
    let [fired, resolved] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!(fired.alert, resolved.alert);
    for row in &rows {
        assert_eq!(
            (row.rule.as_str(), row.device.as_str(), row.metric.as_str()),
            ("silent", "a", "temperature")
        );
        assert_eq!(
            (row.severity.as_str(), row.condition.as_str()),
            ("critical", "temperature absent for 300 s")
        );
        assert_eq!((row.value, row.anomaly_score), (None, None));
    }
    assert_eq!((fired.message, fired.times), (10, [310, 10, 310].map(|secs| secs * SECOND)));
    assert_eq!((resolved.message, resolved.times), (400, [400, 10, 400].map(|secs| secs * SECOND)));

    let any = RuleConfig { metric: None, ..absent(300) };
    let rows = run(&alert(vec![any]), &frames(&script("10: 1\ntick 310"), false));
    assert_eq!((rows[0].metric.as_str(), rows[0].condition.as_str()), ("", "absent for 300 s"));
}

#[test]
fn a_device_that_stays_away_is_forgotten() {
    let events = "
        10: 1
        tick 310
        tick 1009
        tick 1010
        tick 5000
        6000: 1";
    check(absent(300), events, &["firing at 310 since 10", "expired at 1010 since 10"]);
}

/// Several processes tell time, and queues without order mix it up.
#[test]
fn an_older_tick_changes_nothing() {
    let events = "
        10: 1
        tick 310
        tick 300
        tick 310
        400: 1
        tick 310
        tick 699
        tick 699";
    check(absent(300), events, &["firing at 310 since 10", "resolved at 400 since 10"]);
}

/// After a long pause of all stages the first tick finds every limit passed at once.
#[test]
fn no_device_is_forgotten_before_its_absence_was_told() {
    let events = "
        10: 1
        tick 5000
        tick 5001";
    check(absent(300), events, &["firing at 5000 since 10", "expired at 5001 since 10"]);
}

#[test]
fn several_devices_fire_in_the_order_of_their_names() {
    let events = "
        10 c/temperature: 1
        11 b/temperature: 1
        12: 1
        tick 400";
    let expected = ["firing at 400 since 12", "b firing at 400 since 11", "c firing at 400 since 10"];
    check(absent(300), events, &expected);
}

#[test]
fn a_tick_that_changes_nothing_leaves_no_trace() {
    let alert = alert(vec![absent(300)]);
    let mut state = AlertState::default();
    for frame in frames(&script("10: 1\ntick 50"), false) {
        let plan = alert.plan(&mut state, &frame).unwrap();
        if frame.header.kind == Kind::Tick {
            assert_eq!(plan, Plan::default());
        }
    }
    let plan = alert.plan(&mut state, &Frame::tick(LANE, 310 * SECOND)).unwrap();
    assert_eq!((plan.counts.consumed, plan.counts.produced, plan.publish.len()), (0, 1, 1));
    let again = alert.plan(&mut state, &Frame::tick(LANE, 310 * SECOND)).unwrap();
    assert_eq!(again, Plan::default(), "the same tick twice");
}

#[test]
fn a_frame_saves_an_entry_for_each_device_not_for_each_row() {
    let alert = alert(vec![absent(300)]);
    let bytes = |rows: i64, devices: i64| {
        let line = |row| format!("{} device-{}/temperature: 1\n", 1000 + row, row % devices);
        let script = script(&(0..rows).map(line).collect::<String>());
        alert.plan(&mut AlertState::default(), &frames(&script, false)[0]).unwrap().delta.0.len()
    };
    assert!(bytes(1000, 10) < bytes(10, 10) + 20, "{} and {}", bytes(1000, 10), bytes(10, 10));
    assert!(bytes(1000, 1000) < 1000 * 30, "{}", bytes(1000, 1000));
}

#[test]
fn a_rule_that_is_no_more_leaves_nothing_behind() {
    let before = alert(vec![absent(300), RuleConfig { name: "other".to_owned(), ..absent(300) }]);
    let after = alert(vec![absent(300)]);
    let mut state = AlertState::default();
    before.plan(&mut state, &frames(&script("10: 1"), false)[0]).unwrap();
    let plan = |state: &mut AlertState, secs: i64| {
        seen(&after.plan(state, &Frame::tick(LANE, secs * SECOND)).unwrap()).len()
    };
    assert_eq!((plan(&mut state, 400), plan(&mut state, 5000)), (1, 1));
    let empty = after.snapshot(&AlertState::default()).unwrap();
    assert_eq!(after.snapshot(&state).unwrap(), empty);
}
