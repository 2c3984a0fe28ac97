//! What the rig has done to processes.

use std::{
    collections::BTreeMap,
    fmt,
    ops::AddAssign,
    sync::{Mutex, MutexGuard, PoisonError},
};

use millstream::failpoint::FAIL_POINTS;

use super::plan::is_drawn;

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

/// What came of the lives that were to die or sleep at a fail point.
#[derive(Debug, Default, Clone, Copy)]
pub struct Hits {
    /// Lives that were to come by.
    pub tries: u64,
    /// Those that died there.
    pub kills: u64,
    /// Those that fell asleep there.
    pub stops: u64,
}

impl Events {
    pub(super) fn killed(&self) {
        self.counts().kills += 1;
    }

    pub(super) fn stopped(&self) {
        self.counts().stops += 1;
    }

    pub(super) fn tried(&self, point: &'static str) {
        self.counts().at.entry(point).or_default().tries += 1;
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

    /// Every fail point that a process of a round may come by, in the order of the code.
    pub fn fail_points(&self) -> Vec<(&'static str, Hits)> {
        let counts = self.counts();
        let hits = |name| counts.at.get(name).copied().unwrap_or_default();
        let points = FAIL_POINTS.iter().filter(|(_, passer)| is_drawn(*passer));
        points.map(|(name, _)| (*name, hits(name))).collect()
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
            sum.tries += hits.tries;
            sum.kills += hits.kills;
            sum.stops += hits.stops;
        }
    }
}

/// `kills 20 (8 at fail points), stops 5 (2 at fail points), broker restarts 1`.
impl fmt::Display for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { kills, stops, at, broker_restarts } = self.counts().clone();
        let died: u64 = at.values().map(|hits| hits.kills).sum();
        let slept: u64 = at.values().map(|hits| hits.stops).sum();
        write!(f, "kills {} ({died} at fail points)", kills + died)?;
        write!(f, ", stops {} ({slept} at fail points)", stops + slept)?;
        if broker_restarts > 0 {
            write!(f, ", broker restarts {broker_restarts}")?;
        }
        Ok(())
    }
}
