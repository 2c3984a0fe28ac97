//! What the memory of repeats had to forget early.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use tracing::warn;

/// Rows that the memory of repeats had to forget early, in all lanes of a process.
#[derive(Debug, Clone, Default)]
pub struct Forgotten(Arc<AtomicU64>);

impl Forgotten {
    /// How many there were so far.
    pub fn rows(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Counts more of them, and says so the first time.
    pub(super) fn count(&self, rows: u64) {
        if rows > 0 && self.0.fetch_add(rows, Relaxed) == 0 {
            warn!(
                rows,
                "the memory of repeats is full: readings are remembered for less than analyze.dedupe_secs, and those that \
                 come again later than that are stored twice; raise analyze.dedupe_bytes_max, or lower dedupe_secs"
            );
        }
    }
}
