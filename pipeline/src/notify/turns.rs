//! Keeps the transitions of an alert in their order, while one of them is put off.

use std::collections::HashMap;

use stages::frame::FrameId;
use tokio::time::{Duration, Instant};

/// How long after its time a frame that was put off may yet come: for so long the ones behind it wait.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// Entries above which those that are over are looked for.
const PRUNE_MIN: usize = 1024;

/// Which transition of each alert is put off. One that the queue has given up meanwhile is forgotten when its
/// time is over.
#[derive(Default)]
pub(super) struct Turns {
    of: HashMap<String, Turn>,
    prune_at: usize,
}

struct Turn {
    frame: FrameId,
    until: Instant,
}

impl Turns {
    /// How long this frame must wait, because an earlier one of the same alert is put off.
    pub(super) fn wait(&self, alert: &str, frame: FrameId, now: Instant) -> Option<Duration> {
        let turn = self.of.get(alert).filter(|turn| turn.frame != frame)?;
        Some(turn.until.saturating_duration_since(now)).filter(|wait| !wait.is_zero())
    }

    /// Notes that this frame is put off for so long.
    pub(super) fn put_off(&mut self, alert: &str, frame: FrameId, after: Duration, now: Instant) {
        if self.of.len() >= self.prune_at.max(PRUNE_MIN) {
            self.of.retain(|_, turn| turn.until > now);
            self.prune_at = 2 * self.of.len();
        }
        self.of.insert(alert.to_owned(), Turn { frame, until: now + after + GRACE });
    }

    /// The next transition of this alert may go.
    pub(super) fn pass(&mut self, alert: &str) {
        self.of.remove(alert);
    }

    /// Whether nothing is put off.
    pub(super) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transition_waits_for_the_one_before_it() {
        let (now, mut turns) = (Instant::now(), Turns::default());
        let [firing, resolved] = [1, 2].map(|index| FrameId::ingested(0, index));
        let minute = Duration::from_secs(60);
        turns.put_off("a", firing, minute, now);
        assert_eq!(turns.wait("a", firing, now), None, "its own turn");
        assert_eq!(turns.wait("a", resolved, now), Some(minute + GRACE));
        assert_eq!(turns.wait("b", resolved, now), None, "another alert");
        assert_eq!(
            turns.wait("a", resolved, now + minute + GRACE),
            None,
            "who never came is waited for no more"
        );
        turns.pass("a");
        assert_eq!(turns.wait("a", resolved, now), None);
    }

    #[test]
    fn what_never_came_back_is_forgotten() {
        let (now, mut turns) = (Instant::now(), Turns::default());
        for index in 0..5 * PRUNE_MIN {
            let at = now + Duration::from_secs(index as u64);
            turns.put_off(&index.to_string(), FrameId::ingested(0, 1), Duration::ZERO, at);
        }
        assert!(turns.of.len() <= PRUNE_MIN, "{}", turns.of.len());
    }
}
