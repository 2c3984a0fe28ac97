use super::*;
use crate::frame::{Alerts, Frame, FrameId, Header, Lane, Reading, ReadingsBuilder, Scores};

/// When every message came in, far behind the times of most rows.
const NOW: i64 = 1_000_000_000;

/// Seconds, value, late: one row of device `a`, metric `temperature`.
type Row = (i64, f64, bool);

fn frame(rows: &[Row]) -> Frame {
    let mut builder = ReadingsBuilder::new(&[]);
    let mut scores = Scores::default();
    for (secs, value, late) in rows {
        builder.append(&Reading {
            device_id: "a",
            metric: "temperature",
            ts: secs * 1_000_000,
            value: Some(*value),
            received_at: NOW,
            ..Reading::default()
        });
        scores.late.push(*late);
        scores.anomaly_score.push(if *value > 90.0 { 1.0 } else { 0.0 });
        scores.anomaly.push(false);
    }
    let header = Header {
        id: FrameId([0; 16]),
        kind: Kind::Readings,
        lane: Lane(0),
        created_at: 0,
        epoch: 0,
        trace: None,
    };
    let frame = builder.finish(header).unwrap();
    scores.add_to(&frame.rows, frame.header).unwrap()
}

fn rule() -> RuleConfig {
    RuleConfig {
        name: "hot".to_owned(),
        metric: "temperature".to_owned(),
        above: None,
        at_least: None,
        below: None,
        at_most: None,
        anomaly_score_at_least: None,
        for_secs: 0,
        severity: Severity::Warning,
    }
}

/// The transitions of `rows`: whole, and row by row in frames of their own with the state saved and
/// restored in between; both must agree.
#[track_caller]
fn check(rule: RuleConfig, rows: &[Row], expected: &[&str]) {
    let alert = Alert::new(&AlertConfig { rules: vec![rule] }).unwrap();
    let whole = transitions(&alert, &mut AlertState::default(), &frame(rows));
    assert_eq!(whole, expected);

    let (mut saved, mut single) = (AlertState::default(), Vec::new());
    for row in rows {
        let mut state = AlertState::default();
        alert.apply(&mut state, &alert.snapshot(&saved).unwrap()).unwrap();
        let plan = alert.plan(&mut state, &frame(&[*row])).unwrap();
        single.extend(shown(&plan));
        if !plan.delta.0.is_empty() {
            alert.apply(&mut saved, &plan.delta.0).unwrap();
        }
        assert_eq!(saved, state, "the delta says all that changed");
    }
    assert_eq!(single, expected, "frame boundaries change nothing");
}

fn transitions(alert: &Alert, state: &mut AlertState, frame: &Frame) -> Vec<String> {
    shown(&alert.plan(state, frame).unwrap())
}

fn shown(plan: &Plan) -> Vec<String> {
    let alerts = plan.publish.iter().filter(|(port, _)| *port == Port::Alerts);
    let mut shown = Vec::new();
    for (_, frame) in alerts {
        let alerts = Alerts::of(frame).unwrap();
        for row in 0..alerts.len() {
            let alert = alerts.get(row);
            shown.push(format!(
                "{} at {} since {}",
                alert.state,
                alert.ts / 1_000_000,
                alert.since / 1_000_000
            ));
        }
    }
    shown
}

#[test]
fn fires_once_and_resolves_once() {
    let rows = [(1, 20.0, false), (2, 31.0, false), (3, 32.0, false), (4, 30.0, false), (5, 29.0, false)];
    check(
        RuleConfig { above: Some(30.0), ..rule() },
        &rows,
        &["firing at 2 since 2", "resolved at 4 since 2"],
    );
}

#[test]
fn fires_again_after_it_was_resolved() {
    let rows = [(1, 31.0, false), (2, 29.0, false), (3, 31.0, false)];
    let expected = ["firing at 1 since 1", "resolved at 2 since 1", "firing at 3 since 3"];
    check(RuleConfig { above: Some(30.0), ..rule() }, &rows, &expected);
}

#[test]
fn waits_until_the_condition_has_held_for_long_enough() {
    let rule = RuleConfig { at_least: Some(30.0), for_secs: 10, ..rule() };
    check(rule.clone(), &[(0, 30.0, false), (9, 30.0, false), (10, 30.0, false)], &["firing at 10 since 0"]);
    check(rule, &[(0, 30.0, false), (5, 29.0, false), (6, 30.0, false), (15, 30.0, false)], &[]);
}

#[test]
fn every_comparator_draws_its_line_where_it_says() {
    let at = |value| [(1, value, false)];
    let fired = ["firing at 1 since 1"];
    check(RuleConfig { above: Some(30.0), ..rule() }, &at(30.0), &[]);
    check(RuleConfig { at_least: Some(30.0), ..rule() }, &at(30.0), &fired);
    check(RuleConfig { below: Some(30.0), ..rule() }, &at(30.0), &[]);
    check(RuleConfig { below: Some(30.0), ..rule() }, &at(29.9), &fired);
    check(RuleConfig { at_most: Some(30.0), ..rule() }, &at(30.0), &fired);
    check(RuleConfig { anomaly_score_at_least: Some(0.99), ..rule() }, &at(91.0), &fired);
    check(RuleConfig { anomaly_score_at_least: Some(0.99), ..rule() }, &at(89.0), &[]);
}

#[test]
fn late_rows_change_no_alert() {
    let rows = [(10, 31.0, false), (5, 20.0, true), (3, 20.0, false), (4, 99.0, true)];
    check(RuleConfig { above: Some(30.0), ..rule() }, &rows, &["firing at 10 since 10"]);
}

#[test]
fn a_clock_that_runs_ahead_silences_nobody() {
    let rows = [(9_000, 31.0, false), (1_000, 20.0, false)];
    let expected = ["firing at 9000 since 1000", "resolved at 1000 since 1000"];
    check(RuleConfig { above: Some(30.0), ..rule() }, &rows, &expected);
}

#[test]
fn other_metrics_are_passed_on_untouched() {
    let alert = Alert::new(&AlertConfig {
        rules: vec![RuleConfig { metric: "other".to_owned(), above: Some(0.0), ..rule() }],
    })
    .unwrap();
    let input = frame(&[(1, 31.0, false)]);
    let plan = alert.plan(&mut AlertState::default(), &input).unwrap();
    assert_eq!(plan.publish.len(), 1);
    assert_eq!(plan.publish[0].1.rows, input.rows);
    assert_eq!((plan.counts.consumed, plan.counts.produced), (1, 1));
    assert!(plan.delta.0.is_empty());
}

#[test]
fn mistakes_name_the_rule() {
    let twice = RuleConfig { above: Some(1.0), below: Some(0.0), ..rule() };
    let mistakes = Alert::new(&AlertConfig { rules: vec![rule(), twice] }).unwrap_err();
    let texts: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
    let exactly_one =
        "rule \"hot\" needs exactly one of above, at_least, below, at_most and anomaly_score_at_least";
    let same_name = "rule \"hot\" has the name of an earlier rule; alerts are told apart by it";
    assert_eq!(texts, [exactly_one, exactly_one, same_name]);
}
