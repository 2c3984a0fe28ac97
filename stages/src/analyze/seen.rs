//! The identities of recent rows: what tells a repeat.

use serde::{Deserialize, Serialize};

use super::buckets::{Added, Buckets};
use crate::frame::Micros;

/// The identities of recent rows, by event time.
#[derive(Debug)]
pub(super) struct Seen {
    /// The newest event time there was: a row beyond it cannot be a repeat.
    newest: Micros,
    rows: Buckets,
}

impl Default for Seen {
    fn default() -> Self {
        Self { newest: Micros::MIN, rows: Buckets::default() }
    }
}

impl Seen {
    /// Remembers a row; false if it was remembered already.
    pub(super) fn insert(&mut self, ts: Micros, identity: u64) -> bool {
        let is_new = self.rows.insert(ts, identity, ts <= self.newest);
        if is_new {
            self.hear(ts);
        }
        is_new
    }

    /// A row of this event time has come, whether or not it is remembered.
    pub(super) fn hear(&mut self, ts: Micros) {
        self.newest = self.newest.max(ts);
    }

    /// The newest event time there was.
    pub(super) fn newest(&self) -> Micros {
        self.newest
    }

    pub(super) fn forget(&mut self, horizon: Micros) {
        self.rows.forget(horizon);
    }

    pub(super) fn changes(&mut self, all: bool) -> SeenEntry {
        SeenEntry { newest: self.newest, added: self.rows.changes(all) }
    }

    pub(super) fn apply(&mut self, entry: SeenEntry) {
        self.newest = entry.newest;
        self.rows.apply(entry.added);
    }
}

/// Identities to add.
#[derive(Serialize, Deserialize)]
pub(super) struct SeenEntry {
    newest: Micros,
    added: Added,
}
