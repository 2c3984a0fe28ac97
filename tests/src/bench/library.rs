//! Yardstick 2: the CPU time of just the necessary, once, with the libraries that Millstream uses, in one thread.
//!
//! Parse, check, columns, score, encode: no queue, no sorting, no memory of repeats, no windows, and nothing that a plain use
//! of these libraries would not do.

use std::{collections::HashMap, hint::black_box, sync::Arc, time::Duration};

use arrow_array::{
    ArrayRef, RecordBatch,
    builder::{
        BooleanBuilder, Float64Builder, StringBuilder, StringDictionaryBuilder, TimestampMicrosecondBuilder,
        UInt64Builder,
    },
    types::Int32Type,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use chrono::{DateTime, Utc};
use device_sim::{Faults, FleetOptions};
use jsonschema::Validator;
use millstream::lake::parquet_properties;
use parquet::arrow::ArrowWriter;
use rustix::{thread::ClockId, time::clock_gettime};
use serde_json::Value;
use stages::{store::Dataset, validate::DEVICE_SIM_SCHEMA};

use super::{figures::Figures, measure::micros_for_each, options::Plan};

/// Rows of a batch that the encoder is given.
const BATCH_ROWS: usize = 16_384;
/// Rows of a file, as in the lake by default.
const FILE_ROWS: u64 = 1_000_000;
/// Bytes of a file, at the most about.
const FILE_BYTES: usize = 64 << 20;
/// The default of `analyze.anomaly_threshold`.
const THRESHOLD: f64 = 0.9999;

/// One round; answers microseconds for each message.
pub(super) fn round(plan: &Plan, figures: &mut Figures) -> f64 {
    let start = Utc::now();
    let fleet = FleetOptions {
        devices: plan.devices,
        samples: 1,
        spacing: Duration::from_micros(1),
        start,
        seed: 1,
        faults: Faults::none(),
    };
    let mut floor = Floor::new();
    let mut spent = Duration::ZERO;
    let mut rows = 0;
    let mut payloads = device_sim::messages(fleet, plan.library_messages).map(|(_, payload)| payload);
    loop {
        // Made in portions, outside of the time that counts, as no more than a few should be in memory.
        let portion: Vec<String> = payloads.by_ref().take(BATCH_ROWS).collect();
        if portion.is_empty() {
            break;
        }
        let before = cpu_of_thread();
        rows += floor.take(&portion, start.timestamp_micros());
        spent += cpu_of_thread() - before;
    }
    let before = cpu_of_thread();
    floor.close();
    spent += cpu_of_thread() - before;
    assert_eq!(rows, 4 * plan.library_messages, "rows of four metrics");
    let micros = micros_for_each(spent, plan.library_messages);
    figures.add("library_floor_us_per_message", micros);
    micros
}

fn cpu_of_thread() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).expect("less than a second"))
}

/// All that messages go through.
struct Floor {
    validator: Validator,
    /// Where the levels of each lie.
    devices: HashMap<String, usize>,
    /// By metric.
    levels: Vec<Vec<(String, Level)>>,
    columns: Columns,
    file: Option<ArrowWriter<Vec<u8>>>,
    rows_of_file: u64,
    messages: u64,
}

impl Floor {
    fn new() -> Self {
        let schema: Value = serde_json::from_str(DEVICE_SIM_SCHEMA).expect("a schema");
        let validator = jsonschema::options().should_validate_formats(true).build(&schema).expect("a schema");
        let columns = Columns::new();
        let (devices, levels) = (HashMap::new(), Vec::new());
        Self { validator, devices, levels, columns, file: None, rows_of_file: 0, messages: 0 }
    }

    /// Takes messages; answers how many rows they are.
    fn take(&mut self, payloads: &[String], received_at: i64) -> u64 {
        let mut rows = 0;
        for payload in payloads {
            let message: Value = serde_json::from_str(payload).expect("JSON");
            assert!(self.validator.is_valid(&message), "{payload}");
            rows += self.append(&message, received_at);
            if self.columns.rows() >= BATCH_ROWS {
                self.write();
            }
        }
        rows
    }

    fn append(&mut self, message: &Value, received_at: i64) -> u64 {
        let text = |key: &str| message[key].as_str().expect("a text");
        let device = text("device_id");
        let ts = DateTime::parse_from_rfc3339(text("ts")).expect("an instant").timestamp_micros();
        let seq = message["seq"].as_u64();
        let metrics = message["metrics"].as_object().expect("an object");
        self.messages += 1;
        let place = self.devices.get(device).copied().unwrap_or_else(|| {
            self.levels.push(Vec::new());
            self.devices.insert(device.to_owned(), self.levels.len() - 1);
            self.levels.len() - 1
        });
        let levels = &mut self.levels[place];
        for (metric, value) in metrics {
            let value = value.as_f64().expect("a number");
            let place = levels.iter().position(|(known, _)| known == metric).unwrap_or_else(|| {
                levels.push((metric.clone(), Level::default()));
                levels.len() - 1
            });
            let score = levels[place].1.score_and_learn(value);
            let columns = &mut self.columns;
            columns.device_id.append_value(device);
            columns.metric.append_value(metric);
            columns.ts.append_value(ts);
            columns.value.append_value(value);
            columns.text.append_null();
            columns.unit.append_null();
            columns.seq.append_option(seq);
            columns.received_at.append_value(received_at);
            columns.message.append_value(self.messages);
            columns.late.append_value(false);
            columns.anomaly_score.append_value(score);
            columns.anomaly.append_value(score >= THRESHOLD);
        }
        metrics.len() as u64
    }

