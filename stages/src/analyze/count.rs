//! Rows that their device has numbered, but given no time: what tells a repeat among them.
//!
//! Such a row has the time of its receipt, which is another one when it comes again. So it is told by its number and value, among
//! all that is remembered. In order, numbers rise, and a row with a greater number than all before is no repeat. One that falls,
//! or stands still, and is no repeat either, was received of a device that counts anew: what its old count had is forgotten, for all
//! metrics of the device, or equal rows of the new one would pass for repeats.

use serde::{Deserialize, Serialize};

use super::buckets::{Added, Buckets};
use crate::frame::Micros;

/// How a device counts, as far as its metrics share that.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counting {
    /// When the first row of its count was received, if it has begun anew.
    began: Micros,
    /// Whether any row had a number and no time.
    pub(super) ever: bool,
}

impl Default for Counting {
    fn default() -> Self {
        Self { began: Micros::MIN, ever: false }
    }
}

/// A row without a time of its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbered {
    pub(super) received_at: Micros,
    pub(super) number: u64,
    /// Of number and value.
    pub(super) identity: u64,
}

/// What is remembered of the count of a device in one metric.
#[derive(Debug)]
pub(super) struct Count {
    /// The greatest number there was: a row beyond it cannot be a repeat.
    highest: u64,
    /// When the last row was received.
    last: Micros,
    rows: Buckets,
    /// Whether all that a delta has said of it is void.
    anew: bool,
    changed: bool,
}

impl Default for Count {
    fn default() -> Self {
        Self { highest: 0, last: Micros::MIN, rows: Buckets::default(), anew: false, changed: false }
    }
}

impl Count {
    /// Remembers a row; false if it was remembered already. Nothing before `horizon` counts.
    pub(super) fn insert(&mut self, row: Numbered, horizon: Micros, counting: &mut Counting) -> bool {
        counting.ever = true;
        let Numbered { received_at, number, identity } = row;
        if received_at < counting.began {
            // Of the old count, or overtaken by the row that began the new one.
            return !self.rows.contains(identity, horizon);
        }
        if self.last < horizon.max(counting.began) {
            self.begin();
        }
        if self.last > Micros::MIN && number <= self.highest {
            if self.rows.contains(identity, horizon) {
                return false;
            }
            // Rows of one message may have one number, or fall. What was received earlier was only overtaken.
            if received_at > self.last {
                self.begin();
                counting.began = received_at;
            }
        }
        self.highest = self.highest.max(number);
        self.last = self.last.max(received_at);
        self.changed = true;
        self.rows.insert(received_at, identity);
        true
    }

    fn begin(&mut self) {
        *self = Self { anew: true, ..Self::default() };
    }

    pub(super) fn forget(&mut self, horizon: Micros) {
        self.rows.forget(horizon);
    }

    /// The last instant and the size of each part that is forgotten at once.
    pub(super) fn parts(&self) -> impl Iterator<Item = (Micros, usize)> {
        self.rows.parts()
    }

    /// About how many bytes it takes.
    pub(super) fn size(&self) -> usize {
        self.rows.size()
    }

    /// What changed since the last time, or everything.
    pub(super) fn changes(&mut self, all: bool) -> Option<CountEntry> {
        let changed = std::mem::take(&mut self.changed);
        let anew = std::mem::take(&mut self.anew);
        let Self { highest, last, .. } = *self;
        (all || changed).then(|| CountEntry { highest, last, anew, added: self.rows.changes(all) })
    }

    pub(super) fn apply(&mut self, entry: CountEntry) {
        if entry.anew {
            self.rows = Buckets::default();
        }
        (self.highest, self.last) = (entry.highest, entry.last);
        self.rows.apply(entry.added);
    }
}

/// The count of a metric in a delta or a snapshot.
#[derive(Serialize, Deserialize)]
pub(super) struct CountEntry {
    highest: u64,
    last: Micros,
    anew: bool,
    added: Added,
}

/// The counts of a device in a delta or a snapshot.
#[derive(Serialize, Deserialize)]
pub(super) struct CountsEntry {
    pub(super) device: String,
    pub(super) began: Micros,
    /// By metric.
    pub(super) counts: Vec<(String, CountEntry)>,
}

impl Counting {
    /// Of these metrics.
    pub(super) fn entry(self, device: &str, counts: Vec<(String, CountEntry)>) -> CountsEntry {
        CountsEntry { device: device.to_owned(), began: self.began, counts }
    }

    pub(super) fn apply(&mut self, entry: &CountsEntry) {
        *self = Self { began: entry.began, ever: true };
    }
}
