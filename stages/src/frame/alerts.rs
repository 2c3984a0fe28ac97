//! *alerts*: transitions of alerts.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array,
    builder::{Float64Builder, StringBuilder, TimestampMicrosecondBuilder, UInt64Builder},
};
use arrow_schema::{DataType, Field, Schema};
use xxhash_rust::xxh3::xxh3_128;

use super::{
    Frame, FrameError, Header, Kind, Micros,
    columns::{self, Columns, Repeated, Strings},
};

/// One transition of one alert.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AlertRow<'a> {
    /// Names the alert from firing to its end: the same after a crash and on redelivery.
    pub alert: &'a str,
    /// The rule of the config.
    pub rule: &'a str,
    /// The device it is about.
    pub device_id: &'a str,
    /// The metric it is about; empty where the rule names none.
    pub metric: &'a str,
    /// `firing`, then `resolved`, or `expired` when nothing more was heard of it.
    pub state: &'a str,
    /// How bad it is, as the rule says.
    pub severity: &'a str,
    /// When it changed, in event time; in receipt time where time alone or an absence made it change.
    pub ts: Micros,
    /// Since when the condition had held, in event time; the receipt of the last reading for an absence.
    pub since: Micros,
    /// The value that made it change, where one did.
    pub value: Option<f64>,
    /// The anomaly score of that value, where analyze gave one.
    pub anomaly_score: Option<f64>,
    /// The condition of the rule, for people.
    pub condition: &'a str,
    /// When ingest took the message that made it change; the instant, where time alone did.
    pub received_at: Micros,
    /// [`Message::message`](super::Message::message) of that message, or of the last one before the instant.
    pub message: u64,
}

impl AlertRow<'_> {
    /// Names the transition: 32 hexadecimal digits made from the alert and its state (XXH3, 128 bits of both with
    /// a zero byte between them), and so the same on every redelivery.
    pub fn key(&self) -> String {
        format!("{:032x}", xxh3_128(format!("{}\0{}", self.alert, self.state).as_bytes()))
    }
}

/// Collects transitions, column by column, into a frame.
pub struct AlertsBuilder {
    alert: StringBuilder,
    rule: Repeated,
    device_id: Repeated,
    metric: Repeated,
    state: Repeated,
    severity: Repeated,
    ts: TimestampMicrosecondBuilder,
    since: TimestampMicrosecondBuilder,
    value: Float64Builder,
    anomaly_score: Float64Builder,
    condition: Repeated,
    received_at: TimestampMicrosecondBuilder,
    message: UInt64Builder,
}

impl Default for AlertsBuilder {
    fn default() -> Self {
        let instants = || TimestampMicrosecondBuilder::new().with_timezone("UTC");
        Self {
            alert: StringBuilder::new(),
            rule: Repeated::new(),
            device_id: Repeated::new(),
            metric: Repeated::new(),
            state: Repeated::new(),
            severity: Repeated::new(),
            ts: instants(),
            since: instants(),
            value: Float64Builder::new(),
            anomaly_score: Float64Builder::new(),
            condition: Repeated::new(),
            received_at: instants(),
            message: UInt64Builder::new(),
        }
    }
}

impl AlertsBuilder {
    /// Adds a row.
    pub fn append(&mut self, row: &AlertRow<'_>) {
        self.alert.append_value(row.alert);
        self.rule.append_value(row.rule);
        self.device_id.append_value(row.device_id);
        self.metric.append_value(row.metric);
        self.state.append_value(row.state);
        self.severity.append_value(row.severity);
        self.ts.append_value(row.ts);
        self.since.append_value(row.since);
        self.value.append_option(row.value);
        self.anomaly_score.append_option(row.anomaly_score);
        self.condition.append_value(row.condition);
        self.received_at.append_value(row.received_at);
        self.message.append_value(row.message);
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.message.values_slice().len()
    }

    /// The frame of all rows so far; the builder is empty again.
    ///
    /// # Errors
    /// Never for rows that [`AlertsBuilder::append`] took; Arrow checks the lengths of columns.
    pub fn finish(&mut self, header: Header) -> Result<Frame, FrameError> {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.alert.finish()),
            Arc::new(self.rule.finish()),
            Arc::new(self.device_id.finish()),
            Arc::new(self.metric.finish()),
            Arc::new(self.state.finish()),
            Arc::new(self.severity.finish()),
            Arc::new(self.ts.finish()),
            Arc::new(self.since.finish()),
            Arc::new(self.value.finish()),
            Arc::new(self.anomaly_score.finish()),
            Arc::new(self.condition.finish()),
            Arc::new(self.received_at.finish()),
            Arc::new(self.message.finish()),
        ];
        Ok(Frame { header, rows: RecordBatch::try_new(Arc::new(schema_of_alerts()), columns)? })
    }
}

fn schema_of_alerts() -> Schema {
    Schema::new(vec![
        Field::new("alert", DataType::Utf8, false),
        columns::repeated("rule", false),
        columns::repeated("device_id", false),
        columns::repeated("metric", false),
        columns::repeated("state", false),
        columns::repeated("severity", false),
        columns::instant("ts"),
        columns::instant("since"),
        Field::new("value", DataType::Float64, true),
        Field::new("anomaly_score", DataType::Float64, true),
        columns::repeated("condition", false),
        columns::instant("received_at"),
        Field::new("message", DataType::UInt64, false),
    ])
}

/// The rows of an *alerts* frame.
#[derive(Debug)]
pub struct Alerts<'a> {
    alert: &'a StringArray,
    rule: Strings<'a>,
    device_id: Strings<'a>,
    metric: Strings<'a>,
    state: Strings<'a>,
    severity: Strings<'a>,
    ts: &'a TimestampMicrosecondArray,
    since: &'a TimestampMicrosecondArray,
    value: &'a Float64Array,
    anomaly_score: &'a Float64Array,
    condition: Strings<'a>,
    received_at: &'a TimestampMicrosecondArray,
    message: &'a UInt64Array,
}

impl<'a> Alerts<'a> {
    /// # Errors
    /// When the frame is of another kind or lacks a column.
    pub fn of(frame: &'a Frame) -> Result<Self, FrameError> {
        let columns = Columns::of(frame, Kind::Alerts)?;
        Ok(Self {
            alert: columns.get("alert")?,
            rule: columns.strings("rule")?,
            device_id: columns.strings("device_id")?,
            metric: columns.strings("metric")?,
            state: columns.strings("state")?,
            severity: columns.strings("severity")?,
            ts: columns.get("ts")?,
            since: columns.get("since")?,
            value: columns.get("value")?,
            anomaly_score: columns.get("anomaly_score")?,
            condition: columns.strings("condition")?,
            received_at: columns.get("received_at")?,
            message: columns.get("message")?,
        })
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.alert.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.alert.is_empty()
    }

    /// The row as it was appended.
    pub fn get(&self, row: usize) -> AlertRow<'a> {
        let number = |column: &'a Float64Array| column.is_valid(row).then(|| column.value(row));
        AlertRow {
            alert: self.alert.value(row),
            rule: self.rule.get(row).unwrap_or_default(),
            device_id: self.device_id.get(row).unwrap_or_default(),
            metric: self.metric.get(row).unwrap_or_default(),
            state: self.state.get(row).unwrap_or_default(),
            severity: self.severity.get(row).unwrap_or_default(),
            ts: self.ts.value(row),
            since: self.since.value(row),
            value: number(self.value),
            anomaly_score: number(self.anomaly_score),
            condition: self.condition.get(row).unwrap_or_default(),
            received_at: self.received_at.value(row),
            message: self.message.value(row),
        }
    }
}
