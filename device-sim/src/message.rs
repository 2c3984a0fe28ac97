//! The shape of every message that `run` and `replay` send, and what a pipeline must make of it.
//!
//! ```json
//! {"device_id":"dev-000042","ts":"2026-03-01T10:04:00.123Z","seq":1,"metrics":{"temperature":21.4}}
//! {"device_id":"dev-000042","seq":1,"samples":[{"ts":"2026-03-01T10:04:00.123Z","metrics":{"temperature":21.4}}]}
//! ```

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value as Json;
use xxhash_rust::xxh3::xxh3_64;

/// The topic that `device` publishes to.
pub fn topic(device: &str) -> String {
    format!("devices/{device}/telemetry")
}

/// What a metric is in a message.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value<'a> {
    /// Written as the shortest decimal that reads back as the same number. Must be finite.
    Number(f64),
    /// What is no number.
    Text(&'a str),
}

/// One message, ready to be written as JSON.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Message<'a> {
    /// Who sends it.
    pub device: &'a str,
    /// When it was measured, by the device's clock.
    pub ts: DateTime<Utc>,
    /// Counts the device's messages from 1.
    pub seq: u64,
    /// Metric names with their values.
    pub metrics: &'a [(&'a str, Value<'a>)],
}

impl Message<'_> {
    /// The payload.
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Shape<'a> {
            device_id: &'a str,
            ts: &'a str,
            seq: u64,
            #[serde(serialize_with = "as_object")]
            metrics: &'a [(&'a str, Value<'a>)],
        }
        let ts = rfc3339(self.ts);
        let shape = Shape { device_id: self.device, ts: &ts, seq: self.seq, metrics: self.metrics };
        // Neither a string nor a finite number can fail to be written.
        serde_json::to_string(&shape).unwrap_or_default()
    }
}

/// A message of a device that collects: many samples, sent at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Batch<'a> {
    /// Who sends it.
    pub device: &'a str,
    /// Counts the device's messages from 1.
    pub seq: u64,
    /// In the order in which they were measured.
    pub samples: &'a [Sample<'a>],
}

/// What a device has measured at one instant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample<'a> {
    /// When, by the device's clock.
    pub ts: DateTime<Utc>,
    /// Metric names with their values.
    pub metrics: &'a [(&'a str, Value<'a>)],
}

impl Batch<'_> {
    /// The payload.
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Shape<'a> {
            device_id: &'a str,
            seq: u64,
            samples: Vec<Part<'a>>,
        }
        #[derive(Serialize)]
        struct Part<'a> {
            ts: String,
            #[serde(serialize_with = "as_object")]
            metrics: &'a [(&'a str, Value<'a>)],
        }
        let parts =
            self.samples.iter().map(|sample| Part { ts: rfc3339(sample.ts), metrics: sample.metrics });
        let shape = Shape { device_id: self.device, seq: self.seq, samples: parts.collect() };
        // As above.
        serde_json::to_string(&shape).unwrap_or_default()
    }
}

fn as_object<S: Serializer>(metrics: &[(&str, Value<'_>)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(metrics.iter().map(|(name, value)| (name, value)))
}

/// `ts` in UTC with as many digits of the second as it needs.
pub(crate) fn rfc3339(ts: DateTime<Utc>) -> String {
    ts.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// What the oracle expects of a message that keeps to one of the shapes: one row for each metric of each sample.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) device: String,
    pub(crate) seq: u64,
    pub(crate) rows: Vec<ExpectedRow>,
}

/// One row of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ExpectedRow {
    pub(crate) ts_micros: i64,
    pub(crate) metric: String,
    pub(crate) content: Content,
}

/// What a row holds, hashed. Numbers by their bits: 0.0 and -0.0 differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Content(u64);

impl Content {
    /// Of a row: `None` in both is an empty row, which no message leads to.
    pub(crate) fn of_row(value: Option<f64>, text: Option<&str>) -> Self {
        match (value, text) {
            (Some(value), None) => Self::hash(b'n', &value.to_bits().to_le_bytes()),
            (None, Some(text)) => Self::hash(b't', text.as_bytes()),
            (None, None) => Self::hash(b'-', &[]),
            (Some(value), Some(text)) => Self::hash(b'b', format!("{value}{text}").as_bytes()),
        }
    }

    /// Of a value in a message; `None` if the shape does not allow it.
    fn of_json(value: &Json) -> Option<Self> {
        match value {
            Json::Number(number) => {
                let held = number.as_f64()?;
                let exact = match (number.as_i64(), number.as_u64()) {
                    // Through i128: a saturating cast back would call 2^63 - 1 exact.
                    (Some(integer), _) => held as i128 == i128::from(integer),
                    (_, Some(integer)) => held as i128 == i128::from(integer),
                    _ => true,
                };
                let digits = (!exact).then(|| number.to_string());
                Some(Self::of_row(exact.then_some(held), digits.as_deref()))
            }
            Json::Bool(held) => Some(Self::of_row(Some(f64::from(u8::from(*held))), None)),
            Json::String(text) => Some(Self::of_row(None, Some(text))),
            Json::Null | Json::Array(_) | Json::Object(_) => None,
        }
    }

    fn hash(kind: u8, bytes: &[u8]) -> Self {
        Self(xxh3_64(bytes) ^ (u64::from(kind) << 56))
    }

    pub(crate) fn bits(self) -> u64 {
        self.0
    }
}

impl Expected {
    /// What `payload` must become, or `None` if it breaks the shape and must be refused.
    pub(crate) fn of(payload: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Shape {
            device_id: String,
            seq: u64,
            #[serde(flatten)]
            content: Measured,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Measured {
            Many { samples: Vec<Part> },
            One(Part),
        }
        #[derive(Deserialize)]
        struct Part {
            ts: String,
            metrics: serde_json::Map<String, Json>,
        }
        let shape: Shape = serde_json::from_str(payload).ok()?;
        let parts = match shape.content {
            Measured::Many { samples } => samples,
            Measured::One(part) => vec![part],
        };
        let mut rows = Vec::new();
        for Part { ts, metrics } in parts {
            let ts_micros = DateTime::parse_from_rfc3339(&ts).ok()?.timestamp_micros();
            for (metric, value) in metrics {
                rows.push(ExpectedRow { ts_micros, metric, content: Content::of_json(&value)? });
            }
        }
        Some(Self { device: shape.device_id, seq: shape.seq, rows })
    }
}

#[cfg(test)]
mod tests;
