//! How far time has come for analyze, from what waits before it.

use std::collections::VecDeque;

use stages::frame::Micros;

/// How many looks are remembered while a queue has a backlog: an hour at the shortest.
pub(super) const LOOKS_MAX: usize = 3600;

/// What is on its way to analyze, in the order in which it was looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// All messages received before then are durable, but for the margin.
    pub(super) durable: Micros,
    /// When ingest had been looked at.
    pub(super) ingested_at: Micros,
    /// When the oldest frame in validate was published there.
    pub(super) validate: Option<Micros>,
    /// When validate had been looked into.
    pub(super) validated_at: Micros,
    /// When the oldest frame in transform was published there.
    pub(super) transform: Option<Micros>,
}

/// How far time has come for analyze: all messages received before then are in its queue or behind it.
///
/// A frame in a queue tells when it came there, not when its messages were received. So time comes on in steps: a look
/// tells what is durable by now; once nothing is left in validate that was there at that time, it has left validate; and
/// the same again with transform.
#[derive(Debug)]
pub(super) struct Progress {
    /// How long a message may be on its way before it is durable, unseen.
    margin: Micros,
    validate: Hop,
    transform: Hop,
    reached: Micros,
}

impl Progress {
    pub(super) fn new(margin: Micros) -> Self {
        Self { margin, validate: Hop::default(), transform: Hop::default(), reached: Micros::MIN }
    }

    /// How far time has come; it never goes back.
    pub(super) fn look(&mut self, look: Look) -> Micros {
        self.validate.enter(look.ingested_at, look.durable.saturating_sub(self.margin));
        if let Some(validated) = self.validate.leave(look.validate) {
            self.transform.enter(look.validated_at, validated);
        }
        if let Some(reached) = self.transform.leave(look.transform) {
            self.reached = self.reached.max(reached);
        }
        self.reached
    }

    /// The same where it is known that what was durable before `passed` has left both queues.
    pub(super) fn pass(&mut self, durable: Micros, ingested_at: Micros, passed: Option<Micros>) -> Micros {
        self.validate.enter(ingested_at, durable.saturating_sub(self.margin));
        if let Some(reached) = passed.and_then(|passed| self.validate.leave(Some(passed))) {
            self.reached = self.reached.max(reached);
        }
        self.reached
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.validate.0.len() + self.transform.0.len()
    }
}

/// A queue on the way: of past looks when, and up to which receipt all had come there or further.
#[derive(Debug, Default)]
pub(super) struct Hop(VecDeque<(Micros, Micros)>);

impl Hop {
    pub(super) fn enter(&mut self, seen_at: Micros, received: Micros) {
        if self.0.len() < LOOKS_MAX {
            self.0.push_back((seen_at, received));
        }
    }

    /// Up to which receipt all have left, as far as this look at the oldest frame tells anything new.
    pub(super) fn leave(&mut self, oldest: Option<Micros>) -> Option<Micros> {
        let mut left = None;
        while let Some((seen_at, received)) = self.0.front()
            && oldest.is_none_or(|oldest| *seen_at < oldest)
        {
            left = left.max(Some(*received));
            self.0.pop_front();
        }
        left
    }
}
