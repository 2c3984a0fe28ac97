//! What alert remembers of a lane: the open alerts, when others ended, and when devices were last heard of
//! where a rule waits for their absence.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{
    STAGE,
    watch::{SavedWatch, Watch},
};
use crate::{frame::Micros, plan::StateError};

/// What alert remembers of the devices of one lane. Devices of which there is nothing take no room.
#[derive(Debug)]
pub struct AlertState {
    devices: Vec<Device>,
    slots: HashMap<String, usize>,
    rules: Vec<Key>,
    /// The slots of the devices that changed since the last delta.
    changed: Vec<usize>,
    /// No alert takes a step by time alone before this.
    due: Micros,
}

#[derive(Debug)]
struct Device {
    name: String,
    /// By the slot of the rule.
    watches: Vec<(usize, Watch)>,
    changed: bool,
}

/// What the alerts of a rule are remembered by: a rule that looks at something else begins anew.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Key {
    pub(super) rule: String,
    /// Empty for any.
    pub(super) metric: String,
    /// Whether it waits for an absence.
    pub(super) absence: bool,
}

/// An alert that is due, and where it is.
pub(super) struct Due {
    pub(super) device: usize,
    pub(super) rule: usize,
    pub(super) watch: Watch,
}

impl Default for AlertState {
    fn default() -> Self {
        Self {
            devices: Vec::new(),
            slots: HashMap::new(),
            rules: Vec::new(),
            changed: Vec::new(),
            due: Micros::MAX,
        }
    }
}

impl AlertState {
    /// The slot of a rule, for as long as this state is in memory.
    pub(super) fn rule_slot(&mut self, key: &Key) -> usize {
        self.rules.iter().position(|known| known == key).unwrap_or_else(|| {
            self.rules.push(key.clone());
            self.rules.len() - 1
        })
    }

    /// The rules by their slots, also such as no longer are.
    pub(super) fn rules(&self) -> &[Key] {
        &self.rules
    }

    /// The slot of a device of which something is remembered; good until the next delta.
    pub(super) fn device_slot(&self, name: &str) -> Option<usize> {
        self.slots.get(name).copied()
    }

    pub(super) fn name(&self, device: usize) -> &str {
        self.devices.get(device).map_or("", |device| &device.name)
    }

    pub(super) fn get(&self, device: usize, rule: usize) -> Option<Watch> {
        let watches = &self.devices.get(device)?.watches;
        watches.iter().find(|(slot, _)| *slot == rule).map(|(_, watch)| *watch)
    }

    /// The slot of a device, from now on at least until the next delta.
    pub(super) fn add(&mut self, name: &str) -> usize {
        self.device_slot(name).unwrap_or_else(|| {
            let slot = self.devices.len();
            self.devices.push(Device { name: name.to_owned(), watches: Vec::new(), changed: false });
            self.slots.insert(name.to_owned(), slot);
            slot
        })
    }

    /// Remembers what has become of an alert; `due` is when time alone changes it.
    pub(super) fn set(&mut self, device: usize, rule: usize, watch: Option<Watch>, due: Micros) {
        self.due = self.due.min(due);
        let Some(known) = self.devices.get_mut(device) else { return };
        let place = known.watches.iter().position(|(slot, _)| *slot == rule);
        match (place.and_then(|place| known.watches.get_mut(place)), watch) {
            (Some((_, old)), Some(new)) => *old = new,
            (None, Some(new)) => known.watches.push((rule, new)),
            (_, None) => known.watches.retain(|(slot, _)| *slot != rule),
        }
        if !std::mem::replace(&mut known.changed, true) {
            self.changed.push(device);
        }
    }

    /// Whether no alert can be due at `instant`: then there is nothing to look through.
    pub(super) fn rests_at(&self, instant: Micros) -> bool {
        instant < self.due
    }

    /// The alerts that are due at `instant`, by device and rule.
    pub(super) fn take_due(&mut self, instant: Micros, due_of: impl Fn(usize, &Watch) -> Micros) -> Vec<Due> {
        let (mut found, mut next) = (Vec::new(), Micros::MAX);
        for (device, known) in self.devices.iter().enumerate() {
            for (rule, watch) in &known.watches {
                let due = due_of(*rule, watch);
                if due <= instant {
                    found.push(Due { device, rule: *rule, watch: *watch });
                } else {
                    next = next.min(due);
                }
            }
        }
        self.due = next;
        found.sort_by_key(|due| (self.name(due.device), self.rules.get(due.rule)));
        found
    }

