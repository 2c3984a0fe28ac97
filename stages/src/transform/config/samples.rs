//! Several samples in one message.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ReadingsSource, TimeField};

/// Samples of a message, each with a time of its own. Pointers in here begin at a sample.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SamplesConfig {
    /// A pointer into the payload, to the array of samples; empty where the payload is that array.
    pub pointer: String,
    /// Where a sample's time stands. With the format `offset_s` or `offset_ms` it counts from the
    /// `time` of the message.
    pub time: TimeField,
    /// Where a sample's readings are. Default: `object: ""`, the sample itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readings: Option<ReadingsSource>,
    /// Pointer to a number that counts up with each sample of a device, where samples are counted
    /// and not messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<String>,
}
