//! The open alerts of a lane. What is not open takes no room.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::{frame::Micros, plan::StateError};

/// The open alerts of one lane, by rule, device and metric.
#[derive(Debug, Default, PartialEq)]
pub struct AlertState {
    /// By device first: a row asks for one device.
    open: HashMap<String, Vec<(Key, Open)>>,
}

/// Which alert of a device.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Key {
    rule: String,
    metric: String,
}

/// An alert that is pending or firing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Open {
    /// Since when the condition has held.
    pub(super) since: Micros,
    /// The newest row that was looked at.
    pub(super) last: Micros,
    /// Whether it has held for long enough.
    pub(super) firing: bool,
}

/// The alerts that a frame changed, and what each is now.
#[derive(Debug, Default)]
pub(super) struct Change(BTreeMap<(String, Key), Option<Open>>);

/// An alert in a delta or a snapshot; closed where there is no [`Open`].
#[derive(Serialize, Deserialize)]
struct Entry {
    device: String,
    key: Key,
    open: Option<Open>,
}

impl AlertState {
    pub(super) fn get(&self, rule: &str, device: &str, metric: &str) -> Option<&Open> {
        let alerts = self.open.get(device)?;
        alerts.iter().find(|(key, _)| key.rule == rule && key.metric == metric).map(|(_, open)| open)
    }

    pub(super) fn set(
        &mut self,
        change: &mut Change,
        rule: &str,
        device: &str,
        metric: &str,
        open: Option<Open>,
    ) {
        let key = Key { rule: rule.to_owned(), metric: metric.to_owned() };
        self.put(device, key.clone(), open);
        change.0.insert((device.to_owned(), key), open);
    }

    /// What changed, as bytes for [`AlertState::apply`]; empty where nothing did.
    pub(super) fn delta(&self, change: Change) -> Result<Vec<u8>, StateError> {
        if change.0.is_empty() {
            return Ok(Vec::new());
        }
        let entries = change.0.into_iter().map(|((device, key), open)| Entry { device, key, open });
        postcard::to_stdvec(&entries.collect::<Vec<_>>()).map_err(StateError::new)
    }

    pub(super) fn snapshot(&self) -> Result<Vec<u8>, StateError> {
        let mut entries = Vec::new();
        for (device, alerts) in &self.open {
            for (key, open) in alerts {
                entries.push(Entry { device: device.clone(), key: key.clone(), open: Some(*open) });
            }
        }
        entries.sort_by(|a, b| (&a.device, &a.key).cmp(&(&b.device, &b.key)));
        postcard::to_stdvec(&entries).map_err(StateError::new)
    }

    pub(super) fn apply(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let entries: Vec<Entry> = postcard::from_bytes(bytes).map_err(StateError::new)?;
        for entry in entries {
            self.put(&entry.device, entry.key, entry.open);
        }
        Ok(())
    }

    fn put(&mut self, device: &str, key: Key, open: Option<Open>) {
        let alerts = match self.open.get_mut(device) {
            Some(alerts) => alerts,
            None if open.is_none() => return,
            None => self.open.entry(device.to_owned()).or_default(),
        };
        alerts.retain(|(known, _)| *known != key);
        if let Some(open) = open {
            alerts.push((key, open));
        } else if alerts.is_empty() {
            self.open.remove(device);
        }
    }
}
