//! Saying once that the queues cannot be used, and once that they can again.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tracing::{info, warn};

use crate::queue::QueueError;

/// Whether it has been said of a stage; clones, for its tasks, share it.
#[derive(Debug, Clone)]
pub(crate) struct QueueTrouble {
    stage: &'static str,
    said: Arc<AtomicBool>,
}

impl QueueTrouble {
    /// None so far.
    pub(crate) fn new(stage: &'static str) -> Self {
        Self { stage, said: Arc::default() }
    }

    /// The queues answered this, which is tried again.
    pub(crate) fn tell(&self, error: &QueueError) {
        if !self.said.swap(true, Ordering::Relaxed) {
            warn!(stage = self.stage, %error, "the queues cannot be used now; it is tried again");
        }
    }

    /// They took a change.
    pub(crate) fn is_over(&self) {
        if self.said.swap(false, Ordering::Relaxed) {
            info!(stage = self.stage, "the queues can be used again");
        }
    }
}
