//! How far time has come where queues tell no ages: by how long frames were on their way, and in silence by counts.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use stages::frame::Micros;

use super::progress::Hop;

/// The frames of readings that come to analyze, for all tasks of a process.
#[derive(Debug, Clone, Default)]
pub struct Flow(Arc<Mutex<Option<Came>>>);

/// Frames that came between two looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Came {
    pub(super) first_at: Micros,
    pub(super) last_at: Micros,
    /// The longest time between two of them.
    pub(super) pause: Micros,
    /// The longest time that one of them was on its way.
    pub(super) lag: Micros,
}

impl Flow {
    /// A frame of readings is here that ingest closed at `created_at`.
    pub(in crate::worker) fn came(&self, created_at: Micros, now: Micros) {
        // By the clock of ingest, if that is behind; one that is ahead does not take time along.
        let lag = now.saturating_sub(created_at).max(0);
        let mut came = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = came.get_or_insert(Came { first_at: now, last_at: now, pause: 0, lag });
        before.pause = before.pause.max(now.saturating_sub(before.last_at));
        before.last_at = before.last_at.max(now);
        before.lag = before.lag.max(lag);
    }

    /// What came since the last time.
    pub(super) fn take(&self) -> Option<Came> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Up to when all that was durable by then has come to analyze.
///
/// While frames come: what is not there yet although it was durable `hold` before the frame of the last `hold` that was the
/// longest on its way, is on its way for longer than that by `hold`. Who died with it has given it back by then, and a
/// stage that stands still lets no frame come for so long. After a pause as long as `hold`, in which there may have gathered what no
/// frame tells of, all that comes in a time of `hold` is heard first.
///
/// In silence: counts of SQS may be as old as half of `hold`. So what was durable by then has left validate when that is counted
/// empty, and transform when that is, half of `hold` later.
#[derive(Debug)]
pub(super) struct Passed {
    hold: Micros,
    /// Since when frames come without a pause as long as `hold`.
    since: Micros,
    /// Of the frames of the last `hold`, between two looks each: when the last one came, and the longest lag.
    lags: VecDeque<(Micros, Micros)>,
    /// Since the queues were last counted to hold something: when they were looked at, and up to when all had left validate.
    dry: Hop,
}

impl Passed {
    pub(super) fn new(hold: Micros) -> Self {
        Self { hold, since: Micros::MAX, lags: VecDeque::new(), dry: Hop::default() }
    }

    /// How old a count may be.
    fn settle(&self) -> Micros {
        self.hold / 2
    }

    /// Takes up what came since the last look.
    pub(super) fn hear(&mut self, at: Micros, came: Option<Came>) {
        if let Some(Came { first_at, last_at, pause, lag }) = came {
            let before = self.lags.back().map(|(last_at, _)| *last_at);
            if pause >= self.hold {
                self.since = last_at;
            } else if before.is_none_or(|before| first_at.saturating_sub(before) >= self.hold) {
                self.since = first_at;
            }
            self.lags.push_back((last_at, lag));
        }
        let from = at.saturating_sub(self.hold);
        self.lags.retain(|(last_at, _)| *last_at >= from);
    }

    /// Whether frames come, and will tell the next time, too. Else the queues are to be counted.
    pub(super) fn flows(&self, at: Micros) -> bool {
        let last = self.lags.back().map(|(last_at, _)| *last_at);
        self.is_steady(at) && last.is_some_and(|last| last >= at.saturating_sub(self.settle()))
    }

    fn is_steady(&self, at: Micros) -> bool {
        !self.lags.is_empty() && self.since <= at.saturating_sub(self.hold)
    }

    /// Up to when all has passed, as far as this look tells; `dry` is whether validate and transform were counted empty, if they were
    /// counted.
    pub(super) fn until(&mut self, at: Micros, dry: Option<bool>) -> Option<Micros> {
        let settled = at.saturating_sub(self.settle());
        match dry {
            Some(true) => self.dry.enter(at, settled),
            Some(false) | None => self.dry = Hop::default(),
        }
        let by_counts = self.dry.leave(Some(settled));
        let lag = self.lags.iter().map(|(_, lag)| *lag).max().unwrap_or_default();
        let by_flow = at.saturating_sub(self.hold).saturating_sub(lag);
        if self.is_steady(at) { Some(by_flow) } else { by_counts.map(|counts| counts.min(by_flow)) }
    }
}
