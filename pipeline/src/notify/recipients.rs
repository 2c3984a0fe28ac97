//! Which alert goes to which webhook: what the worker of alert needs to know of them.

use std::sync::Arc;

use stages::{
    alert::Severity,
    frame::{AlertRow, Alerts, AlertsBuilder, Frame, FrameError, Kind, Lane},
};

use super::config::{NotifyConfig, Transition, WebhookConfig};
use crate::queue::{EncodedFrame, Publish, QueueName};

/// The name of the stage: in ids, books and logs.
pub(crate) const STAGE: &str = "notify";

/// Everybody who is told of alerts.
#[derive(Debug, Clone, Default)]
pub struct Recipients(Arc<[Recipient]>);

#[derive(Debug)]
struct Recipient {
    name: String,
    lane: Lane,
    severity_at_least: Severity,
    states: Vec<Transition>,
}

impl Recipients {
    /// The webhooks of a config.
    pub fn of(config: &NotifyConfig) -> Self {
        Self(config.webhooks.iter().map(Recipient::of).collect())
    }

    /// A frame for each row of an *alerts* frame and each webhook that asks for it, in the webhook's lane: so each
    /// is delivered, tried again and given up by itself.
    ///
    /// # Errors
    /// When the frame is not one of alerts.
    pub fn publish(&self, frame: &Frame) -> Result<Vec<Publish>, FrameError> {
        if self.0.is_empty() {
            return Ok(Vec::new());
        }
        let (alerts, mut builder) = (Alerts::of(frame)?, AlertsBuilder::default());
        let mut entries = Vec::new();
        for row in 0..alerts.len() {
            let alert = alerts.get(row);
            for recipient in self.0.iter().filter(|recipient| recipient.asks_for(&alert)) {
                builder.append(&alert);
                let id = frame.header.id.published(STAGE, 0, &recipient.name, row);
                let alone = builder.finish(frame.header.derive(Kind::Alerts, recipient.lane, id))?;
                entries.push(Publish { queue: QueueName::Notify, frame: EncodedFrame::of(&alone)? });
            }
        }
        Ok(entries)
    }
}

impl Recipient {
    fn of(config: &WebhookConfig) -> Self {
        Self {
            name: config.name.clone(),
            lane: config.lane(),
            severity_at_least: config.severity_at_least,
            states: config.states.clone(),
        }
    }

    fn asks_for(&self, alert: &AlertRow<'_>) -> bool {
        let state = self.states.iter().any(|state| state.as_str() == alert.state);
        state && rank(alert.severity) >= rank(self.severity_at_least.as_str())
    }
}

/// How bad a severity is. Of one that this version does not know everybody is told.
fn rank(severity: &str) -> usize {
    let known = [Severity::Info, Severity::Warning, Severity::Critical];
    known.iter().position(|known| known.as_str() == severity).unwrap_or(known.len())
}

#[cfg(test)]
mod tests {
    use stages::frame::{self, FrameId, Header};

    use super::*;

    fn frame(rows: &[(&str, &str, &str)]) -> Frame {
        let mut builder = AlertsBuilder::default();
        for (alert, state, severity) in rows {
            builder.append(&AlertRow {
                alert,
                rule: "too-hot",
                device_id: "a",
                metric: "temperature",
                state,
                severity,
                ts: 1,
                since: 0,
                value: Some(81.0),
                anomaly_score: None,
                condition: "temperature above 80",
                received_at: 2,
                message: 3,
            });
        }
        let id = FrameId::ingested(1, 1);
        let header = Header { id, kind: Kind::Alerts, lane: Lane(2), created_at: 0, epoch: 1, trace: None };
        builder.finish(header).unwrap()
    }

    fn recipients(webhooks: &[&str]) -> Recipients {
        let webhooks = webhooks.iter().map(|webhook| serde_json::from_str(webhook).unwrap()).collect();
        Recipients::of(&NotifyConfig { webhooks, ..NotifyConfig::default() })
    }

    /// Lane, alert and state of what is published.
    fn published(recipients: &Recipients) -> Vec<(Lane, String)> {
        let input = frame(&[
            ("one", "firing", "info"),
            ("two", "firing", "critical"),
            ("two", "resolved", "critical"),
            ("three", "expired", "warning"),
        ]);
        let entries = recipients.publish(&input).unwrap();
        assert!(entries.iter().all(|entry| entry.queue == QueueName::Notify && entry.frame.rows == 1));
        let mut ids: Vec<_> = entries.iter().map(|entry| entry.frame.id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), entries.len(), "ids of their own");
        let of = |entry: Publish| {
            let frame = frame::decode(&entry.frame.bytes).unwrap();
            assert_eq!(frame.header.lane, entry.frame.lane);
            let row = Alerts::of(&frame).unwrap().get(0);
            (frame.header.lane, format!("{} {}", row.alert, row.state))
        };
        entries.into_iter().map(of).collect()
    }

    #[test]
    fn each_webhook_gets_what_it_asks_for_in_its_own_lane() {
        let all = r#"{"name": "log", "url": "http://a"}"#;
        let some = r#"{"name": "ops", "url": "http://b", "severity_at_least": "warning", "states": ["firing", "expired"]}"#;
        let (log, ops) = (Lane::of("log", u16::MAX), Lane::of("ops", u16::MAX));
        let expected = [
            (log, "one firing"),
            (log, "two firing"),
            (ops, "two firing"),
            (log, "two resolved"),
            (log, "three expired"),
            (ops, "three expired"),
        ]
        .map(|(lane, alert)| (lane, alert.to_owned()));
        assert_eq!(published(&recipients(&[all, some])), expected);
        assert_eq!(published(&recipients(&[])), []);
    }
}
