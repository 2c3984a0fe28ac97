//! Reads the lake with the `parquet` crate alone, whatever Arrow types its writer had.

use std::{
    fs::{self, File},
    path::Path,
};

use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    UInt32Array, UInt64Array,
    cast::AsArray,
    types::{Int64Type, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType},
};
use arrow_schema::{DataType, TimeUnit};
use chrono::{DateTime, Utc};
use parquet::arrow::{
    ProjectionMask,
    arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder},
};

use super::{Example, Problem};
use crate::{
    SimError,
    files::find_below,
    message::{Expected, rfc3339},
};

/// A row of `readings`.
pub(super) struct Reading<'a> {
    pub(super) device: &'a str,
    pub(super) metric: &'a str,
    pub(super) ts_micros: i64,
    pub(super) value: Option<f64>,
    pub(super) text: Option<&'a str>,
    pub(super) seq: Option<u64>,
    pub(super) late: bool,
}

/// A row of `quarantine`.
pub(super) struct Refused<'a> {
    pub(super) topic: &'a str,
    pub(super) payload: &'a [u8],
    pub(super) reason: &'a str,
}

impl Reading<'_> {
    pub(super) fn describe(&self) -> String {
        let ts = DateTime::<Utc>::from_timestamp_micros(self.ts_micros);
        let ts = ts.map_or_else(|| format!("{} µs", self.ts_micros), rfc3339);
        match (self.value, self.text) {
            (Some(value), _) => format!("{value} at {ts}"),
            (None, Some(text)) => format!("{text:?} at {ts}"),
            (None, None) => format!("no value at {ts}"),
        }
    }
}

impl Refused<'_> {
    pub(super) fn example(&self, problem: Problem, detail: &str) -> Example {
        let payload = String::from_utf8_lossy(self.payload);
        let expected = Expected::of(&payload);
        Example {
            problem,
            topic: Some(self.topic.to_owned()),
            device: expected.as_ref().map(|expected| expected.device.clone()),
            metric: None,
            seq: expected.map(|expected| expected.seq),
            detail: format!("{detail}; reason {}, payload {payload:?}", self.reason),
        }
    }
}

/// Whether `lake` can be one.
pub(super) fn check(lake: &Path) -> Result<(), SimError> {
    fs::read_dir(lake).map_err(SimError::file("open the lake", lake))?;
    if lake.join("readings").is_dir() || lake.join("quarantine").is_dir() {
        return Ok(());
    }
    Err(SimError::Usage(format!(
        "{} holds neither readings nor quarantine: name the lake's directory, which a pipeline keeps in its data \
         directory as lake",
        lake.display()
    )))
}

