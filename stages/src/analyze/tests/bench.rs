//! A lane to hand events to, and all that comes out of it.

use super::*;
use crate::frame::{AggregateRow, Aggregates};

/// What a lane is handed, in seconds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Event {
    Row {
        device: &'static str,
        metric: &'static str,
        ts: i64,
        value: Option<f64>,
        received: i64,
    },
    /// A row of device c, which has a count and no clock.
    Numbered {
        metric: &'static str,
        seq: u64,
        value: f64,
        received: i64,
    },
    Tick(i64),
}

/// A reading of device a that arrives at once.
pub(super) fn row(ts: i64, value: f64) -> Event {
    received(ts, value, ts)
}

pub(super) fn received(ts: i64, value: f64, received: i64) -> Event {
    Event::Row { device: "a", metric: "m", ts, value: Some(value), received }
}

pub(super) fn micros(secs: i64) -> i64 {
    secs * 1_000_000
}

/// A stage with the state of one lane.
pub(super) struct Bench {
    pub(super) analyze: Analyze,
    pub(super) state: AnalyzeState,
    pub(super) deltas: Vec<Vec<u8>>,
    pub(super) readings: Vec<Passed>,
    pub(super) windows: Vec<Closed>,
}

/// A reading that went on: device, metric, second, value, late, score.
pub(super) type Passed = (String, String, i64, Option<f64>, bool, f64);

/// Device, metric and the second in which a window starts.
pub(super) type Key = (String, String, i64);

/// A window that went out.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Closed {
    pub(super) key: Key,
    pub(super) end: i64,
    pub(super) count: u64,
    /// Min, max, mean, first and last.
    pub(super) numbers: [f64; 5],
    pub(super) stddev: Option<f64>,
    pub(super) unit: Option<String>,
}

impl Bench {
    pub(super) fn new(config: &AnalyzeConfig) -> Self {
        let (deltas, readings, windows) = Default::default();
        Self { analyze: Analyze::new(config), state: AnalyzeState::default(), deltas, readings, windows }
    }

    /// Hands in the events, the rows between two ticks as one frame.
    pub(super) fn run(&mut self, events: &[Event]) {
        let mut rows = Vec::new();
        for event in events {
            match event {
                Event::Row { .. } | Event::Numbered { .. } => rows.push(*event),
                Event::Tick(secs) => {
                    self.rows(&std::mem::take(&mut rows));
                    self.plan(&Frame::tick(Lane(0), micros(*secs)));
                }
            }
        }
        self.rows(&rows);
    }

    fn rows(&mut self, rows: &[Event]) {
        let mut builder = ReadingsBuilder::new(&[]);
        for event in rows {
            let (device, metric, ts, seq, value, received) = match *event {
                Event::Row { device, metric, ts, value, received } => {
                    (device, metric, ts, None, value, received)
                }
                Event::Numbered { metric, seq, value, received } => {
                    ("c", metric, received, Some(seq), Some(value), received)
                }
                Event::Tick(_) => continue,
            };
            builder.append(&Reading {
                device_id: device,
                metric,
                ts: micros(ts),
                value,
                text: value.is_none().then_some("none"),
                unit: Some(if value.is_some_and(|value| value < 100.0) { "Cel" } else { "K" }),
                seq,
                received_at: micros(received),
                ..Reading::default()
            });
        }
        if builder.rows() > 0 {
            let header = Frame::tick(Lane(0), 0).header;
            self.plan(&builder.finish(Header { kind: Kind::Readings, ..header }).unwrap());
        }
    }

    fn plan(&mut self, frame: &Frame) {
        let plan = self.analyze.plan(&mut self.state, frame).unwrap();
        let rows = frame.rows.num_rows() as u64;
        assert_eq!(plan.counts.consumed + plan.counts.repeated, rows);
        let (mut ids, mut produced) = (Vec::new(), 0);
        for (port, out) in &plan.publish {
            ids.push(out.header.id);
            produced += out.rows.num_rows() as u64;
            match port {
                Port::Aggregates => self.windows.extend(closed(out)),
                _ if out.header.kind == Kind::Tick => {
                    assert_eq!(out.header.created_at, frame.header.created_at);
                }
                _ => self.readings.extend(passed_rows(out)),
            }
        }
        assert_eq!(produced, plan.counts.produced);
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), plan.publish.len(), "an id of its own for each frame");
        if !plan.delta.0.is_empty() {
            self.deltas.push(plan.delta.0);
        }
    }

    /// Another process takes the lane over.
    pub(super) fn restart(&mut self, snapshot: bool) {
        if snapshot {
            self.deltas = vec![self.analyze.snapshot(&mut self.state).unwrap()];
        }
        self.state = AnalyzeState::default();
        for delta in &self.deltas {
            self.analyze.apply(&mut self.state, delta).unwrap();
        }
    }

    /// The windows that went out, as (start, count).
    pub(super) fn counts(&self) -> Vec<(i64, u64)> {
        self.windows.iter().map(|window| (window.key.2, window.count)).collect()
    }
}

fn closed(frame: &Frame) -> Vec<Closed> {
    let rows = Aggregates::of(frame).unwrap();
    let row = |row| {
        let AggregateRow { device_id, metric, start, end, count, min, max, mean, stddev, first, last, unit } =
            rows.get(row);
        Closed {
            key: (device_id.to_owned(), metric.to_owned(), start / 1_000_000),
            end: end / 1_000_000,
            count,
            numbers: [min, max, mean, first, last],
            stddev,
            unit: unit.map(str::to_owned),
        }
    };
    (0..rows.len()).map(row).collect()
}

fn passed_rows(frame: &Frame) -> Vec<Passed> {
    let rows = Readings::of(frame).unwrap();
    let row = |row| {
        let (device, metric) = (rows.devices().get(row).unwrap(), rows.metrics().get(row).unwrap());
        let (late, score) = rows.score(row).unwrap();
        (device.to_owned(), metric.to_owned(), rows.ts(row) / 1_000_000, rows.value(row), late, score)
    };
    (0..rows.len()).map(row).collect()
}
