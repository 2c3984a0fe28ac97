//! The counters of a load.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

use super::Publish;
use crate::{
    client::session::Output,
    report::{Latency, RunReport},
};

/// Significant digits of latencies: a part in a thousand.
const DIGITS: u8 = 3;

/// What was sent and answered, over all connections.
pub(crate) struct Tally {
    pub(super) published: u64,
    pub(super) acknowledged: u64,
    refused: u64,
    resent: u64,
    stray: u64,
    unacknowledged: u64,
    reconnects: u64,
    bytes: u64,
    faults: BTreeMap<String, u64>,
    /// Microseconds from the first write to the acknowledgement; `None` if there is no memory for it.
    latency: Option<Histogram<u64>>,
}

/// What one connection has published since it last told.
#[derive(Default)]
pub(super) struct Published {
    messages: u64,
    bytes: u64,
    faults: Vec<String>,
}

impl Published {
    pub(super) fn count(&mut self, publish: Publish) {
        self.messages += 1;
        self.bytes += publish.payload.len() as u64;
        self.faults.extend(publish.faults);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages == 0
    }
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            published: 0,
            acknowledged: 0,
            refused: 0,
            resent: 0,
            stray: 0,
            unacknowledged: 0,
            reconnects: 0,
            bytes: 0,
            faults: BTreeMap::new(),
            latency: Histogram::new(DIGITS).ok(),
        }
    }

    pub(super) fn published(&mut self, published: Published) {
        self.published += published.messages;
        self.bytes += published.bytes;
        for label in published.faults {
            // The metric in a label is for detection; the counts are by fault.
            let fault = label.split(':').next().unwrap_or_default();
            match self.faults.get_mut(fault) {
                Some(count) => *count += 1,
                None => {
                    self.faults.insert(fault.to_owned(), 1);
                }
            }
        }
    }

    pub(super) fn answered(&mut self, output: &Output, now: Instant) {
        self.resent += output.resent.len() as u64;
        self.stray += output.stray;
        for settled in &output.settled {
            if settled.refused.is_some() {
                self.refused += 1;
                continue;
            }
            self.acknowledged += 1;
            if let Some(latency) = &mut self.latency {
                let micros = now.saturating_duration_since(settled.sent_at).as_micros();
                // It grows as needed; what no memory is left for is missing from the percentiles only.
                let _ = latency.record(u64::try_from(micros).unwrap_or(u64::MAX));
            }
        }
    }

    pub(super) fn left(&mut self, unacknowledged: u64) {
        self.unacknowledged += unacknowledged;
    }

    pub(super) fn reconnected(&mut self) {
        self.reconnects += 1;
    }

    pub(super) fn report(&self, took: Duration) -> RunReport {
        let seconds = took.as_secs_f64();
        let millis = |quantile: f64| {
            self.latency.as_ref().map_or(0.0, |latency| latency.value_at_quantile(quantile) as f64 / 1000.0)
        };
        RunReport {
            published: self.published,
            acknowledged: self.acknowledged,
            refused: self.refused,
            unacknowledged: self.unacknowledged,
            resent: self.resent,
            stray_acknowledgements: self.stray,
            reconnects: self.reconnects,
            payload_bytes: self.bytes,
            seconds,
            messages_per_sec: self.published as f64 / seconds.max(f64::MIN_POSITIVE),
            latency_ms: Latency {
                p50: millis(0.5),
                p90: millis(0.9),
                p99: millis(0.99),
                p99_9: millis(0.999),
                max: millis(1.0),
            },
            faults: self.faults.clone(),
        }
    }
}
