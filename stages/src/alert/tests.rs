//! Rules are tried on scripts, a line for each reading or tick:
//!
//! ```text
//! 10: 31                  at second 10, device a, metric temperature, value 31
//! 10 b/pressure: 2        of another device and metric
//! 10: off                 a text
//! 10 late: 31             marked late by analyze
//! 90 received 10: 31      its clock runs ahead
//! 10 site=north: 31       with a tag
//! tick 60                 everything received before second 60 stands before
//! ```
//!
//! and led to transitions, a line each: `firing at 10 since 10`, those of other devices with their name.

mod absence;
mod boundaries;
mod conditions;
mod mistakes;
mod tags;

use super::*;
use crate::frame::{AlertRow, Alerts, FrameId, Header, Lane, Reading, ReadingsBuilder, Scores};

const SECOND: Micros = 1_000_000;
const LANE: Lane = Lane(0);

/// A line of a script.
#[derive(Debug, Clone, PartialEq)]
enum Event {
    Reading(Row),
    Tick { secs: i64 },
}

#[derive(Debug, Clone, PartialEq)]
struct Row {
    device: String,
    metric: String,
    secs: i64,
    received: i64,
    late: bool,
    value: Result<f64, String>,
    site: Option<String>,
    line: Option<String>,
}

fn script(text: &str) -> Vec<Event> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(event).collect()
}

fn event(line: &str) -> Event {
    if let Some(secs) = line.strip_prefix("tick ") {
        return Event::Tick { secs: secs.parse().unwrap() };
    }
    let (head, value) = line.split_once(": ").unwrap();
    let mut words = head.split(' ');
    let secs = words.next().unwrap().parse().unwrap();
    let mut row = Row {
        device: "a".to_owned(),
        metric: "temperature".to_owned(),
        secs,
        received: secs,
        late: false,
        value: value.parse().map_err(|_| value.to_owned()),
        site: None,
        line: None,
    };
    while let Some(word) = words.next() {
        match (word, word.split_once('='), word.split_once('/')) {
            ("late", ..) => row.late = true,
            ("received", ..) => row.received = words.next().unwrap().parse().unwrap(),
            (_, Some(("site", text)), _) => row.site = Some(text.to_owned()),
            (_, Some(("line", text)), _) => row.line = Some(text.to_owned()),
            (_, _, Some((device, metric))) => {
                (row.device, row.metric) = (device.to_owned(), metric.to_owned());
            }
            _ => panic!("what is {word:?} in {line:?}?"),
        }
    }
    Event::Reading(row)
}

/// A frame of scored readings with the tags `line` and `site`; values above 90 score 1.
fn frame(rows: &[Row]) -> Frame {
    let mut builder = ReadingsBuilder::new(&["line".to_owned(), "site".to_owned()]);
    let mut scores = Scores::default();
    for row in rows {
        builder.append(&Reading {
            device_id: &row.device,
            metric: &row.metric,
            ts: row.secs * SECOND,
            value: row.value.as_ref().ok().copied(),
            text: row.value.as_ref().err().map(String::as_str),
            received_at: row.received * SECOND,
            message: u64::try_from(row.received).unwrap(),
            tags: &[row.line.as_deref(), row.site.as_deref()],
            ..Reading::default()
        });
        scores.late.push(row.late);
        scores.anomaly_score.push(if row.value.as_ref().is_ok_and(|value| *value > 90.0) {
            1.0
        } else {
            0.5
        });
        scores.anomaly.push(false);
    }
    let header = Header {
        id: FrameId([0; 16]),
        kind: Kind::Readings,
        lane: LANE,
        created_at: 0,
        epoch: 0,
        trace: None,
    };
    let frame = builder.finish(header).unwrap();
    scores.add_to(&frame.rows, frame.header).unwrap()
}

