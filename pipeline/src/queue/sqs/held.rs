//! What this process holds, and until when at the latest.
//!
//! SQS measures a lease from the moment in which it hands a message out, this process from before it asked: what is not over
//! here is not over there. So who lost a lease knows it without asking, and nothing of it is settled any more.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use stages::frame::{FrameId, Lane, Micros};
use tokio::time::Instant;

use super::line::Line;
use crate::queue::{EncodedFrame, QueueName};

/// So many frames at the most are remembered that were given back untried; beyond that all of them count.
const SPARED_MAX: usize = 100_000;

/// The leases of this process, counted in the order in which frames were received.
#[derive(Debug, Default)]
pub(super) struct Leases(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    last: u64,
    leases: BTreeMap<u64, Lease>,
    /// How often frames were handed out here that were then given back untried.
    spared: HashMap<(QueueName, FrameId), u32>,
}

/// A frame that this process holds.
#[derive(Debug, Clone)]
pub(super) struct Lease {
    pub(super) line: Arc<Line>,
    /// What SQS calls it.
    pub(super) handle: String,
    pub(super) frame: EncodedFrame,
    pub(super) published_at: Micros,
    /// How often it has failed before, as far as is known.
    pub(super) attempts: u32,
    /// When it was asked for.
    pub(super) received_at: Instant,
    /// It may be handed out to somebody else from then on.
    pub(super) until: Instant,
}

impl Lease {
    /// What other frames it must be settled in order with, if any.
    fn order(&self) -> Option<(*const Line, Lane)> {
        self.line.fifo.then_some((Arc::as_ptr(&self.line), self.frame.lane))
    }
}

impl Leases {
    /// Holds one more.
    pub(super) fn add(&self, lease: Lease, now: Instant) -> u64 {
        let mut held = self.held();
        // One of the same frame is over, or it would not have come again: it must not take this one with it later.
        held.end(now);
        held.last += 1;
        let number = held.last;
        held.leases.insert(number, lease);
        number
    }

    /// What is held under this number now.
    pub(super) fn find(&self, number: u64, now: Instant) -> Option<Lease> {
        let mut held = self.held();
        held.end(now);
        held.leases.get(&number).cloned()
    }

    /// A lease lasts longer.
    pub(super) fn extend(&self, number: u64, until: Instant) {
        if let Some(lease) = self.held().leases.get_mut(&number) {
            lease.until = until;
        }
    }

    /// Holds a frame no more.
    pub(super) fn remove(&self, number: u64) -> Option<Lease> {
        self.held().leases.remove(&number)
    }

    /// Holds no more what was received after this frame in the order of its lane; answers it in this order.
    pub(super) fn remove_behind(&self, number: u64) -> Vec<Lease> {
        let mut held = self.held();
        let order = held.leases.get(&number).and_then(Lease::order);
        let is_behind = |(_, lease): &(&u64, &Lease)| order.is_some() && lease.order() == order;
        let behind: Vec<u64> =
            held.leases.range(number + 1..).filter(is_behind).map(|(number, _)| *number).collect();
        behind.iter().filter_map(|number| held.leases.remove(number)).collect()
    }

    /// A frame was given back untried: SQS counts that it was handed out, and this process that it did not fail.
    pub(super) fn spare(&self, lease: &Lease) {
        let spared = &mut self.held().spared;
        if spared.len() >= SPARED_MAX {
            spared.clear();
        }
        *spared.entry((lease.line.queue, lease.frame.id)).or_default() += 1;
    }

    /// How often this process has given back a frame untried.
    pub(super) fn spared(&self, queue: QueueName, frame: FrameId) -> u32 {
        self.held().spared.get(&(queue, frame)).copied().unwrap_or_default()
    }

    /// A frame has left its queue.
    pub(super) fn forget(&self, queue: QueueName, frame: FrameId) {
        self.held().spared.remove(&(queue, frame));
    }

    /// A panic in between leaves nothing half done.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Forgets the leases that are over, each with those behind it in an ordered lane: its frame comes again before theirs.
    fn end(&mut self, now: Instant) {
        let mut lost = HashSet::new();
        self.leases.retain(|_, lease| {
            let order = lease.order();
            let holds = lease.until > now && order.is_none_or(|order| !lost.contains(&order));
            if !holds {
                lost.extend(order);
            }
            holds
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::queue::sqs::line::{Place, Shared};

    const SECOND: Duration = Duration::from_secs(1);

    fn line(fifo: bool) -> Arc<Line> {
        let place = Place { name: "q".into(), url: "u".into(), counters: Arc::default() };
        Arc::new(Line {
            queue: QueueName::Alert,
            lane: None,
            fifo,
            main: place.clone(),
            dead: place,
            shared: Shared::default(),
        })
    }

    fn lease(line: &Arc<Line>, lane: u16, received_at: Instant, lasts: u32) -> Lease {
        let frame =
            EncodedFrame { id: FrameId([1; 16]), lane: Lane(lane), rows: 1, bytes: vec![lane as u8].into() };
        let (line, handle) = (Arc::clone(line), String::new());
        let until = received_at + lasts * SECOND;
        Lease { line, handle, frame, published_at: 0, attempts: 0, received_at, until }
    }

    #[tokio::test]
    async fn a_lost_lease_takes_those_behind_it_in_its_lane() {
        for (fifo, expected) in [(true, [true, false, false, true]), (false, [true, false, true, true])] {
            let (line, leases, now) = (line(fifo), Leases::default(), Instant::now());
            let numbers = [(0, 9), (0, 2), (0, 9), (1, 9)]
                .map(|(lane, lasts)| leases.add(lease(&line, lane, now, lasts), now));
            leases.extend(numbers[1], now + 3 * SECOND);
            assert!(numbers.iter().all(|number| leases.find(*number, now + 2 * SECOND).is_some()));
            let later = now + 3 * SECOND;
            let found = numbers.map(|number| leases.find(number, later).is_some());
            assert_eq!(found, expected, "fifo: {fifo}");
        }
    }

    #[tokio::test]
    async fn a_frame_that_came_again_does_not_suffer_from_its_first_lease() {
        let (line, leases, now) = (line(true), Leases::default(), Instant::now());
        leases.add(lease(&line, 0, now, 2), now);
        let later = now + 2 * SECOND;
        let again = leases.add(lease(&line, 0, later, 2), later);
        assert!(leases.find(again, now + 3 * SECOND).is_some());
    }

    #[tokio::test]
    async fn what_is_behind_is_told_in_order() {
        let (line, leases, now) = (line(true), Leases::default(), Instant::now());
        let numbers = [0, 1, 0, 0].map(|lane| leases.add(lease(&line, lane, now, 9), now));
        assert_eq!(leases.remove_behind(numbers[0]).len(), 2);
        let found = numbers.map(|number| leases.find(number, now).is_some());
        assert_eq!(found, [true, true, false, false]);
    }
}
