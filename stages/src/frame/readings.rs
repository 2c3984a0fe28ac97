//! *readings*: values of metrics.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    UInt64Array,
    builder::{ArrayBuilder, Float64Builder, StringBuilder, TimestampMicrosecondBuilder, UInt64Builder},
};
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};

use super::{
    Frame, FrameError, Header, Kind, Micros,
    columns::{self, Columns, Repeated, Strings},
};

/// What the column of a tag is called: `tag_site` holds the tag `site`.
pub const TAG_PREFIX: &str = "tag_";

/// One value of one metric of one device at one instant.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Reading<'a> {
    /// What measured it.
    pub device_id: &'a str,
    /// What was measured.
    pub metric: &'a str,
    /// When, by the device's clock (or the time of receipt, where the config says so).
    pub ts: Micros,
    /// The number, exactly as sent; booleans are 0 and 1.
    pub value: Option<f64>,
    /// What is no number, or is an integer that `f64` cannot hold.
    pub text: Option<&'a str>,
    /// The unit of `value`.
    pub unit: Option<&'a str>,
    /// The device's sequence number.
    pub seq: Option<u64>,
    /// When ingest took the message.
    pub received_at: Micros,
    /// [`Message::message`](super::Message::message) of the message it came in.
    pub message: u64,
    /// The value of each tag that the config names, in the builder's order.
    pub tags: &'a [Option<&'a str>],
}

/// What a reading has for itself among those of its device and instant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Own<'a> {
    pub(crate) metric: &'a str,
    pub(crate) value: Option<f64>,
    pub(crate) text: Option<&'a str>,
    pub(crate) unit: Option<&'a str>,
}

/// Collects readings, column by column, into a frame.
pub struct ReadingsBuilder {
    schema: SchemaRef,
    device_id: Repeated,
    metric: Repeated,
    ts: TimestampMicrosecondBuilder,
    value: Float64Builder,
    text: StringBuilder,
    unit: Repeated,
    seq: UInt64Builder,
    received_at: TimestampMicrosecondBuilder,
    message: UInt64Builder,
    tags: Vec<Repeated>,
}

impl ReadingsBuilder {
    /// A builder of readings with these tags, named without [`TAG_PREFIX`].
    pub fn new(tags: &[String]) -> Self {
        Self {
            schema: Arc::new(schema_of_readings(tags)),
            device_id: Repeated::new(),
            metric: Repeated::new(),
            ts: TimestampMicrosecondBuilder::new().with_timezone("UTC"),
            value: Float64Builder::new(),
            text: StringBuilder::new(),
            unit: Repeated::new(),
            seq: UInt64Builder::new(),
            received_at: TimestampMicrosecondBuilder::new().with_timezone("UTC"),
            message: UInt64Builder::new(),
            tags: tags.iter().map(|_| Repeated::new()).collect(),
        }
    }

    /// Adds a row. Tags beyond those of [`ReadingsBuilder::new`] are ignored, missing ones are null.
    pub fn append(&mut self, row: &Reading<'_>) {
        let Reading { metric, value, text, unit, .. } = *row;
        self.append_run(row, std::iter::once(Own { metric, value, text, unit }));
    }

    /// Adds rows that are as `common` but for what each has for itself.
    pub(crate) fn append_run<'r>(&mut self, common: &Reading<'_>, own: impl Iterator<Item = Own<'r>>) {
        let before = self.value.len();
        // Mostly no row has a text or a unit.
        let (mut textless, mut unitless) = (0, 0);
        for Own { metric, value, text, unit } in own {
            self.metric.append_value(metric);
            self.value.append_option(value);
            match text {
                Some(text) => {
                    append_nulls(&mut self.text, std::mem::take(&mut textless));
                    self.text.append_value(text);
                }
                None => textless += 1,
            }
            match unit {
                Some(unit) => {
                    self.unit.append_nulls(std::mem::take(&mut unitless));
                    self.unit.append_value(unit);
                }
                None => unitless += 1,
            }
        }
        append_nulls(&mut self.text, textless);
        self.unit.append_nulls(unitless);
        self.append_common(common, self.value.len() - before);
    }

    fn append_common(&mut self, common: &Reading<'_>, rows: usize) {
        self.device_id.append_value_n(common.device_id, rows);
        self.ts.append_value_n(common.ts, rows);
        match common.seq {
            Some(seq) => self.seq.append_value_n(seq, rows),
            None if rows > 0 => self.seq.append_nulls(rows),
            None => {}
        }
        self.received_at.append_value_n(common.received_at, rows);
        self.message.append_value_n(common.message, rows);
        for (index, tag) in self.tags.iter_mut().enumerate() {
            match common.tags.get(index).copied().flatten() {
                Some(text) => tag.append_value_n(text, rows),
                None => tag.append_nulls(rows),
            }
        }
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.message.values_slice().len()
    }

    /// The frame of all rows so far; the builder is empty again.
    ///
    /// # Errors
    /// Never for rows that [`ReadingsBuilder::append`] took; Arrow checks the lengths of columns.
    pub fn finish(&mut self, header: Header) -> Result<Frame, FrameError> {
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.device_id.finish()),
            Arc::new(self.metric.finish()),
            Arc::new(self.ts.finish()),
            Arc::new(self.value.finish()),
            Arc::new(self.text.finish()),
            Arc::new(self.unit.finish()),
            Arc::new(self.seq.finish()),
            Arc::new(self.received_at.finish()),
            Arc::new(self.message.finish()),
        ];
        columns.extend(self.tags.iter_mut().map(|tag| Arc::new(tag.finish()) as ArrayRef));
        Ok(Frame { header, rows: RecordBatch::try_new(Arc::clone(&self.schema), columns)? })
    }
}

