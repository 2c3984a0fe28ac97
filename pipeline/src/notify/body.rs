//! What a webhook is sent.

use chrono::{DateTime, SecondsFormat};
use serde::Serialize;
use stages::frame::{AlertRow, Micros};

/// One transition of one alert, as JSON. Instants are in RFC 3339 with microseconds, UTC.
#[derive(Debug, Serialize)]
pub(super) struct Body<'a> {
    key: &'a str,
    alert: &'a str,
    rule: &'a str,
    device_id: &'a str,
    metric: &'a str,
    state: &'a str,
    severity: &'a str,
    ts: Option<String>,
    since: Option<String>,
    value: Option<f64>,
    anomaly_score: Option<f64>,
    condition: &'a str,
}

impl<'a> Body<'a> {
    /// The body for this transition, whose key is `key`.
    pub(super) fn of(row: &AlertRow<'a>, key: &'a str) -> Self {
        Self {
            key,
            alert: row.alert,
            rule: row.rule,
            device_id: row.device_id,
            metric: row.metric,
            state: row.state,
            severity: row.severity,
            ts: instant(row.ts),
            since: instant(row.since),
            value: row.value,
            anomaly_score: row.anomaly_score,
            condition: row.condition,
        }
    }
}

/// None for years that RFC 3339 cannot write.
fn instant(micros: Micros) -> Option<String> {
    let at = DateTime::from_timestamp_micros(micros)?;
    let text = at.to_rfc3339_opts(SecondsFormat::Micros, true);
    text.starts_with(|first: char| first.is_ascii_digit()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_says_all_there_is_to_know() {
        let row = AlertRow {
            alert: "a1",
            rule: "too-hot",
            device_id: "oven \"7\"",
            metric: "temperature",
            state: "firing",
            severity: "critical",
            ts: 1_767_225_600_000_001,
            since: 1_767_225_540_000_000,
            value: Some(80.5),
            anomaly_score: None,
            condition: "temperature above 80 for 60 s",
            received_at: 5,
            message: 6,
        };
        assert_eq!(
            serde_json::to_string(&Body::of(&row, "k")).unwrap(),
            r#"{"key":"k","alert":"a1","rule":"too-hot","device_id":"oven \"7\"","metric":"temperature","state":"firing","severity":"critical","ts":"2026-01-01T00:00:00.000001Z","since":"2025-12-31T23:59:00.000000Z","value":80.5,"anomaly_score":null,"condition":"temperature above 80 for 60 s"}"#
        );
        assert_eq!(instant(i64::MIN), None);
    }

    #[test]
    fn each_transition_has_a_key_of_its_own() {
        let key = |alert, state| {
            let row = AlertRow {
                alert,
                rule: "",
                device_id: "",
                metric: "",
                state,
                severity: "",
                ts: 0,
                since: 0,
                value: None,
                anomaly_score: None,
                condition: "",
                received_at: 0,
                message: 0,
            };
            row.key()
        };
        // Whoever has stored it will look for this very key.
        assert_eq!(key("a1", "firing"), "8b48d59584d2c6ae75527ce8a58ea4a6");
        assert_ne!(key("a1", "resolved"), key("a1", "firing"));
        assert_ne!(key("a2", "firing"), key("a1", "firing"));
    }
}
