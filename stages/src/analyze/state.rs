//! What analyze remembers of a lane: by device its clock, by metric its level and the identities of
//! recent rows.

use std::collections::{HashMap, HashSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::level::Level;
use crate::{frame::Micros, plan::StateError};

/// Identities are kept in buckets of this much event time, and forgotten by the bucket.
const BUCKET: Micros = 60_000_000;
/// So many identities of a bucket are compared one by one; beyond, looking one up takes an index.
const COMPARED_MAX: usize = 64;

/// What analyze remembers of the devices of one lane.
#[derive(Debug, Default)]
pub struct AnalyzeState {
    devices: Vec<Device>,
    slots: HashMap<String, usize>,
    metrics: Vec<String>,
    metric_slots: HashMap<String, usize>,
    /// The latest receipt in the lane.
    received_at: Micros,
}

/// One device: how far its event time has come, and its metrics.
#[derive(Debug, Default)]
pub(super) struct Device {
    name: String,
    /// The newest event time seen, never beyond its receipt.
    pub(super) newest: Micros,
    received_at: Micros,
    series: Vec<(usize, Series)>,
    forgot: bool,
}

/// One metric of a device.
#[derive(Debug, Default)]
pub(super) struct Series {
    pub(super) level: Level,
    pub(super) seen: Seen,
    /// Whether the level or the identities changed since the last delta.
    pub(super) changed: bool,
}

/// The devices that a frame touched, in the order of their first row.
#[derive(Debug, Default)]
pub(super) struct Change {
    slots: Vec<usize>,
    touched: Vec<bool>,
}

impl Change {
    pub(super) fn touch(&mut self, slot: usize) {
        if self.touched.len() <= slot {
            self.touched.resize(slot + 1, false);
        }
        if !std::mem::replace(&mut self.touched[slot], true) {
            self.slots.push(slot);
        }
    }
}

impl AnalyzeState {
    pub(super) fn device_slot(&mut self, name: &str) -> usize {
        if let Some(slot) = self.slots.get(name) {
            return *slot;
        }
        let slot = self.devices.len();
        let device = Device { name: name.to_owned(), newest: Micros::MIN, ..Device::default() };
        self.devices.push(device);
        self.slots.insert(name.to_owned(), slot);
        slot
    }

    pub(super) fn metric_slot(&mut self, name: &str) -> usize {
        if let Some(slot) = self.metric_slots.get(name) {
            return *slot;
        }
        let slot = self.metrics.len();
        self.metrics.push(name.to_owned());
        self.metric_slots.insert(name.to_owned(), slot);
        slot
    }

    /// The device in `slot`, forgotten first when it was silent for longer than `idle`.
    pub(super) fn device(&mut self, slot: usize, received_at: Micros, idle: Micros) -> &mut Device {
        self.received_at = self.received_at.max(received_at);
        let device = &mut self.devices[slot];
        if device.received_at > 0 && received_at.saturating_sub(device.received_at) > idle {
            let name = std::mem::take(&mut device.name);
            *device = Device { name, newest: Micros::MIN, forgot: true, ..Device::default() };
        }
        device
    }

    /// What changed, as bytes for [`AnalyzeState::apply`].
    pub(super) fn delta(&mut self, change: &Change) -> Result<Vec<u8>, StateError> {
        let entries = change.slots.iter().map(|slot| self.devices[*slot].entry(&self.metrics, false));
        postcard::to_stdvec(&entries.collect::<Vec<_>>()).map_err(StateError::new)
    }

    /// Everything, as bytes for [`AnalyzeState::apply`] on an empty state; devices that were silent
    /// for longer than `idle` are forgotten.
    pub(super) fn snapshot(&mut self, idle: Micros) -> Result<Vec<u8>, StateError> {
        let oldest = self.received_at.saturating_sub(idle);
        self.devices.retain(|device| device.received_at >= oldest);
        self.slots =
            self.devices.iter().enumerate().map(|(slot, device)| (device.name.clone(), slot)).collect();
        let entries = self.devices.iter_mut().map(|device| device.entry(&self.metrics, true));
        postcard::to_stdvec(&entries.collect::<Vec<_>>()).map_err(StateError::new)
    }

    /// Takes over what a delta or a snapshot says; `dedupe` is how long identities are remembered.
    ///
    /// # Errors
    /// When the bytes are none that this version wrote.
    pub(super) fn apply(&mut self, bytes: &[u8], dedupe: Micros) -> Result<(), StateError> {
        let entries: Vec<Entry> = postcard::from_bytes(bytes).map_err(StateError::new)?;
        for entry in entries {
            let slot = self.device_slot(&entry.device);
            self.received_at = self.received_at.max(entry.received_at);
            if entry.forgot {
                self.devices[slot].series.clear();
            }
            self.devices[slot].newest = entry.newest;
            self.devices[slot].received_at = entry.received_at;
            for series in entry.series {
                let metric = self.metric_slot(&series.metric);
                let known = self.devices[slot].series(metric);
                known.level = series.level;
                known.seen.apply(series.seen);
            }
            self.devices[slot].forget(dedupe);
        }
        Ok(())
    }

    /// Lets go of identities older than `dedupe`, in the devices that `change` names.
    pub(super) fn forget(&mut self, change: &Change, dedupe: Micros) {
        for slot in &change.slots {
            self.devices[*slot].forget(dedupe);
        }
    }
}

impl Device {
    pub(super) fn advance(&mut self, ts: Micros, received_at: Micros) {
        self.newest = self.newest.max(ts);
        self.received_at = self.received_at.max(received_at);
    }

    pub(super) fn series(&mut self, metric: usize) -> &mut Series {
        let place = self.series.iter().position(|(known, _)| *known == metric).unwrap_or_else(|| {
            self.series.push((metric, Series::default()));
            self.series.len() - 1
        });
        &mut self.series[place].1
    }

    fn forget(&mut self, dedupe: Micros) {
        let horizon = self.newest.saturating_sub(dedupe);
        for (_, series) in &mut self.series {
            series.seen.forget(horizon);
        }
    }

    fn entry(&mut self, metrics: &[String], all: bool) -> Entry {
        let mut entry = Entry {
            device: self.name.clone(),
            newest: self.newest,
            received_at: self.received_at,
            forgot: std::mem::take(&mut self.forgot),
            series: Vec::new(),
        };
        for (metric, series) in &mut self.series {
            let changed = std::mem::take(&mut series.changed);
            if all || changed {
                let seen = series.seen.changes(all);
                entry.series.push(SeriesEntry {
                    metric: metrics[*metric].clone(),
                    level: series.level,
                    seen,
                });
            }
        }
        entry
    }
}

/// The identities of recent rows, by event time.
#[derive(Debug)]
pub(super) struct Seen {
    /// The newest event time among them: a row beyond it cannot be a repeat.
    newest: Micros,
    buckets: VecDeque<Bucket>,
    /// The numbers of the buckets that no delta holds in full.
    unsaved: Vec<Micros>,
}

#[derive(Debug)]
struct Bucket {
    number: Micros,
    identities: Vec<u64>,
    /// How many of them an earlier delta holds.
    saved: usize,
    /// The same identities, once a long bucket was looked into: rows in order never are, rows with the
    /// time of receipt or of a clock that stands still always.
    index: HashSet<u64>,
}

impl Bucket {
    fn contains(&mut self, identity: u64) -> bool {
        if self.identities.len() <= COMPARED_MAX {
            return self.identities.contains(&identity);
        }
        if self.index.len() < self.identities.len() {
            let missing = &self.identities[self.index.len()..];
            self.index.extend(missing);
        }
        self.index.contains(&identity)
    }
}

impl Default for Seen {
    fn default() -> Self {
        Self { newest: Micros::MIN, buckets: VecDeque::new(), unsaved: Vec::new() }
    }
}

impl Seen {
    /// Remembers a row; false if it was remembered already.
    pub(super) fn insert(&mut self, ts: Micros, identity: u64) -> bool {
        let beyond = ts > self.newest;
        let bucket = bucket(&mut self.buckets, ts.div_euclid(BUCKET));
        if !beyond && bucket.contains(identity) {
            return false;
        }
        if bucket.identities.len() == bucket.saved {
            self.unsaved.push(bucket.number);
        }
        bucket.identities.push(identity);
        self.newest = self.newest.max(ts);
        true
    }

    fn forget(&mut self, horizon: Micros) {
        let oldest = horizon.div_euclid(BUCKET);
        while self.buckets.front().is_some_and(|bucket| bucket.number < oldest) {
            self.buckets.pop_front();
        }
    }

    fn changes(&mut self, all: bool) -> SeenEntry {
        let mut added = Vec::new();
        let unsaved = std::mem::take(&mut self.unsaved);
        let numbers = if all { self.buckets.iter().map(|bucket| bucket.number).collect() } else { unsaved };
        for number in numbers {
            if let Ok(place) = self.buckets.binary_search_by_key(&number, |bucket| bucket.number) {
                let bucket = &mut self.buckets[place];
                let from = if all { 0 } else { bucket.saved };
                bucket.saved = bucket.identities.len();
                added.push((number, bucket.identities[from..].iter().map(|one| one.to_le_bytes()).collect()));
            }
        }
        SeenEntry { newest: self.newest, added }
    }

    fn apply(&mut self, entry: SeenEntry) {
        self.newest = entry.newest;
        for (number, identities) in entry.added {
            let bucket = bucket(&mut self.buckets, number);
            bucket.identities.extend(identities.into_iter().map(u64::from_le_bytes));
            bucket.saved = bucket.identities.len();
        }
    }
}

fn bucket(buckets: &mut VecDeque<Bucket>, number: Micros) -> &mut Bucket {
    let place = match buckets.back() {
        Some(last) if last.number == number => buckets.len() - 1,
        _ => buckets.binary_search_by_key(&number, |bucket| bucket.number).unwrap_or_else(|place| {
            buckets.insert(place, Bucket { number, identities: Vec::new(), saved: 0, index: HashSet::new() });
            place
        }),
    };
    &mut buckets[place]
}

/// A device in a delta or a snapshot.
#[derive(Serialize, Deserialize)]
struct Entry {
    device: String,
    newest: Micros,
    received_at: Micros,
    /// Whether all that was known of it before is void.
    forgot: bool,
    series: Vec<SeriesEntry>,
}

/// A metric in a delta or a snapshot, with its level as it is now.
#[derive(Serialize, Deserialize)]
struct SeriesEntry {
    metric: String,
    level: Level,
    seen: SeenEntry,
}

/// Identities to add, by bucket.
#[derive(Serialize, Deserialize)]
struct SeenEntry {
    newest: Micros,
    added: Vec<(Micros, Vec<[u8; 8]>)>,
}
