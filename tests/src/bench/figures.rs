//! What was measured, by name.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// What is there in any case, null where it was not measured.
const KEYS: [&str; 18] = [
    "broker_floor_msgs_per_sec",
    "listener_msgs_per_sec",
    "subscriber_msgs_per_sec",
    "batched_readings_per_sec",
    "library_floor_us_per_message",
    "pipeline_cpu_us_per_message",
    "puback_p99_ms",
    "alert_p99_ms",
    "backlog_peak_mib",
    "backlog_drain_msgs_per_sec",
    "ready_ms",
    "idle_cpu_percent",
    "listener_to_broker_floor",
    "subscriber_to_broker_floor",
    "cpu_to_library_floor",
    "batched_to_listener_readings",
    "grouped_msgs_per_sec",
    "grouped_cpu_us_per_message",
];

/// A figure for each round, by the key it has in the JSON.
#[derive(Debug, Default)]
pub(super) struct Figures(BTreeMap<String, Vec<f64>>);

impl Figures {
    /// One more round of `key`.
    pub(super) fn add(&mut self, key: &str, figure: f64) {
        self.0.entry(key.to_owned()).or_default().push(figure);
    }

    /// The median of all rounds; of an even number the mean of the two in the middle.
    pub(super) fn median(&self, key: &str) -> Option<f64> {
        let mut figures = self.0.get(key)?.clone();
        figures.sort_unstable_by(f64::total_cmp);
        let middle = figures.len() / 2;
        let upper = *figures.get(middle)?;
        Some(if figures.len() % 2 == 1 { upper } else { (figures[middle - 1] + upper) / 2.0 })
    }

    /// The least and the most of all rounds.
    pub(super) fn range(&self, key: &str) -> Option<(f64, f64)> {
        let figures = self.0.get(key)?;
        let least = figures.iter().copied().fold(f64::INFINITY, f64::min);
        let most = figures.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Some((least, most))
    }

    /// Every key with its median, and what else is to be said.
    pub(super) fn json(&self, more: Value) -> Value {
        let mut all = Map::new();
        for key in KEYS.into_iter().chain(self.0.keys().map(String::as_str)) {
            all.insert(key.to_owned(), self.median(key).map_or(Value::Null, |figure| rounded(figure).into()));
        }
        if let Value::Object(more) = more {
            all.extend(more);
        }
        Value::Object(all)
    }
}

/// Four digits, which is more than a machine repeats.
fn rounded(figure: f64) -> f64 {
    if figure == 0.0 || !figure.is_finite() {
        return figure;
    }
    let digits = 3 - figure.abs().log10().floor() as i32;
    if digits <= 0 {
        return figure.round();
    }
    let scale = 10f64.powi(digits);
    (figure * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_medians_and_keys_are_all_there() {
        let mut figures = Figures::default();
        for figure in [3.0, 1.0, 1000.06] {
            figures.add("ready_ms", figure);
        }
        figures.add("other", 1_234_567.0);
        figures.add("other", 2.0);
        let json = figures.json(serde_json::json!({ "run": 1 }));
        assert_eq!((&json["ready_ms"], &json["other"]), (&3.0.into(), &617_285.0.into()));
        assert_eq!(figures.range("ready_ms"), Some((1.0, 1000.06)));
        assert!(KEYS.iter().all(|key| json.get(key).is_some()));
        assert_eq!(json["run"], 1);
        assert_eq!([rounded(0.012_345), rounded(12.345_6), rounded(0.0)], [0.01235, 12.35, 0.0]);
    }
}