/// Calls `each` for every row of the dataset at `directory`, which need not exist.
pub(super) fn for_each_reading(directory: &Path, mut each: impl FnMut(&Reading<'_>)) -> Result<(), SimError> {
    const COLUMNS: [&str; 7] = ["device_id", "metric", "ts", "value", "text", "seq", "late"];
    for_each_batch(directory, &COLUMNS, |batch| {
        let devices: StringArray = strings(batch, "device_id")?.ok_or("no column device_id")?;
        let metrics = strings(batch, "metric")?.ok_or("no column metric")?;
        let times = micros(batch, "ts")?.ok_or("no column ts")?;
        let values: Float64Array =
            column(batch, "value", |array| array.as_primitive_opt().cloned())?.ok_or("no column value")?;
        let texts = strings(batch, "text")?;
        let seqs = unsigned(batch, "seq")?;
        let late: Option<BooleanArray> = column(batch, "late", |array| array.as_boolean_opt().cloned())?;
        for row in 0..batch.num_rows() {
            each(&Reading {
                device: devices.value(row),
                metric: metrics.value(row),
                ts_micros: times.value(row),
                value: values.is_valid(row).then(|| values.value(row)),
                text: texts.as_ref().filter(|texts| texts.is_valid(row)).map(|texts| texts.value(row)),
                seq: seqs.as_ref().filter(|seqs| seqs.is_valid(row)).map(|seqs| seqs.value(row)),
                late: late.as_ref().is_some_and(|late| late.is_valid(row) && late.value(row)),
            });
        }
        Ok(())
    })
}

/// Calls `each` for every row of the dataset at `directory`, which need not exist.
pub(super) fn for_each_refused(directory: &Path, mut each: impl FnMut(&Refused<'_>)) -> Result<(), SimError> {
    for_each_batch(directory, &["topic", "payload", "reason", "replays"], |batch| {
        let topics = strings(batch, "topic")?.ok_or("no column topic")?;
        let payloads = bytes(batch, "payload")?.ok_or("no column payload")?;
        let reasons = strings(batch, "reason")?.ok_or("no column reason")?;
        let replays: Option<UInt32Array> =
            column(batch, "replays", |array| array.as_primitive_opt().cloned())?;
        for row in 0..batch.num_rows() {
            // Of a message that was refused again after a replay the first row is there already.
            if replays.as_ref().is_some_and(|replays| replays.is_valid(row) && replays.value(row) > 0) {
                continue;
            }
            each(&Refused {
                topic: topics.value(row),
                payload: payloads.value(row),
                reason: reasons.value(row),
            });
        }
        Ok(())
    })
}

fn for_each_batch(
    directory: &Path,
    columns: &[&str],
    mut each: impl FnMut(&RecordBatch) -> Result<(), String>,
) -> Result<(), SimError> {
    let mut files = Vec::new();
    if directory.is_dir() {
        find_below(directory, "parquet", &mut files)?;
    }
    for path in files {
        let file = File::open(&path).map_err(SimError::file("open", &path))?;
        // Without the writer's Arrow schema, dictionaries and views come as plain arrays.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)
            .map_err(SimError::parquet(&path))?;
        let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
        let batches = builder.with_projection(mask).build().map_err(SimError::parquet(&path))?;
        for batch in batches {
            let result = batch.map_err(|error| error.to_string()).and_then(|batch| each(&batch));
            result.map_err(|reason| SimError::Lake { path: path.clone(), reason })?;
        }
    }
    Ok(())
}

/// The column `name` as `convert` sees it, `None` if there is none.
fn column<T>(
    batch: &RecordBatch,
    name: &str,
    convert: impl FnOnce(&ArrayRef) -> Option<T>,
) -> Result<Option<T>, String> {
    let Some(array) = batch.column_by_name(name) else { return Ok(None) };
    let converted = convert(array);
    converted.map(Some).ok_or_else(|| format!("column {name} has the unexpected type {}", array.data_type()))
}

fn strings(batch: &RecordBatch, name: &str) -> Result<Option<StringArray>, String> {
    column(batch, name, |array| match array.data_type() {
        // A writer that does not annotate its strings.
        DataType::Binary => StringArray::try_from_binary(array.as_binary().clone()).ok(),
        _ => array.as_string_opt().cloned(),
    })
}

fn bytes(batch: &RecordBatch, name: &str) -> Result<Option<BinaryArray>, String> {
    column(batch, name, |array| match array.data_type() {
        DataType::Utf8 => Some(array.as_string::<i32>().clone().into()),
        _ => array.as_binary_opt().cloned(),
    })
}

fn unsigned(batch: &RecordBatch, name: &str) -> Result<Option<UInt64Array>, String> {
    column(batch, name, |array| match array.data_type() {
        DataType::Int64 => Some(array.as_primitive::<Int64Type>().unary(|number| number as u64)),
        _ => array.as_primitive_opt().cloned(),
    })
}

fn micros(batch: &RecordBatch, name: &str) -> Result<Option<Int64Array>, String> {
    column(batch, name, |array| match array.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Some(array.as_primitive::<TimestampMicrosecondType>().reinterpret_cast())
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            Some(array.as_primitive::<TimestampMillisecondType>().unary(|millis| millis.saturating_mul(1000)))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            Some(array.as_primitive::<TimestampNanosecondType>().unary(|nanos| nanos.div_euclid(1000)))
        }
        _ => array.as_primitive_opt().cloned(),
    })
}
