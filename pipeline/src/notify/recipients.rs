//! Which alert goes to which webhook: what the worker of alert needs to know of them.

use std::{collections::HashMap, sync::Arc};

use stages::{
    alert::Severity,
    frame::{AlertRow, Alerts, AlertsBuilder, Frame, FrameError, Kind, Lane},
};

use super::config::{NotifyConfig, Transition, WebhookConfig};
use crate::queue::{EncodedFrame, Publish, QueueName};

/// The name of the stage: in ids, books and logs.
pub(crate) const STAGE: &str = "notify";

/// So many alerts of one rule, device and metric are told of one frame.
const ALERTS_MAX: usize = 100;

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

    /// A frame for each row of an *alerts* frame that is told and each webhook that asks for it, in the webhook's
    /// lane: so each is delivered, tried again and given up by itself.
    ///
    /// Of the alerts of one rule, device and metric that fire and end in this frame the last 100 are told, each whole.
    /// One message can hold thousands, and all of it is one transaction.
    ///
    /// # Errors
    /// When the frame is not one of alerts.
    pub fn publish(&self, frame: &Frame) -> Result<Vec<Publish>, FrameError> {
        if self.0.is_empty() {
            return Ok(Vec::new());
        }
        let (alerts, mut builder) = (Alerts::of(frame)?, AlertsBuilder::default());
        let mut entries = Vec::new();
        for (row, alert) in told(&alerts) {
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

/// The rows that webhooks are told of, with their places.
fn told<'a>(alerts: &Alerts<'a>) -> Vec<(usize, AlertRow<'a>)> {
    let rows: Vec<AlertRow<'a>> = (0..alerts.len()).map(|row| alerts.get(row)).collect();
    let about = |row: &AlertRow<'a>| (row.rule, row.device_id, row.metric);
    // How many alerts about the same come after an alert, and how many rows it has here.
    let mut newer: HashMap<_, HashMap<&str, usize>> = HashMap::new();
    let mut transitions = HashMap::<_, usize>::new();
    for row in rows.iter().rev() {
        let alerts = newer.entry(about(row)).or_default();
        let count = alerts.len();
        alerts.entry(row.alert).or_insert(count);
        *transitions.entry(row.alert).or_default() += 1;
    }
    let is_new = |row: &AlertRow<'a>| {
        newer
            .get(&about(row))
            .and_then(|alerts| alerts.get(row.alert))
            .is_some_and(|newer| *newer < ALERTS_MAX)
    };
    let is_told = |row: &AlertRow<'a>| transitions.get(row.alert) == Some(&1) || is_new(row);
    rows.into_iter().enumerate().filter(|(_, row)| is_told(row)).collect()
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
    use crate::notify::transition;

    /// Alert, device, state and severity of each row.
    fn frame(rows: &[(&str, &str, &str, &str)]) -> Frame {
        let mut builder = AlertsBuilder::default();
        for (alert, device_id, state, severity) in rows {
            builder.append(&transition(alert, device_id, state, severity));
        }
        let id = FrameId::ingested(1, 1);
        let header = Header { id, kind: Kind::Alerts, lane: Lane(2), created_at: 0, epoch: 1, trace: None };
        builder.finish(header).unwrap()
    }

    fn recipients(webhooks: &[&str]) -> Recipients {
        let webhooks = webhooks.iter().map(|webhook| serde_json::from_str(webhook).unwrap()).collect();
        Recipients::of(&NotifyConfig { webhooks, ..NotifyConfig::default() })
    }

    /// Lane, alert and state of what is published of such rows.
    fn published(recipients: &Recipients, rows: &[(&str, &str, &str, &str)]) -> Vec<(Lane, String)> {
        let entries = recipients.publish(&frame(rows)).unwrap();
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
        let rows = [
            ("one", "a", "firing", "info"),
            ("two", "b", "firing", "critical"),
            ("two", "b", "resolved", "critical"),
            ("three", "c", "expired", "warning"),
        ];
        assert_eq!(published(&recipients(&[all, some]), &rows), expected);
        assert_eq!(published(&recipients(&[]), &rows), []);
    }

    #[test]
    fn of_a_value_that_swings_without_end_the_last_alerts_are_told() {
        let told = |rows: &[(&str, &str, &str)]| -> Vec<String> {
            let log = recipients(&[r#"{"name": "log", "url": "http://a"}"#]);
            let rows: Vec<_> =
                rows.iter().map(|(alert, device, state)| (*alert, *device, *state, "info")).collect();
            published(&log, &rows).into_iter().map(|(_, alert)| alert).collect()
        };
        let (firing, resolved) = ("firing", "resolved");
        let pair = [("1", "a", firing), ("1", "a", resolved)];
        let swings = [("0", "a", resolved), pair[0], pair[1], ("2", "a", firing)];
        assert_eq!(told(&swings), ["0 resolved", "1 firing", "1 resolved", "2 firing"], "a few are all told");

        let alerts: Vec<String> = (0..5000).map(|alert| alert.to_string()).collect();
        let of = |device| {
            let rows = alerts.iter().flat_map(move |a| [firing, resolved].map(|state| (&**a, device, state)));
            [("before", device, resolved)].into_iter().chain(rows)
        };
        let many: Vec<_> = of("a").collect();
        let shown = told(&many);
        assert_eq!(shown.len(), 1 + 2 * ALERTS_MAX, "however many there are");
        assert_eq!(
            shown[..3],
            ["before resolved", "4900 firing", "4900 resolved"],
            "each whole, and ends of before"
        );
        let (both, alone) = (of("a").chain([("x", "b", firing)]).collect::<Vec<_>>(), 2 + 2 * ALERTS_MAX);
        assert_eq!(told(&both).len(), alone, "each device by itself");
    }
}
