//! From a source into a session: what is due and fits.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use super::{Ledger, Next, Shared, Source, tally::Published};
use crate::{
    SimError,
    client::session::{Output, Session},
};

/// As much is written in one go; a source is not asked while it waits.
const WRITE_BYTES: usize = 64 * 1024;

/// The source of one connection, and how far it has come.
pub(super) struct Feed<S> {
    source: S,
    published: u64,
    /// When the source has something, if it waits.
    due: Option<Duration>,
    exhausted: bool,
    failure: Option<SimError>,
}

impl<S: Source> Feed<S> {
    pub(super) fn new(source: S) -> Self {
        Self { source, published: 0, due: None, exhausted: false, failure: None }
    }

    /// Whether nothing more will come.
    pub(super) fn is_exhausted(&self) -> bool {
        self.exhausted
    }

    /// When the source has something, if it waits.
    pub(super) fn due(&self) -> Option<Duration> {
        self.due
    }

    /// Why nothing more came, if that was no proper end.
    pub(super) fn into_result(self) -> Result<(), SimError> {
        self.failure.map_or(Ok(()), Err)
    }

    /// Asks the source for all that is due and fits. A failure ends the feeds of all connections, so that what is in
    /// flight can be settled.
    pub(super) fn fill(
        &mut self,
        session: &mut Session,
        ledger: &mut Ledger,
        shared: &Shared,
        out: &mut Output,
    ) {
        let now = Instant::now();
        let elapsed = now.saturating_duration_since(shared.started);
        if self.due.is_some_and(|due| due > elapsed) && !shared.ending.load(Ordering::Relaxed) {
            return;
        }
        self.due = None;
        let mut published = Published::default();
        while !self.exhausted && session.has_room() && out.bytes.len() < WRITE_BYTES {
            match self.next(elapsed, shared) {
                Ok(Next::Publish(publish)) => {
                    self.published += 1;
                    if let Some(ledger) = ledger {
                        ledger.published(self.published, &publish.topic, &publish.payload, &publish.faults);
                    }
                    let payload = publish.payload.as_bytes();
                    if let Err(error) = session.publish(self.published, &publish.topic, payload, now, out) {
                        let (topic, reason) = (publish.topic.to_string(), error.to_string());
                        self.fail(SimError::Publish { topic, reason }, shared);
                    }
                    published.count(publish);
                }
                Ok(Next::Wait(due)) => {
                    self.due = Some(due);
                    break;
                }
                Ok(Next::End) => self.exhausted = true,
                Err(error) => self.fail(error, shared),
            }
        }
        if !published.is_empty() {
            shared.tally().published(published);
        }
    }

    fn next(&mut self, elapsed: Duration, shared: &Shared) -> Result<Next, SimError> {
        if shared.ending.load(Ordering::Relaxed) { Ok(Next::End) } else { self.source.next(elapsed) }
    }

    fn fail(&mut self, error: SimError, shared: &Shared) {
        shared.ending.store(true, Ordering::Relaxed);
        self.exhausted = true;
        self.failure = Some(error);
    }
}
