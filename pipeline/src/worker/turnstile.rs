//! How the tasks of a stage come to its queue: one after the other, and not again at once where little was found.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::{
    sync::{Mutex, MutexGuard},
    time::{Instant, sleep_until},
};

/// The least and the most that frames gather for.
const GATHER_MIN: Duration = Duration::from_millis(10);
const GATHER_MAX: Duration = Duration::from_millis(40);

/// Shared by the tasks of a stage. A run costs about the same for a few rows as for many, so where little waits it is left to
/// gather for a while: the longer, the longer the runs take, that is, the busier the machine is.
pub(super) struct Turnstile {
    /// When the queue is to be looked at again.
    opens_at: Mutex<Instant>,
    /// How long the last run took, in microseconds.
    took: AtomicU64,
    times: u64,
    min: Duration,
    max: Duration,
}

/// The right to look at the queue.
pub(super) struct Turn<'a> {
    opens_at: MutexGuard<'a, Instant>,
    stile: &'a Turnstile,
}

impl Default for Turnstile {
    fn default() -> Self {
        use crate::knob::knob;
        Self {
            opens_at: Mutex::new(Instant::now()),
            took: AtomicU64::new(0),
            times: knob("MS_RFACT", 3),
            min: Duration::from_micros(knob("MS_RMIN", GATHER_MIN.as_micros() as u64)),
            max: Duration::from_micros(knob("MS_RMAX", GATHER_MAX.as_micros() as u64)),
        }
    }
}

impl Turnstile {
    /// Waits until no other task looks at the queue, and until frames have gathered. Safe to cancel.
    pub(super) async fn turn(&self) -> Turn<'_> {
        let opens_at = self.opens_at.lock().await;
        sleep_until(*opens_at).await;
        Turn { opens_at, stile: self }
    }

    /// A run was dealt with in this time.
    pub(super) fn worked(&self, took: Duration) {
        self.took.store(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Turn<'_> {
    /// Little was found: what comes now may gather.
    pub(super) fn gather(mut self) {
        let took = Duration::from_micros(self.stile.took.load(Ordering::Relaxed));
        let gather = took.saturating_mul(self.stile.times as u32).clamp(self.stile.min, self.stile.max);
        *self.opens_at = Instant::now() + gather;
    }
}