    fn write(&mut self) {
        let rows = self.columns.finish();
        let file = self.file.get_or_insert_with(|| {
            let properties = parquet_properties(Dataset::Readings, &rows.schema()).expect("properties");
            ArrowWriter::try_new(Vec::with_capacity(FILE_BYTES), rows.schema(), Some(properties))
                .expect("a writer")
        });
        file.write(&rows).expect("rows are written");
        self.rows_of_file += rows.num_rows() as u64;
        if self.rows_of_file >= FILE_ROWS {
            self.end_file();
        }
    }

    fn end_file(&mut self) {
        self.rows_of_file = 0;
        if let Some(file) = self.file.take() {
            black_box(file.into_inner().expect("a footer"));
        }
    }

    fn close(mut self) {
        self.write();
        self.end_file();
    }
}

type Repeated = StringDictionaryBuilder<Int32Type>;

/// The columns of `readings` in the lake.
struct Columns {
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
    late: BooleanBuilder,
    anomaly_score: Float64Builder,
    anomaly: BooleanBuilder,
}

impl Columns {
    fn new() -> Self {
        let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let repeated =
            |name, nullable| Field::new_dictionary(name, DataType::Int32, DataType::Utf8, nullable);
        let schema = Schema::new(vec![
            repeated("device_id", false),
            repeated("metric", false),
            Field::new("ts", instant.clone(), false),
            Field::new("value", DataType::Float64, true),
            Field::new("text", DataType::Utf8, true),
            repeated("unit", true),
            Field::new("seq", DataType::UInt64, true),
            Field::new("received_at", instant, false),
            Field::new("message", DataType::UInt64, false),
            Field::new("late", DataType::Boolean, false),
            Field::new("anomaly_score", DataType::Float64, false),
            Field::new("anomaly", DataType::Boolean, false),
        ]);
        Self {
            schema: Arc::new(schema),
            device_id: Repeated::new(),
            metric: Repeated::new(),
            ts: TimestampMicrosecondBuilder::new().with_timezone("UTC"),
            value: Float64Builder::new(),
            text: StringBuilder::new(),
            unit: Repeated::new(),
            seq: UInt64Builder::new(),
            received_at: TimestampMicrosecondBuilder::new().with_timezone("UTC"),
            message: UInt64Builder::new(),
            late: BooleanBuilder::new(),
            anomaly_score: Float64Builder::new(),
            anomaly: BooleanBuilder::new(),
        }
    }

    fn rows(&self) -> usize {
        self.value.values_slice().len()
    }

    fn finish(&mut self) -> RecordBatch {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.device_id.finish()),
            Arc::new(self.metric.finish()),
            Arc::new(self.ts.finish()),
            Arc::new(self.value.finish()),
            Arc::new(self.text.finish()),
            Arc::new(self.unit.finish()),
            Arc::new(self.seq.finish()),
            Arc::new(self.received_at.finish()),
            Arc::new(self.message.finish()),
            Arc::new(self.late.finish()),
            Arc::new(self.anomaly_score.finish()),
            Arc::new(self.anomaly.finish()),
        ];
        RecordBatch::try_new(Arc::clone(&self.schema), columns).expect("columns of one length")
    }
}

/// Values before the first score.
const WARM_UP: u32 = 16;
/// The weight of the newest value once the level is learnt.
const WEIGHT_MIN: f64 = 0.01;
/// A value further away than this many spreads teaches no more.
const TAUGHT_MAX: f64 = 5.0;
/// Mean absolute deviation to standard deviation of a normal distribution.
const DEVIATION: f64 = 1.253_314_137_315_500_1;

/// What analyze scores with: `stages/src/analyze/level.rs` says why.
#[derive(Debug, Clone, Copy, Default)]
struct Level {
    count: u32,
    mean: f64,
    spread: f64,
}

impl Level {
    fn score_and_learn(&mut self, value: f64) -> f64 {
        let mut distance = value - self.mean;
        let score = if self.count < WARM_UP || distance == 0.0 {
            0.0
        } else {
            libm::erf(distance.abs() / (self.spread * DEVIATION) / std::f64::consts::SQRT_2)
        };
        self.count = self.count.saturating_add(1);
        let weight = (1.0 / f64::from(self.count)).max(WEIGHT_MIN);
        if self.count > WARM_UP && self.spread > 0.0 {
            let most = TAUGHT_MAX * self.spread;
            distance = distance.clamp(-most, most);
        }
        self.mean += weight * distance;
        self.spread += weight * (distance.abs() * (1.0 - weight) - self.spread);
        score
    }
}
