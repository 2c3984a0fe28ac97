//! What a load has achieved, for people and for programs.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

/// The outcome of `run` and `replay`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunReport {
    /// Publishes handed to the connections, deliberate repetitions included.
    pub published: u64,
    /// Publishes that the server acknowledged by PUBACK or PUBREC; 0 with QoS 0.
    pub acknowledged: u64,
    /// Publishes that the server refused (MQTT 5 reason codes from 0x80).
    pub refused: u64,
    /// Publishes that were neither acknowledged nor refused when the load ended.
    pub unacknowledged: u64,
    /// Publishes that went out again after a reconnect, each time counted.
    pub resent: u64,
    /// Acknowledgements of what was not in flight: a sign of a broker that acknowledges twice.
    pub stray_acknowledgements: u64,
    /// Connections that were made again.
    pub reconnects: u64,
    /// Bytes of payload, not counting what went out again.
    pub payload_bytes: u64,
    /// From the start to the last acknowledgement.
    pub seconds: f64,
    /// Publishes per second.
    pub messages_per_sec: f64,
    /// From the first write of a publish to its acknowledgement, reconnects included; zeros with QoS 0.
    pub latency_ms: Latency,
    /// Messages with each fault.
    pub faults: BTreeMap<String, u64>,
}

/// Percentiles in milliseconds, to three significant digits.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[expect(missing_docs, reason = "a percentile is named by its number")]
pub struct Latency {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p99_9: f64,
    pub max: f64,
}

impl RunReport {
    /// Whether the server has taken every publish.
    pub fn is_complete(&self) -> bool {
        self.refused == 0 && self.unacknowledged == 0
    }
}

/// A table of a few lines.
impl fmt::Display for RunReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let megabytes = self.payload_bytes as f64 / 1e6;
        let Latency { p50, p90, p99, p99_9, max } = self.latency_ms;
        writeln!(f, "published       {:>12}  in {:.2} s, {megabytes:.1} MB", self.published, self.seconds)?;
        writeln!(f, "acknowledged    {:>12}", self.acknowledged)?;
        for (name, count) in [
            ("refused", self.refused),
            ("unacknowledged", self.unacknowledged),
            ("resent", self.resent),
            ("stray acks", self.stray_acknowledgements),
            ("reconnects", self.reconnects),
        ] {
            if count > 0 {
                writeln!(f, "{name:<15} {count:>12}")?;
            }
        }
        writeln!(f, "messages/s      {:>12.0}", self.messages_per_sec)?;
        if self.acknowledged > 0 {
            writeln!(
                f,
                "latency ms      {p50:>12.2}  p50, {p90:.2} p90, {p99:.2} p99, {p99_9:.2} p99.9, {max:.2} max"
            )?;
        }
        for (fault, count) in &self.faults {
            writeln!(f, "fault {fault:<9} {count:>12}")?;
        }
        Ok(())
    }
}
