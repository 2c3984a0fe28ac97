//! An alert of one rule and device, as it is remembered.

use serde::{Deserialize, Serialize};

use crate::frame::Micros;

/// An alert of one rule and device; that of an absence is pending from the last reading on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Watch {
    pub(super) phase: Phase,
    /// Since when the condition has held, in event time; the last reading, in receipt time, for an absence.
    pub(super) since: Micros,
    /// The newest event time that was looked at.
    pub(super) last: Micros,
    /// When the last reading that the rule looks at was received, late and unusable ones too.
    pub(super) received_at: Micros,
    /// The message of that reading.
    pub(super) message: u64,
}

/// How far an alert has come. The order is that of the saved bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Phase {
    /// It has not lasted long enough.
    Pending,
    /// It has.
    Firing,
    /// A reading ended it. What is remembered is when, so that no older reading begins another one.
    Ended,
}

impl Watch {
    /// One that is pending.
    pub(super) fn since(since: Micros, received_at: Micros, message: u64) -> Self {
        Self { phase: Phase::Pending, since, last: since, received_at, message }
    }

    pub(super) fn fires(&self) -> bool {
        self.phase == Phase::Firing
    }

    /// The same after one more reading. One that has ended hears nothing: it is saved once, not with every frame. Which
    /// reading is the last is a matter of receipt, not of the way that brought it here.
    pub(super) fn heard(self, received_at: Micros, message: u64) -> Self {
        if self.phase == Phase::Ended {
            return self;
        }
        let (received_at, message) = (self.received_at, self.message).max((received_at, message));
        Self { received_at, message, ..self }
    }

    /// What a reading at `at` that ends it leaves; one that had ended before stays as it is.
    pub(super) fn ended(self, at: Micros) -> Self {
        match self.phase {
            Phase::Ended => self,
            _ => Self { phase: Phase::Ended, since: at, last: at, message: 0, ..self },
        }
    }

    /// Whether a reading at `at` comes too late to change it. Two alerts never begin at one instant, by which
    /// they are told apart; so the instant at which one ended is over.
    pub(super) fn is_past(&self, at: Micros) -> bool {
        at < self.last || (self.phase == Phase::Ended && at == self.last)
    }
}

/// A [`Watch`] in few bytes: most times lie close together.
#[derive(Serialize, Deserialize)]
pub(super) struct SavedWatch {
    received_at: Micros,
    message: u64,
    phase: Phase,
    /// How far `since` lies before `received_at`.
    since: Micros,
    /// How far `last` lies before `received_at`.
    last: Micros,
}

impl From<Watch> for SavedWatch {
    fn from(watch: Watch) -> Self {
        let Watch { phase, since, last, received_at, message } = watch;
        let before = |instant: Micros| received_at.wrapping_sub(instant);
        Self { received_at, message, phase, since: before(since), last: before(last) }
    }
}

impl From<SavedWatch> for Watch {
    fn from(saved: SavedWatch) -> Self {
        let SavedWatch { received_at, message, phase, since, last } = saved;
        let before = |distance: Micros| received_at.wrapping_sub(distance);
        Self { phase, since: before(since), last: before(last), received_at, message }
    }
}