/// Adds so many nulls; none at all leave the column without room for nulls.
fn append_nulls(column: &mut StringBuilder, rows: usize) {
    if rows > 0 {
        column.append_nulls(rows);
    }
}

fn schema_of_readings(tags: &[String]) -> Schema {
    let mut fields = vec![
        columns::repeated("device_id", false),
        columns::repeated("metric", false),
        columns::instant("ts"),
        Field::new("value", DataType::Float64, true),
        Field::new("text", DataType::Utf8, true),
        columns::repeated("unit", true),
        Field::new("seq", DataType::UInt64, true),
        columns::instant("received_at"),
        Field::new("message", DataType::UInt64, false),
    ];
    fields.extend(tags.iter().map(|tag| columns::repeated(&format!("{TAG_PREFIX}{tag}"), true)));
    Schema::new(fields)
}

/// What analyze adds to each reading.
#[derive(Debug, Default)]
pub struct Scores {
    /// Whether the row came after its device's watermark.
    pub late: Vec<bool>,
    /// How unusual the value is, from 0 to 1.
    pub anomaly_score: Vec<f64>,
    /// Whether the score reaches the threshold of the config.
    pub anomaly: Vec<bool>,
}

impl Scores {
    /// The rows with their scores, as a frame under `header`.
    ///
    /// # Errors
    /// When there is not one score for each row.
    pub fn add_to(self, rows: &RecordBatch, header: Header) -> Result<Frame, FrameError> {
        let fields: Fields = rows
            .schema()
            .fields()
            .iter()
            .cloned()
            .chain([
                Arc::new(Field::new("late", DataType::Boolean, false)),
                Arc::new(Field::new("anomaly_score", DataType::Float64, false)),
                Arc::new(Field::new("anomaly", DataType::Boolean, false)),
            ])
            .collect();
        let mut columns = rows.columns().to_vec();
        columns.push(Arc::new(BooleanArray::from(self.late)));
        columns.push(Arc::new(Float64Array::from(self.anomaly_score)));
        columns.push(Arc::new(BooleanArray::from(self.anomaly)));
        Ok(Frame { header, rows: RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)? })
    }
}

/// The rows of a *readings* frame.
#[derive(Debug)]
pub struct Readings<'a> {
    device_id: Strings<'a>,
    metric: Strings<'a>,
    ts: &'a TimestampMicrosecondArray,
    value: &'a Float64Array,
    text: &'a StringArray,
    unit: Strings<'a>,
    seq: &'a UInt64Array,
    received_at: &'a TimestampMicrosecondArray,
    message: &'a UInt64Array,
    scores: Option<(&'a BooleanArray, &'a Float64Array)>,
    columns: Columns<'a>,
}

impl<'a> Readings<'a> {
    /// # Errors
    /// When the frame is of another kind or lacks a column.
    pub fn of(frame: &'a Frame) -> Result<Self, FrameError> {
        let columns = Columns::of(frame, Kind::Readings)?;
        let scored = frame.rows.column_by_name("anomaly_score").is_some();
        Ok(Self {
            device_id: columns.strings("device_id")?,
            metric: columns.strings("metric")?,
            ts: columns.get("ts")?,
            value: columns.get("value")?,
            text: columns.get("text")?,
            unit: columns.strings("unit")?,
            seq: columns.get("seq")?,
            received_at: columns.get("received_at")?,
            message: columns.get("message")?,
            scores: if scored { Some((columns.get("late")?, columns.get("anomaly_score")?)) } else { None },
            columns,
        })
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.message.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.message.is_empty()
    }

    /// The devices; [`Strings::key`] finds what was worked out for one.
    pub fn devices(&self) -> Strings<'a> {
        self.device_id
    }

    /// The metrics; [`Strings::key`] finds what was worked out for one.
    pub fn metrics(&self) -> Strings<'a> {
        self.metric
    }

    /// The texts of a tag, named without [`TAG_PREFIX`], if the frame has it.
    pub fn tag(&self, name: &str) -> Option<Strings<'a>> {
        self.columns.strings(&format!("{TAG_PREFIX}{name}")).ok()
    }

    /// [`Reading::ts`] of `row`.
    pub fn ts(&self, row: usize) -> Micros {
        self.ts.value(row)
    }

    /// [`Reading::value`] of `row`.
    pub fn value(&self, row: usize) -> Option<f64> {
        self.value.is_valid(row).then(|| self.value.value(row))
    }

    /// [`Reading::text`] of `row`.
    pub fn text(&self, row: usize) -> Option<&'a str> {
        self.text.is_valid(row).then(|| self.text.value(row))
    }

    /// [`Reading::unit`] of `row`.
    pub fn unit(&self, row: usize) -> Option<&'a str> {
        self.unit.get(row)
    }

    /// [`Reading::seq`] of `row`.
    pub fn seq(&self, row: usize) -> Option<u64> {
        self.seq.is_valid(row).then(|| self.seq.value(row))
    }

    /// [`Reading::received_at`] of `row`.
    pub fn received_at(&self, row: usize) -> Micros {
        self.received_at.value(row)
    }

    /// [`Reading::message`] of `row`.
    pub fn message(&self, row: usize) -> u64 {
        self.message.value(row)
    }

    /// Whether `row` came late, and its anomaly score, once analyze has seen it.
    pub fn score(&self, row: usize) -> Option<(bool, f64)> {
        self.scores.map(|(late, score)| (late.value(row), score.value(row)))
    }
}
