//! How the tasks of a stage come to its queue: one after the other, and not again at once where little was found.

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use tokio::{
    sync::{Mutex, MutexGuard},
    time::{Instant, sleep_until},
};

use crate::queue::{Delivery, ReceiveLimits};

/// The least and the most time that frames gather for. Four stages lie between a reading and its alert.
const GATHER: Gathering = Gathering { min: Duration::from_millis(10), max: Duration::from_millis(60) };
/// The same where each look is paid for. What ingest publishes at once comes out of a stage lane by lane.
const GATHER_PAID: Gathering = Gathering { min: Duration::from_millis(200), max: Duration::from_millis(500) };
/// Frames gather for as long as so many runs take.
const GATHER_RUNS: u32 = 2;

/// How long frames gather.
#[derive(Debug, Clone, Copy)]
struct Gathering {
    min: Duration,
    max: Duration,
}

/// Shared by the tasks of a stage. A run costs about the same for a few rows as for many, so where little waits it is left
/// to gather for a while: the longer, the longer runs take, that is, the busier the machine is.
pub(super) struct Turnstile {
    /// When the queue is to be looked at again.
    opens_at: Mutex<Instant>,
    /// How long the last run took, in microseconds.
    took: AtomicU64,
    /// How many large runs are in work: behind them more waits.
    large: AtomicUsize,
    gathering: Gathering,
}

/// The right to look at the queue.
pub(super) struct Turn<'a> {
    opens_at: MutexGuard<'a, Instant>,
    turnstile: &'a Turnstile,
}

/// How much was found in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    /// Nearly all that waited.
    Little,
    /// More may wait.
    Much,
}

impl Found {
    /// What a look at a queue brought, which was to bring so much at most.
    pub(super) fn of(received: &[Delivery], limits: ReceiveLimits) -> Self {
        let bytes: usize = received.iter().map(|delivery| delivery.frame.bytes.len()).sum();
        match received.len() {
            0 => Self::Nothing,
            frames if frames < limits.frames / 2 && bytes < limits.bytes / 2 => Self::Little,
            _ => Self::Much,
        }
    }
}

impl Turnstile {
    /// One at a queue where looks are paid for, or not.
    pub(super) fn new(is_paid: bool) -> Self {
        let gathering = if is_paid { GATHER_PAID } else { GATHER };
        let (took, large) = (AtomicU64::new(0), AtomicUsize::new(0));
        Self { opens_at: Mutex::new(Instant::now()), took, large, gathering }
    }

    /// Waits until no other task looks at the queue, and until frames have gathered. Safe to cancel.
    pub(super) async fn turn(&self) -> Turn<'_> {
        let opens_at = self.opens_at.lock().await;
        sleep_until(*opens_at).await;
        Turn { opens_at, turnstile: self }
    }

    /// A run was dealt with in this time.
    pub(super) fn worked(&self, found: Found, took: Duration) {
        if found == Found::Much {
            self.large.fetch_sub(1, Relaxed);
        }
        self.took.store(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }
}

impl Turn<'_> {
    /// Ends the turn. Where little was found, what comes now may gather; but not while another task has much in hand, whose
    /// lanes nobody else could look at.
    pub(super) fn ended(mut self, found: Found) {
        match found {
            Found::Little if self.turnstile.large.load(Relaxed) == 0 => {
                let runs =
                    Duration::from_micros(self.turnstile.took.load(Relaxed)).saturating_mul(GATHER_RUNS);
                let Gathering { min, max } = self.turnstile.gathering;
                *self.opens_at = Instant::now() + runs.clamp(min, max);
            }
            Found::Much => {
                self.turnstile.large.fetch_add(1, Relaxed);
            }
            Found::Nothing | Found::Little => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long the next turn is away after a run that took so long.
    async fn gathers(took: Duration) -> Duration {
        let turnstile = Turnstile::new(false);
        turnstile.worked(Found::Little, took);
        let turn = turnstile.turn().await;
        let now = Instant::now();
        turn.ended(Found::Little);
        turnstile.opens_at.lock().await.duration_since(now)
    }

    #[tokio::test]
    async fn frames_gather_for_longer_where_runs_take_longer() {
        assert!(gathers(Duration::ZERO).await >= GATHER.min);
        assert!(gathers(Duration::from_millis(12)).await >= Duration::from_millis(24));
        assert!(gathers(Duration::from_secs(9)).await < 2 * GATHER.max, "never for long");
    }

    #[tokio::test]
    async fn one_task_at_a_time_looks_and_a_large_run_makes_nobody_wait() {
        let turnstile = Turnstile::new(false);
        let turn = turnstile.turn().await;
        assert!(turnstile.opens_at.try_lock().is_err());
        turn.ended(Found::Much);
        turnstile.turn().await.ended(Found::Little);
        let opens_at = turnstile.opens_at.lock().await.to_owned();
        assert!(opens_at <= Instant::now(), "nor a small one beside it");
        turnstile.worked(Found::Much, Duration::ZERO);
        turnstile.turn().await.ended(Found::Little);
        assert!(turnstile.opens_at.lock().await.to_owned() > Instant::now());
    }
}
