//! The metrics of a device.

use std::{borrow::Cow, collections::HashMap};

use serde::{Deserialize, Serialize};

use super::{
    count::{Count, Counting, Numbered},
    level::Level,
    memory::{Memory, Row, metric_hash},
    seen::{Seen, SeenEntry},
    window::{WindowEntry, Windows},
};
use crate::frame::Micros;

/// So many metrics of a device are compared one by one; beyond, looking one up takes an index.
const COMPARED_MAX: usize = 16;

/// The names of metrics in a lane, and a number for each.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    names: Vec<String>,
    hashes: Vec<u64>,
    slots: HashMap<String, usize>,
}

impl Metrics {
    pub(super) fn slot(&mut self, name: &str) -> usize {
        if let Some(slot) = self.slots.get(name) {
            return *slot;
        }
        let slot = self.names.len();
        self.names.push(name.to_owned());
        self.hashes.push(metric_hash(name));
        self.slots.insert(name.to_owned(), slot);
        slot
    }

    pub(super) fn name(&self, slot: usize) -> &str {
        self.names.get(slot).map(String::as_str).unwrap_or_default()
    }

    /// What stands for the name in [`Row::metric`].
    pub(super) fn hash(&self, slot: usize) -> u64 {
        self.hashes.get(slot).copied().unwrap_or_default()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }
}

/// One metric of a device.
#[derive(Debug, Default)]
pub(super) struct Series {
    pub(super) level: Level,
    pub(super) seen: Seen,
    /// Only where rows have numbers and no time.
    pub(super) count: Option<Box<Count>>,
    pub(super) windows: Windows,
    /// Whether anything changed since the last delta.
    pub(super) changed: bool,
}

impl Series {
    /// Whether it lies so far behind the newest event time of its device that it is to begin anew: no identity is
    /// left by then that could tell a repeat. Whether it was let go of meanwhile changes nothing.
    pub(super) fn is_idle(&self, newest: Micros, idle: Micros, dedupe: Micros) -> bool {
        newest.saturating_sub(self.seen.newest()) > idle.max(dedupe)
    }

    /// Remembers a row, and its number where it has no other time than that of its receipt; false if it was remembered
    /// already, here or with its `identity` by a version before this one. Nothing before `horizon` counts.
    pub(super) fn remember(
        &mut self,
        row: &Row,
        identity: impl FnOnce() -> u64,
        numbered: Option<Numbered>,
        horizon: Micros,
        (memory, counting): (&mut Memory, &mut Counting),
    ) -> bool {
        if let Some(row) = numbered
            && !self.count.get_or_insert_default().insert(row, horizon, counting)
        {
            return false;
        }
        // Also with a number: the time of the device may be that of the receipt by chance, and is not when it comes again.
        if row.ts <= self.seen.newest() && (memory.contains(row) || self.seen.contains(identity, horizon)) {
            return false;
        }
        memory.push(row);
        true
    }

    /// About how many bytes it takes to tell repeats, beside the memory of the device.
    pub(super) fn size(&self) -> usize {
        self.seen.size() + self.count.as_ref().map_or(0, |count| count.size())
    }

    /// The last instant and the size of each part of that which is forgotten at once.
    pub(super) fn parts(&self) -> impl Iterator<Item = (Micros, usize)> {
        let counted = self.count.iter().flat_map(|count| count.parts());
        self.seen.parts().chain(counted)
    }

    /// Forgets what is older than `horizon`. How many rows, beside those of the memory of the device: there those that
    /// have a number are, too.
    pub(super) fn forget(&mut self, horizon: Micros) -> u64 {
        if let Some(count) = &mut self.count {
            count.forget(horizon);
        }
        self.seen.forget(horizon)
    }

    pub(super) fn entry<'a>(&mut self, metric: &'a str, newest: Micros, all: bool) -> SeriesEntry<'a> {
        SeriesEntry {
            metric: Cow::Borrowed(metric),
            level: self.level,
            seen: self.seen.changes(all),
            windows: self.windows.changes(newest, all),
        }
    }

    /// Takes over what [`Series::entry`] said; false when it speaks of a window that is not there.
    pub(super) fn apply(&mut self, entry: SeriesEntry<'_>, newest: Micros) -> bool {
        self.level = entry.level;
        self.seen.apply(entry.seen);
        self.windows.apply(entry.windows, newest)
    }
}

/// A metric in a delta or a snapshot, with its level as it is now.
#[derive(Serialize, Deserialize)]
pub(super) struct SeriesEntry<'a> {
    pub(super) metric: Cow<'a, str>,
    level: Level,
    seen: SeenEntry,
    windows: Vec<WindowEntry>,
}

/// The metrics of a device by their numbers, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct AllSeries {
    list: Vec<(usize, Series)>,
    /// Where each lies, once there are many.
    places: HashMap<usize, usize>,
}

impl AllSeries {
    /// That of a metric, new if there is none.
    pub(super) fn get(&mut self, metric: usize) -> &mut Series {
        let place = self.place(metric).unwrap_or_else(|| {
            self.list.push((metric, Series::default()));
            self.list.len() - 1
        });
        &mut self.list[place].1
    }

    fn place(&mut self, metric: usize) -> Option<usize> {
        if self.list.len() <= COMPARED_MAX {
            return self.list.iter().position(|(known, _)| *known == metric);
        }
        let missing = self.list.iter().enumerate().skip(self.places.len());
        self.places.extend(missing.map(|(place, (known, _))| (*known, place)));
        self.places.get(&metric).copied()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut Series)> {
        self.list.iter_mut().map(|(metric, series)| (*metric, series))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Series> {
        self.list.iter().map(|(_, series)| series)
    }

    /// When the first of the open windows ends.
    pub(super) fn next_end(&self) -> Option<Micros> {
        self.list.iter().filter_map(|(_, series)| series.windows.next_end()).min()
    }

    /// Those with a window that ends at `until` or before, by name: in an order that does not hang on which of them were
    /// let go of and came back.
    pub(super) fn due(&mut self, until: Micros, metrics: &Metrics) -> Vec<(usize, &mut Series)> {
        let is_due = |series: &Series| series.windows.next_end().is_some_and(|end| end <= until);
        let mut due: Vec<_> = self.iter_mut().filter(|(_, series)| is_due(series)).collect();
        due.sort_unstable_by(|(one, _), (other, _)| metrics.name(*one).cmp(metrics.name(*other)));
        due
    }

    /// Keeps what `keep` says.
    pub(super) fn retain(&mut self, keep: impl Fn(&Series) -> bool) {
        self.list.retain(|(_, series)| keep(series));
        self.places = HashMap::new();
    }

    /// Gives the metrics the numbers that `to` has for their names in `from`.
    pub(super) fn renumber(&mut self, from: &Metrics, to: &mut Metrics) {
        for (metric, _) in &mut self.list {
            *metric = to.slot(from.name(*metric));
        }
        self.places = HashMap::new();
    }
}
