//! The part `analyze` of the config.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How readings are compared with those before them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AnalyzeConfig {
    /// How long a reading is remembered to recognise repeats, in seconds of event time. Must span
    /// what a device may send again after it lost its connection.
    pub dedupe_secs: u64,
    /// How far a reading may lie behind the newest of its device before it is marked late, in
    /// seconds of event time.
    pub allowed_lateness_secs: u64,
    /// The anomaly score from which on a reading is marked an anomaly, from 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub anomaly_threshold: f64,
    /// After how many seconds without a message a device is forgotten.
    #[schemars(range(min = 1))]
    pub idle_secs: u64,
}

impl Default for AnalyzeConfig {
    fn default() -> Self {
        Self { dedupe_secs: 3600, allowed_lateness_secs: 60, anomaly_threshold: 0.9999, idle_secs: 604_800 }
    }
}
