//! What the rig has done to processes.

use std::{
    collections::BTreeMap,
    fmt,
    ops::AddAssign,
    sync::{Mutex, MutexGuard, PoisonError},
};

use millstream::failpoint::FAIL_POINTS;

/// Counts by kind; filled by several threads.
#[derive(Debug, Default)]
pub struct Events(Mutex<Counts>);

#[derive(Debug, Default, Clone)]
struct Counts {
    /// kill -9 at a moment that the clock chose.
    kills: u64,
    /// SIGSTOP at such a moment.
    stops: u64,
    /// Deaths and sleeps at a fail point.
    at: BTreeMap<&'static str, Hits>,
    broker_restarts: u64,
}

#[derive(Debug, Default, Clone, Copy)]
struct Hits {
    kills: u64,
    stops: u64,
}

impl Events {
    pub(super) fn killed(&self) {
        self.counts().kills += 1;
    }

    pub(super) fn stopped(&self) {
        self.counts().stops += 1;
    }

    pub(super) fn killed_at(&self, point: &'static str) {
        self.counts().at.entry(point).or_default().kills += 1;
    }

    pub(super) fn stopped_at(&self, point: &'static str) {
        self.counts().at.entry(point).or_default().stops += 1;
    }

    pub(super) fn broker_restarted(&self) {
        self.counts().broker_restarts += 1;
    }

    /// Processes that died.
    pub fn kills(&self) -> u64 {
        let counts = self.counts();
        counts.kills + counts.at.values().map(|hits| hits.kills).sum::<u64>()
    }

    /// Every fail point with how often somebody died and fell asleep there, those that nobody came by included.
    pub fn fail_points(&self) -> Vec<(&'static str, u64, u64)> {
        let counts = self.counts();
        let hits = |name| counts.at.get(name).copied().unwrap_or_default();
        FAIL_POINTS.iter().map(|(name, _)| (*name, hits(name).kills, hits(name).stops)).collect()
    }

    /// Only counters are behind the lock: they are whole whatever a thread that panicked was at.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AddAssign<&Events> for Events {
    fn add_assign(&mut self, other: &Events) {
        let (mut ours, theirs) = (self.counts(), other.counts().clone());
        ours.kills += theirs.kills;
        ours.stops += theirs.stops;
        ours.broker_restarts += theirs.broker_restarts;
        for (point, hits) in theirs.at {
            let sum = ours.at.entry(point).or_default();
            sum.kills += hits.kills;
            sum.stops += hits.stops;
        }
    }
}

/// `kills 20 (kill -9 12, fail points 8), stops 5 (fail points 2), broker restarts 1`.
impl fmt::Display for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { kills, stops, at, broker_restarts } = self.counts().clone();
        let died: u64 = at.values().map(|hits| hits.kills).sum();
        let slept: u64 = at.values().map(|hits| hits.stops).sum();
        write!(f, "kills {} (kill -9 {kills}, fail points {died})", kills + died)?;
        write!(f, ", stops {} (fail points {slept}), broker restarts {broker_restarts}", stops + slept)
    }
}
