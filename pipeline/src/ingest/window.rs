//! When a sender may be taken to wait with a full in-flight window.
//!
//! MQTT 5 clients are told a window (Receive Maximum) but may keep to a smaller one of their own, and
//! MQTT 3.1.1 knows none at all. So the window is learnt: a sender that fell silent, and publishes
//! again the moment it is acknowledged, had been waiting, and what was outstanding then is its window.
//! To be wrong costs a smaller frame, or the linger; never a message.

use std::time::{Duration, Instant};

/// How soon after an acknowledgement a publish counts as the answer to it.
const AT_ONCE: Duration = Duration::from_millis(2);

/// How long a sender has been silent when it counts as waiting: longer than the gaps within a burst.
const SILENCE: Duration = Duration::from_millis(1);

/// What one sender has outstanding, and how much it lets be outstanding as far as is known.
#[derive(Debug)]
pub(super) struct Window {
    told: usize,
    learnt: Option<usize>,
    outstanding: usize,
    published_at: Option<Instant>,
    release: Option<Release>,
}

/// Acknowledgements to a silent sender that it has not answered yet.
#[derive(Debug)]
struct Release {
    at: Instant,
    outstanding: usize,
}

impl Window {
    /// Of a sender that was told never to have more than `told` messages outstanding, or that may wait with so many.
    pub(super) fn new(told: usize) -> Self {
        Self { told, learnt: None, outstanding: 0, published_at: None, release: None }
    }

    /// How many messages it was told that it may have outstanding.
    pub(super) fn told(&self) -> usize {
        self.told
    }

    /// `count` messages have come that are to be acknowledged.
    pub(super) fn published(&mut self, count: usize, now: Instant) {
        if let Some(release) = self.release.take()
            && now.duration_since(release.at) <= AT_ONCE
        {
            self.learnt = Some(release.outstanding);
        }
        self.outstanding += count;
        self.published_at = Some(now);
        if self.learnt.is_some_and(|window| self.outstanding > window) {
            self.learnt = None;
        }
    }

    /// The oldest `count` messages have been acknowledged.
    pub(super) fn acknowledged(&mut self, count: usize, now: Instant) {
        let silent = self.published_at.is_some_and(|at| now.duration_since(at) >= SILENCE);
        self.release = match self.release.take() {
            // Nothing came in between: what was outstanding at first is what the sender waited with.
            Some(first) => Some(Release { at: now, ..first }),
            None if silent => Some(Release { at: now, outstanding: self.outstanding }),
            None => None,
        };
        self.outstanding = self.outstanding.saturating_sub(count);
    }

    /// Whether the sender is likely to publish no more before it is acknowledged.
    pub(super) fn is_full(&self) -> bool {
        self.outstanding > 0 && self.outstanding >= self.learnt.unwrap_or(self.told).min(self.told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    enum Step {
        /// After so many microseconds, so many messages come.
        Publish(u64, usize),
        /// After so many microseconds, so many are acknowledged.
        Acknowledge(u64, usize),
    }
    use Step::{Acknowledge, Publish};

    fn after(told: usize, steps: &[Step]) -> Window {
        let mut window = Window::new(told);
        let mut now = Instant::now();
        for step in steps {
            match *step {
                Publish(micros, count) => {
                    now += Duration::from_micros(micros);
                    window.published(count, now);
                }
                Acknowledge(micros, count) => {
                    now += Duration::from_micros(micros);
                    window.acknowledged(count, now);
                }
            }
        }
        window
    }

    #[test]
    fn what_a_sender_was_told_is_its_window_until_another_is_learnt() {
        assert!(!after(10, &[Publish(0, 9)]).is_full());
        assert!(after(10, &[Publish(0, 9), Publish(50, 1)]).is_full());
        assert!(!after(0, &[]).is_full(), "nothing outstanding is never a full window");
    }

    #[test]
    fn a_silent_sender_that_answers_at_once_had_a_full_window() {
        let mut steps = vec![Publish(0, 15), Publish(100, 5), Acknowledge(5_000, 20), Publish(300, 20)];
        assert!(after(1024, &steps).is_full());
        steps.pop();
        steps.push(Publish(300, 19));
        assert!(!after(1024, &steps).is_full());
    }

    #[test]
    fn acknowledgements_in_pieces_release_one_window() {
        let pieces =
            [Publish(0, 20), Acknowledge(5_000, 12), Acknowledge(700, 8), Publish(300, 8), Publish(10, 12)];
        let window = after(1024, &pieces);
        assert!(window.is_full());
        assert_eq!(window.outstanding, 20);
    }

    #[test]
    fn a_sender_that_has_more_than_it_may_wait_with_always_counts_as_waiting() {
        let mut steps = vec![Publish(0, 20), Acknowledge(5_000, 20), Publish(300, 9)];
        assert!(!after(10, &steps).is_full());
        steps.push(Publish(10, 1));
        assert!(after(10, &steps).is_full());
        steps.push(Publish(10, 50));
        assert!(after(10, &steps).is_full());
    }

    #[test]
    fn a_sender_at_its_own_pace_teaches_nothing() {
        // A message each 800 µs: the answer is quick by chance, but there was no silence before it.
        let steady = [Publish(0, 1), Publish(800, 1), Acknowledge(400, 2), Publish(400, 1), Publish(800, 1)];
        assert!(!after(1024, &steady).is_full());
        // A message each second: there was silence, but no answer.
        let seldom = [Publish(0, 1), Acknowledge(5_000, 1), Publish(995_000, 1)];
        assert!(!after(1024, &seldom).is_full());
    }

    #[test]
    fn a_window_that_is_exceeded_was_none() {
        let mut steps = vec![Publish(0, 5), Acknowledge(5_000, 5), Publish(300, 5)];
        assert!(after(1024, &steps).is_full());
        steps.push(Publish(100, 1));
        assert!(!after(1024, &steps).is_full());
    }
}
