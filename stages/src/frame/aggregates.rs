//! *aggregates*: what the readings of one metric of one device came to in one window of event time.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, Float64Array, RecordBatch, TimestampMicrosecondArray, UInt64Array,
    builder::{Float64Builder, TimestampMicrosecondBuilder, UInt64Builder},
};
use arrow_schema::{DataType, Field, Schema};

use super::{
    Frame, FrameError, Header, Kind, Micros,
    columns::{self, Columns, Repeated, Strings},
};

/// One window of one metric of one device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AggregateRow<'a> {
    /// What measured it.
    pub device_id: &'a str,
    /// What was measured.
    pub metric: &'a str,
    /// The first instant of the window, in event time.
    pub start: Micros,
    /// The first instant after it.
    pub end: Micros,
    /// How many readings with a number it has, at least one.
    pub count: u64,
    /// The least value.
    pub min: f64,
    /// The greatest value.
    pub max: f64,
    /// The arithmetic mean.
    pub mean: f64,
    /// The standard deviation of a sample (divided by `count` − 1); none of a single value.
    pub stddev: Option<f64>,
    /// The value with the earliest event time; of several the one that came first.
    pub first: f64,
    /// The value with the latest event time; of several the one that came last.
    pub last: f64,
    /// The unit of `last`.
    pub unit: Option<&'a str>,
}

/// Collects windows, column by column, into a frame.
pub struct AggregatesBuilder {
    device_id: Repeated,
    metric: Repeated,
    start: TimestampMicrosecondBuilder,
    end: TimestampMicrosecondBuilder,
    count: UInt64Builder,
    min: Float64Builder,
    max: Float64Builder,
    mean: Float64Builder,
    stddev: Float64Builder,
    first: Float64Builder,
    last: Float64Builder,
    unit: Repeated,
}

impl Default for AggregatesBuilder {
    fn default() -> Self {
        let instants = || TimestampMicrosecondBuilder::new().with_timezone("UTC");
        Self {
            device_id: Repeated::new(),
            metric: Repeated::new(),
            start: instants(),
            end: instants(),
            count: UInt64Builder::new(),
            min: Float64Builder::new(),
            max: Float64Builder::new(),
            mean: Float64Builder::new(),
            stddev: Float64Builder::new(),
            first: Float64Builder::new(),
            last: Float64Builder::new(),
            unit: Repeated::new(),
        }
    }
}

impl AggregatesBuilder {
    /// Adds a row.
    pub fn append(&mut self, row: &AggregateRow<'_>) {
        self.device_id.append_value(row.device_id);
        self.metric.append_value(row.metric);
        self.start.append_value(row.start);
        self.end.append_value(row.end);
        self.count.append_value(row.count);
        self.min.append_value(row.min);
        self.max.append_value(row.max);
        self.mean.append_value(row.mean);
        self.stddev.append_option(row.stddev);
        self.first.append_value(row.first);
        self.last.append_value(row.last);
        self.unit.append_option(row.unit);
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.count.values_slice().len()
    }

    /// The frame of all rows so far; the builder is empty again.
    ///
    /// # Errors
    /// Never for rows that [`AggregatesBuilder::append`] took; Arrow checks the lengths of columns.
    pub fn finish(&mut self, header: Header) -> Result<Frame, FrameError> {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.device_id.finish()),
            Arc::new(self.metric.finish()),
            Arc::new(self.start.finish()),
            Arc::new(self.end.finish()),
            Arc::new(self.count.finish()),
            Arc::new(self.min.finish()),
            Arc::new(self.max.finish()),
            Arc::new(self.mean.finish()),
            Arc::new(self.stddev.finish()),
            Arc::new(self.first.finish()),
            Arc::new(self.last.finish()),
            Arc::new(self.unit.finish()),
        ];
        Ok(Frame { header, rows: RecordBatch::try_new(Arc::new(schema_of_aggregates()), columns)? })
    }
}

fn schema_of_aggregates() -> Schema {
    Schema::new(vec![
        columns::repeated("device_id", false),
        columns::repeated("metric", false),
        columns::instant("start"),
        columns::instant("end"),
        Field::new("count", DataType::UInt64, false),
        Field::new("min", DataType::Float64, false),
        Field::new("max", DataType::Float64, false),
        Field::new("mean", DataType::Float64, false),
        Field::new("stddev", DataType::Float64, true),
        Field::new("first", DataType::Float64, false),
        Field::new("last", DataType::Float64, false),
        columns::repeated("unit", true),
    ])
}

/// The rows of an *aggregates* frame.
#[derive(Debug)]
pub struct Aggregates<'a> {
    device_id: Strings<'a>,
    metric: Strings<'a>,
    start: &'a TimestampMicrosecondArray,
    end: &'a TimestampMicrosecondArray,
    count: &'a UInt64Array,
    min: &'a Float64Array,
    max: &'a Float64Array,
    mean: &'a Float64Array,
    stddev: &'a Float64Array,
    first: &'a Float64Array,
    last: &'a Float64Array,
    unit: Strings<'a>,
}

impl<'a> Aggregates<'a> {
    /// # Errors
    /// When the frame is of another kind or lacks a column.
    pub fn of(frame: &'a Frame) -> Result<Self, FrameError> {
        let columns = Columns::of(frame, Kind::Aggregates)?;
        Ok(Self {
            device_id: columns.strings("device_id")?,
            metric: columns.strings("metric")?,
            start: columns.get("start")?,
            end: columns.get("end")?,
            count: columns.get("count")?,
            min: columns.get("min")?,
            max: columns.get("max")?,
            mean: columns.get("mean")?,
            stddev: columns.get("stddev")?,
            first: columns.get("first")?,
            last: columns.get("last")?,
            unit: columns.strings("unit")?,
        })
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.count.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count.is_empty()
    }

    /// The window in `row`.
    pub fn get(&self, row: usize) -> AggregateRow<'a> {
        AggregateRow {
            device_id: self.device_id.get(row).unwrap_or_default(),
            metric: self.metric.get(row).unwrap_or_default(),
            start: self.start.value(row),
            end: self.end.value(row),
            count: self.count.value(row),
            min: self.min.value(row),
            max: self.max.value(row),
            mean: self.mean.value(row),
            stddev: self.stddev.is_valid(row).then(|| self.stddev.value(row)),
            first: self.first.value(row),
            last: self.last.value(row),
            unit: self.unit.get(row),
        }
    }
}