    /// What changed since the last delta, as bytes for [`AlertState::apply`]; empty where nothing did.
    pub(super) fn delta(&mut self) -> Result<Vec<u8>, StateError> {
        let changed = std::mem::take(&mut self.changed);
        if changed.is_empty() {
            return Ok(Vec::new());
        }
        let mut gone = Vec::new();
        for slot in &changed {
            if let Some(device) = self.devices.get_mut(*slot) {
                device.changed = false;
                if device.watches.is_empty() {
                    gone.push(device.name.clone());
                }
            }
        }
        let bytes = self.saved(changed.iter().filter_map(|slot| self.devices.get(*slot)));
        gone.iter().for_each(|name| self.remove(name));
        bytes
    }

    pub(super) fn snapshot(&self) -> Result<Vec<u8>, StateError> {
        let mut devices: Vec<_> = self.devices.iter().collect();
        devices.sort_by_key(|device| &device.name);
        self.saved(devices.into_iter())
    }

    /// # Errors
    /// When the bytes are none that this version wrote.
    pub(super) fn apply(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let saved: Saved = postcard::from_bytes(bytes).map_err(StateError::new)?;
        let rules: Vec<usize> = saved.rules.iter().map(|key| self.rule_slot(key)).collect();
        for entry in saved.devices {
            if entry.watches.is_empty() {
                self.remove(&entry.name);
                continue;
            }
            let mut watches = Vec::with_capacity(entry.watches.len());
            for (rule, watch) in entry.watches {
                let rule = *rules.get(rule).ok_or_else(|| StateError::foreign(STAGE))?;
                watches.push((rule, watch.into()));
            }
            let slot = self.add(&entry.name);
            if let Some(device) = self.devices.get_mut(slot) {
                device.watches = watches;
            }
        }
        // When each is due only the rules can tell: the next tick asks them.
        self.due = Micros::MIN;
        Ok(())
    }

    /// The devices as bytes: the same for the same watches, however they came about.
    fn saved<'a>(&'a self, devices: impl Iterator<Item = &'a Device> + Clone) -> Result<Vec<u8>, StateError> {
        let mut numbers = vec![None; self.rules.len()];
        for (rule, _) in devices.clone().flat_map(|device| &device.watches) {
            if let Some(number) = numbers.get_mut(*rule) {
                *number = Some(0);
            }
        }
        let mut used: Vec<_> =
            numbers.iter_mut().zip(&self.rules).filter(|(used, _)| used.is_some()).collect();
        used.sort_by_key(|(_, key)| *key);
        let mut rules = Vec::with_capacity(used.len());
        for (number, key) in used {
            *number = Some(rules.len());
            rules.push(key.clone());
        }
        let entries = devices.map(|device| {
            let number = |rule: &usize| numbers.get(*rule).copied().flatten().unwrap_or_default();
            let mut watches: Vec<(usize, SavedWatch)> =
                device.watches.iter().map(|(rule, watch)| (number(rule), (*watch).into())).collect();
            watches.sort_unstable_by_key(|(rule, _)| *rule);
            SavedDevice { name: device.name.clone(), watches }
        });
        postcard::to_stdvec(&Saved { rules, devices: entries.collect() }).map_err(StateError::new)
    }

    fn remove(&mut self, name: &str) {
        let Some(slot) = self.slots.remove(name) else { return };
        self.devices.swap_remove(slot);
        if let Some(place) = self.devices.get(slot).and_then(|moved| self.slots.get_mut(&moved.name)) {
            *place = slot;
        }
    }
}

/// A delta or a snapshot.
#[derive(Serialize, Deserialize)]
struct Saved {
    rules: Vec<Key>,
    devices: Vec<SavedDevice>,
}

/// Everything that is remembered of a device; nothing when it is forgotten.
#[derive(Serialize, Deserialize)]
struct SavedDevice {
    name: String,
    /// By the place of the rule in the list.
    watches: Vec<(usize, SavedWatch)>,
}
