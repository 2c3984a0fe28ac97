//! How far a metric has come; and what a version before this one remembered of its rows.

use serde::{Deserialize, Serialize};

use super::buckets::{Added, Buckets};
use crate::frame::Micros;

/// How far a metric has come.
#[derive(Debug)]
pub(super) struct Seen {
    /// The newest event time there was: a row beyond it cannot be a repeat.
    newest: Micros,
    /// Identities of rows of before rows were remembered by device.
    before: Option<Box<Buckets>>,
}

impl Default for Seen {
    fn default() -> Self {
        Self { newest: Micros::MIN, before: None }
    }
}

impl Seen {
    /// A row of this event time has come, whether or not it is remembered.
    pub(super) fn hear(&mut self, ts: Micros) {
        self.newest = self.newest.max(ts);
    }

    /// The newest event time there was.
    pub(super) fn newest(&self) -> Micros {
        self.newest
    }

    /// Whether a version before this one remembered a row of this `identity`.
    pub(super) fn contains(&mut self, identity: impl FnOnce() -> u64, horizon: Micros) -> bool {
        self.before.as_mut().is_some_and(|before| before.contains(identity(), horizon))
    }

    /// Forgets what is older than `horizon`. How many identities.
    pub(super) fn forget(&mut self, horizon: Micros) -> u64 {
        let Some(before) = &mut self.before else { return 0 };
        let forgotten = before.forget(horizon);
        if before.is_empty() {
            self.before = None;
        }
        forgotten
    }

    /// The last instant and the size of each part that is forgotten at once.
    pub(super) fn parts(&self) -> impl Iterator<Item = (Micros, usize)> {
        self.before.iter().flat_map(|before| before.parts())
    }

    /// About how many bytes it takes.
    pub(super) fn size(&self) -> usize {
        self.before.as_ref().map_or(0, |before| before.size())
    }

    pub(super) fn changes(&mut self, all: bool) -> SeenEntry {
        let added = self.before.as_mut().map(|before| before.changes(all));
        SeenEntry { newest: self.newest, added: added.unwrap_or_default() }
    }

    pub(super) fn apply(&mut self, entry: SeenEntry) {
        self.newest = entry.newest;
        if !entry.added.is_empty() {
            self.before.get_or_insert_default().apply(entry.added);
        }
    }
}

/// Identities to add.
#[derive(Serialize, Deserialize)]
pub(super) struct SeenEntry {
    newest: Micros,
    added: Added,
}
