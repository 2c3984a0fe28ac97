//! What commits cost.

use std::time::Duration;

use crate::meter::{BATCH, Distribution, Histogram, SECONDS};

/// What the commits of this process were like.
#[derive(Debug, Clone, PartialEq)]
pub struct DatabaseStats {
    /// How many writes shared a commit.
    pub commit_writes: Distribution,
    /// How long a commit took, in seconds.
    pub commit_seconds: Distribution,
}

#[derive(Debug)]
pub(super) struct Meters {
    commit_writes: Histogram,
    commit_seconds: Histogram,
}

impl Default for Meters {
    fn default() -> Self {
        Self { commit_writes: Histogram::new(BATCH), commit_seconds: Histogram::new(SECONDS) }
    }
}

impl Meters {
    pub(super) fn committed(&self, writes: usize, took: Duration) {
        self.commit_writes.observe(writes as f64, 1);
        self.commit_seconds.observe(took.as_secs_f64(), 1);
    }

    pub(super) fn stats(&self) -> DatabaseStats {
        DatabaseStats {
            commit_writes: self.commit_writes.distribution(),
            commit_seconds: self.commit_seconds.distribution(),
        }
    }
}
