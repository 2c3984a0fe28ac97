//! A queue as its contract says it may behave (the clauses Q1 to Q9 of `pipeline/src/queue.rs`), in memory.

use std::{collections::BTreeSet, rc::Rc};

use rand::RngExt;
use stages::frame::{FrameId, Lane, Micros};

use crate::Rng;

/// A frame that was handed out.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    /// Names the entry: where repeats are not dropped, several may have the id.
    pub(crate) serial: u64,
    pub(crate) lane: Lane,
    pub(crate) id: FrameId,
    pub(crate) bytes: Rc<[u8]>,
    /// How often it has failed.
    pub(crate) attempts: u32,
}

/// A frame to publish.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) lane: Lane,
    pub(crate) id: FrameId,
    pub(crate) bytes: Rc<[u8]>,
    /// When the first of its messages was received; the greatest instant where it holds none.
    pub(crate) oldest: Micros,
}

struct Entry {
    frame: Outgoing,
    serial: u64,
    attempts: u32,
    lease: Option<u64>,
}

/// The lease is another's by now, or nobody's.
#[derive(Debug)]
pub(crate) struct Lost;

/// A queue.
pub(crate) struct Queue {
    /// Whether the frames of a lane go to one holder at a time, in order (Q4).
    ordered: bool,
    /// Whether a frame whose id was published before is dropped (Q6).
    dedupes: bool,
    entries: Vec<Entry>,
    published: BTreeSet<FrameId>,
    /// The lane that nothing is handed out of for now.
    pub(crate) stalled: Option<Lane>,
    /// Counts entries and leases.
    count: u64,
}

impl Queue {
    pub(crate) fn new(ordered: bool, dedupes: bool) -> Self {
        Self { ordered, dedupes, entries: Vec::new(), published: BTreeSet::new(), stalled: None, count: 0 }
    }

    pub(crate) fn publish(&mut self, frame: Outgoing) {
        if !self.published.insert(frame.id) && self.dedupes {
            return;
        }
        self.count += 1;
        self.entries.push(Entry { frame, serial: self.count, attempts: 0, lease: None });
    }

    /// Hands out frames of one lane, where the queue has an order a run from the front of the lane; and the lease
    /// that holds them together.
    pub(crate) fn receive(&mut self, rng: &mut Rng, frames_max: usize) -> Option<(u64, Vec<Delivery>)> {
        let held: BTreeSet<Lane> =
            self.entries.iter().filter(|entry| entry.lease.is_some()).map(|entry| entry.frame.lane).collect();
        let free = |entry: &&mut Entry| {
            let lane = entry.frame.lane;
            entry.lease.is_none() && self.stalled != Some(lane) && !(self.ordered && held.contains(&lane))
        };
        let mut free: Vec<&mut Entry> = self.entries.iter_mut().filter(free).collect();
        if free.is_empty() {
            return None;
        }
        let lane = free[rng.random_range(0..free.len())].frame.lane;
        free.retain(|entry| entry.frame.lane == lane);
        self.count += 1;
        let mut run = Vec::new();
        while run.len() < frames_max && !free.is_empty() {
            let place = if self.ordered { 0 } else { rng.random_range(0..free.len()) };
            let entry = free.remove(place);
            entry.lease = Some(self.count);
            let (Outgoing { lane, id, bytes, .. }, serial) = (entry.frame.clone(), entry.serial);
            run.push(Delivery { serial, lane, id, bytes, attempts: entry.attempts });
        }
        Some((self.count, run))
    }

    pub(crate) fn holds(&self, lease: u64, serials: &[u64]) -> bool {
        let held = |serial: &u64| {
            self.entries.iter().any(|entry| entry.serial == *serial && entry.lease == Some(lease))
        };
        serials.iter().all(held)
    }

    /// Settles frames as done, all or none.
    pub(crate) fn done(&mut self, lease: u64, serials: &[u64]) -> Result<(), Lost> {
        if !self.holds(lease, serials) {
            return Err(Lost);
        }
        self.entries.retain(|entry| !serials.contains(&entry.serial));
        Ok(())
    }

    /// Settles a frame as failed: it goes back, and what is left of its lease with it.
    pub(crate) fn retry(&mut self, lease: u64, serial: u64) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.serial == serial) {
            entry.attempts += u32::from(entry.lease == Some(lease));
        }
        self.lose(lease);
    }

    /// The lease ends: what it held is handed out again.
    pub(crate) fn lose(&mut self, lease: u64) {
        for entry in &mut self.entries {
            if entry.lease == Some(lease) {
                entry.lease = None;
            }
        }
    }

    /// The last frame that was ever published.
    pub(crate) fn newest(&self) -> u64 {
        self.count
    }

    /// Whether a frame of the lane is there that is no newer than this one.
    pub(crate) fn stands(&self, lane: Lane, until: u64) -> bool {
        self.entries.iter().any(|entry| entry.frame.lane == lane && entry.serial <= until)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// When the first of the messages in it was received.
    pub(crate) fn oldest(&self) -> Micros {
        self.entries.iter().map(|entry| entry.frame.oldest).min().unwrap_or(Micros::MAX)
    }
}
