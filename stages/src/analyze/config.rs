//! The part `analyze` of the config.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How readings are compared with those before them, and what windows they are summed up in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AnalyzeConfig {
    /// How long a reading is remembered to recognise repeats, in seconds of event time. Must span
    /// what a device may send again after it lost its connection.
    pub dedupe_secs: u64,
    /// How much memory that may take in each lane, in bytes. Beyond, readings are remembered for less long: the oldest are
    /// forgotten first, except the last minute or 2 KiB of each device. A reading takes two to three bytes where a device sends some
    /// together, else seldom more than ten; eight to ten more with a number and no time of its own. What it takes to find repeats
    /// comes on top: half as much between two frames.
    #[schemars(range(min = 65_536))]
    pub dedupe_bytes_max: u64,
    /// How far a reading may lie behind the newest of its device before it is marked late, in
    /// seconds of event time. Late readings count in no window. For devices that send in batches, no
    /// less than the time from one batch to the next.
    pub allowed_lateness_secs: u64,
    /// The anomaly score from which on a reading is marked an anomaly, from 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub anomaly_threshold: f64,
    /// After how many seconds without a message a device is forgotten; so is one metric of it that lies so far, and
    /// `dedupe_secs` at least, behind the newest event time of its device.
    #[schemars(range(min = 1))]
    pub idle_secs: u64,
    /// The length of a window in seconds of event time, aligned to 1970-01-01T00:00:00Z; 0 for no windows.
    #[schemars(range(max = 86_400))]
    pub window_secs: u32,
    /// How many windows of one metric of one device may be open at once. One more closes the oldest before
    /// its time: only a device whose clock runs ahead needs more than the allowed lateness does.
    #[schemars(range(min = 2, max = 100_000))]
    pub open_windows_max: u32,
    /// How often time is told to the stages that know devices, in seconds: so windows of silent ones close too.
    #[schemars(range(min = 1, max = 3600))]
    pub tick_secs: u32,
    /// How many seconds after a start time is told first: devices that were cut off by the stop come
    /// back before they count as silent.
    #[schemars(range(max = 3600))]
    pub tick_grace_secs: u32,
}

impl Default for AnalyzeConfig {
    fn default() -> Self {
        Self {
            dedupe_secs: 3600,
            dedupe_bytes_max: 32 << 20,
            allowed_lateness_secs: 60,
            anomaly_threshold: 0.9999,
            idle_secs: 604_800,
            window_secs: 60,
            open_windows_max: 100,
            tick_secs: 5,
            tick_grace_secs: 30,
        }
    }
}

impl AnalyzeConfig {
    /// How many windows of one metric the allowed lateness keeps open, of a device with a true clock: the
    /// one that its newest reading lies in, and all that its watermark has not passed.
    pub fn windows_needed(&self) -> u64 {
        match self.window_secs {
            0 => 0,
            length => self.allowed_lateness_secs.div_ceil(length.into()).saturating_add(1),
        }
    }
}
