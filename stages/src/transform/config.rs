//! How messages become readings, as the config says it.

mod convert;
mod samples;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};

pub use self::{convert::ConvertConfig, samples::SamplesConfig};

/// How the messages of a topic become readings. Pointers are JSON pointers ([RFC 6901]) into the
/// payload.
///
/// [RFC 6901]: https://www.rfc-editor.org/rfc/rfc6901
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TransformConfig {
    /// A known message shape; it stands in for `device`, `time`, `readings` and `seq` where they
    /// are not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,
    /// Where the device is named. Default: the capture `device` of the pattern.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceSource>,
    /// Where the time of the readings stands. There is no default: say `time: received` for the
    /// time of receipt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<TimeSource>,
    /// Where the readings are. Default: `object: /metrics`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readings: Option<ReadingsSource>,
    /// Several samples in one message, each with a time of its own, in place of `readings`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples: Option<SamplesConfig>,
    /// How many samples, or records of SenML, a message may hold; one with more is refused.
    #[schemars(range(min = 1))]
    pub samples_max: u32,
    /// Pointer to a number that counts up with each message of a device: an integer from 0 on. A
    /// message may lack it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<String>,
    /// Metric as the device names it → metric as it is stored.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rename: BTreeMap<String, String>,
    /// Metrics to leave out, as the device names them.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub drop: BTreeSet<String>,
    /// Metric as it is stored → its unit, best as a [UCUM](https://ucum.org) code such as `Cel`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub units: BTreeMap<String, String>,
    /// Metric as it is stored → how its numbers are converted.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub convert: BTreeMap<String, ConvertConfig>,
    /// Tag → where its text comes from. Each tag is a column of its own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, TagSource>,
    /// How far a reading's time may lie after its receipt, in seconds; later ones are refused.
    pub max_future_secs: u64,
    /// The earliest time a reading may have, in RFC 3339; earlier ones are refused. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_time: Option<String>,
}

impl Default for TransformConfig {
    fn default() -> Self {
        Self {
            preset: None,
            device: None,
            time: None,
            readings: None,
            samples: None,
            samples_max: 10_000,
            seq: None,
            rename: BTreeMap::new(),
            drop: BTreeSet::new(),
            units: BTreeMap::new(),
            convert: BTreeMap::new(),
            tags: BTreeMap::new(),
            max_future_secs: 86_400,
            min_time: None,
        }
    }
}

/// A known message shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// What `device-sim` sends: `{"device_id": "…", "ts": "RFC 3339", "seq": 1, "metrics": {…}}`.
    /// The capture `device` goes before `device_id` where the pattern has it.
    DeviceSim,
    /// SenML ([RFC 8428](https://www.rfc-editor.org/rfc/rfc8428)) in JSON: a list of records that name
    /// device, metric, time and unit themselves. The capture `device` goes before the device of the names.
    Senml,
}

/// Where the device is named. A number that is an integer is taken as its digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeviceSource {
    /// The name of a capture of the pattern.
    Capture(String),
    /// A pointer into the payload.
    Pointer(String),
}

/// Where the time of the readings stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum TimeSource {
    /// The time of receipt.
    Received(Received),
    /// In the payload.
    Payload(TimeField),
}

/// The word `received`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Received {
    /// The time of receipt.
    Received,
}

/// A time in the payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimeField {
    /// A pointer into the payload.
    pub pointer: String,
    /// How the time is written.
    #[serde(default)]
    pub format: TimeFormat,
}

/// How a time is written. It is kept in microseconds, finer times are floored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimeFormat {
    /// Text as in [RFC 3339](https://www.rfc-editor.org/rfc/rfc3339#section-5.6), with an offset.
    #[default]
    Rfc3339,
    /// A number: seconds since 1970-01-01T00:00:00Z, with or without a fraction.
    EpochS,
    /// A number: milliseconds since 1970-01-01T00:00:00Z, with or without a fraction.
    EpochMs,
    /// A number: microseconds since 1970-01-01T00:00:00Z.
    EpochUs,
    /// A number: nanoseconds since 1970-01-01T00:00:00Z.
    EpochNs,
    /// Only in `samples`, a number: seconds after the `time` of the message; before it where negative.
    OffsetS,
    /// Only in `samples`, a number: milliseconds after the `time` of the message.
    OffsetMs,
}

impl TimeFormat {
    /// Whether it counts from another time.
    pub fn is_offset(self) -> bool {
        matches!(self, Self::OffsetS | Self::OffsetMs)
    }
}

/// Where the readings are. A number becomes the `value`, a boolean the `value` 0 or 1, a string the
/// `text`, and so does an integer that a 64-bit float cannot hold; null is no reading; an object or
/// an array makes the message be refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReadingsSource {
    /// A pointer to an object of metric → value. What `device`, `time`, `seq` or `tags` take from that
    /// object is none.
    Object(String),
    /// Single fields of the payload; a message may lack some.
    Fields(Vec<ReadingField>),
}

/// One metric in a field of the payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadingField {
    /// The metric, as `drop` and `rename` name it.
    pub metric: String,
    /// A pointer into the payload.
    pub pointer: String,
    /// Its unit; goes before `units`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

/// Where a tag's text comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TagSource {
    /// The name of a capture of the pattern.
    Capture(String),
    /// This text.
    Constant(String),
    /// A pointer into the payload, to a string, a number or a boolean; a message may lack it.
    Pointer(String),
    /// A column of the device table. Empty for a device that is not in the table.
    Table(String),
}

/// By hand, since what serde derives for two shapes answers every mistake with "no variant matched".
impl<'de> Deserialize<'de> for TimeSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = TimeSource;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`received`, or a mapping of `pointer` and `format`")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<TimeSource, E> {
                match word {
                    "received" => Ok(TimeSource::Received(Received::Received)),
                    _ => Err(E::invalid_value(de::Unexpected::Str(word), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TimeSource, A::Error> {
                TimeField::deserialize(MapAccessDeserializer::new(map)).map(TimeSource::Payload)
            }
        }

        deserializer.deserialize_any(Either)
    }
}