/// The frames of a script, with the readings between two ticks in one, or each in its own.
fn frames(events: &[Event], apart: bool) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut rows = Vec::new();
    for event in events {
        match event {
            Event::Reading(row) => rows.push(row.clone()),
            Event::Tick { .. } => {}
        }
        if !rows.is_empty() && (apart || matches!(event, Event::Tick { .. })) {
            frames.push(frame(&std::mem::take(&mut rows)));
        }
        if let Event::Tick { secs } = event {
            frames.push(Frame::tick(LANE, secs * SECOND));
        }
    }
    if !rows.is_empty() {
        frames.push(frame(&rows));
    }
    frames
}

fn rule() -> RuleConfig {
    RuleConfig { name: "hot".to_owned(), metric: Some("temperature".to_owned()), ..RuleConfig::default() }
}

fn alert(rules: Vec<RuleConfig>) -> Alert {
    Alert::new(&AlertConfig { rules, idle_secs: 1000 }).unwrap()
}

/// Tries a rule on a script: in few frames, and in a frame for each row with the state saved and restored in
/// between. Both must lead to the transitions `expected`.
#[track_caller]
fn check(rule: RuleConfig, events: &str, expected: &[&str]) {
    let (alert, events) = (alert(vec![rule]), script(events));
    let shown = |rows: Vec<Seen>| rows.iter().map(Seen::line).collect::<Vec<_>>();
    assert_eq!(shown(run(&alert, &frames(&events, false))), expected);
    assert_eq!(shown(run_anew(&alert, &frames(&events, true))), expected, "frame boundaries change nothing");
}

/// A row of an *alerts* frame.
#[derive(Debug, PartialEq)]
struct Seen {
    alert: String,
    rule: String,
    device: String,
    metric: String,
    state: String,
    severity: String,
    times: [Micros; 3],
    value: Option<f64>,
    anomaly_score: Option<f64>,
    condition: String,
    message: u64,
}

impl Seen {
    fn of(row: &AlertRow<'_>) -> Self {
        Self {
            alert: row.alert.to_owned(),
            rule: row.rule.to_owned(),
            device: row.device_id.to_owned(),
            metric: row.metric.to_owned(),
            state: row.state.to_owned(),
            severity: row.severity.to_owned(),
            times: [row.ts, row.since, row.received_at],
            value: row.value,
            anomaly_score: row.anomaly_score,
            condition: row.condition.to_owned(),
            message: row.message,
        }
    }

    fn line(&self) -> String {
        let [ts, since, _] = self.times.map(|time| time / SECOND);
        let device = if self.device == "a" { String::new() } else { format!("{} ", self.device) };
        format!("{device}{} at {ts} since {since}", self.state)
    }
}

fn seen(plan: &Plan) -> Vec<Seen> {
    let mut seen = Vec::new();
    for (_, frame) in plan.publish.iter().filter(|(port, _)| *port == Port::Alerts) {
        let alerts = Alerts::of(frame).unwrap();
        seen.extend((0..alerts.len()).map(|row| Seen::of(&alerts.get(row))));
    }
    seen
}

/// The transitions of frames on one state.
fn run(alert: &Alert, frames: &[Frame]) -> Vec<Seen> {
    let mut state = AlertState::default();
    frames.iter().flat_map(|frame| seen(&alert.plan(&mut state, frame).unwrap())).collect()
}

/// The same, each frame by a process of its own: what is not saved is gone.
fn run_anew(alert: &Alert, frames: &[Frame]) -> Vec<Seen> {
    let (mut saved, mut all) = (AlertState::default(), Vec::new());
    for frame in frames {
        let snapshot = alert.snapshot(&saved).unwrap();
        let mut state = AlertState::default();
        alert.apply(&mut state, &snapshot).unwrap();
        let plan = alert.plan(&mut state, frame).unwrap();
        all.extend(seen(&plan));
        if !plan.delta.0.is_empty() {
            alert.apply(&mut saved, &plan.delta.0).unwrap();
        }
        let snapshots = [&saved, &state].map(|state| alert.snapshot(state).unwrap());
        assert_eq!(snapshots[0], snapshots[1], "the delta says all that changed");
    }
    all
}
