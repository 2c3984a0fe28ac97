//! A plain model of the queues: what they should hold after each action.

use millstream::queue::{
    QueueName::{self, Transform},
    Verdict,
};

use crate::{
    engine::{Engine, MAX_ATTEMPTS},
    sqlite::Sqlite,
};

/// A frame as the model has it; the vector they are in is the order of publishing.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) number: u32,
    pub(super) queue: QueueName,
    pub(super) lane: u16,
    pub(super) attempts: u32,
    pub(super) losses: u32,
    pub(super) state: State,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum State {
    Waiting,
    PutOff { until: u64 },
    Held { holder: usize, lease: usize, until: u64 },
}

#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) now: u64,
    pub(super) frames: Vec<Frame>,
    /// By number of letter.
    pub(super) dead: Vec<Frame>,
    pub(super) leases: usize,
    pub(super) entered: [u64; 2],
    pub(super) dropped: [u64; 2],
    pub(super) taken: [u64; 2],
}

/// The place of a queue's rows in the model.
pub(super) fn place(queue: QueueName) -> usize {
    usize::from(queue == Transform)
}

impl Model {
    pub(super) fn publish(&mut self, number: u32, queue: QueueName, lane: u16) {
        self.entered[place(queue)] += u64::from(number);
        self.frames.push(Frame { number, queue, lane, attempts: 0, losses: 0, state: State::Waiting });
    }

    pub(super) fn receive(&mut self, queue: QueueName, holder: usize, limit: usize) -> Vec<(u32, u32, bool)> {
        self.free_due();
        let mine =
            |frame: &Frame| matches!(frame.state, State::Held { holder: other, .. } if other == holder);
        let in_queue: Vec<&Frame> = self.frames.iter().filter(|frame| frame.queue == queue).collect();
        if in_queue.iter().any(|frame| mine(frame) && frame.losses >= 3) {
            return Vec::new();
        }
        let holds_some = in_queue.iter().any(|frame| mine(frame));
        let next = in_queue.iter().find(|frame| {
            let closed =
                |other: &&&Frame| other.lane == frame.lane && other.state != State::Waiting && !mine(other);
            frame.state == State::Waiting
                && !(queue.is_ordered() && in_queue.iter().any(|other| closed(&other)))
        });
        let Some(next) = next.map(|frame| (frame.lane, frame.losses >= 3)) else { return Vec::new() };
        let (lane, suspect) = next;
        if suspect && holds_some {
            return Vec::new();
        }
        self.leases += 1;
        let state = State::Held { holder, lease: self.leases, until: self.now + Sqlite::LEASE.as_secs() };
        let (mut limit, mut run) = (limit, Vec::new());
        for frame in &mut self.frames {
            let in_line = frame.queue == queue && (frame.lane == lane || !queue.is_ordered());
            if !in_line || frame.state != State::Waiting {
                continue;
            }
            limit = limit.min([usize::MAX, usize::MAX, usize::MAX, 16, 4, 1][frame.losses.min(5) as usize]);
            if run.len() >= limit || (frame.losses >= 3) != suspect {
                break;
            }
            frame.state = state;
            run.push((frame.number, frame.attempts, suspect));
        }
        run
    }

    /// Whether the lease was still there.
    pub(super) fn settle(&mut self, number: u32, lease: usize, verdict: &Verdict) -> bool {
        let Some(at) = self.find(number, lease) else { return false };
        match verdict {
            Verdict::Done => drop(self.frames.remove(at)),
            Verdict::Dead(_) => self.dead.push(self.frames.remove(at)),
            Verdict::Retry(after) | Verdict::Later(after) => {
                self.give_back(at, false);
                let frame = &mut self.frames[at];
                frame.attempts += u32::from(matches!(verdict, Verdict::Retry(_)));
                if !after.is_zero() {
                    frame.state = State::PutOff { until: self.now + after.as_secs() };
                }
            }
        }
        true
    }

    /// Whether the lease was still there.
    pub(super) fn consume(&mut self, number: u32, lease: usize, poison: bool) -> bool {
        let Some(at) = self.find(number, lease) else { return false };
        let frame = self.frames.remove(at);
        self.taken[place(frame.queue)] += u64::from(number) - u64::from(poison);
        if poison {
            self.dead.push(Frame { number: 1, ..frame });
        }
        true
    }

    pub(super) fn requeue(&mut self, queue: QueueName) {
        for frame in self.dead.extract_if(.., |frame| frame.queue == queue) {
            self.frames.push(Frame { attempts: 0, losses: 0, state: State::Waiting, ..frame });
        }
    }

    pub(super) fn drop_dead(&mut self, queue: QueueName) {
        for frame in self.dead.extract_if(.., |frame| frame.queue == queue) {
            self.dropped[place(queue)] += u64::from(frame.number);
        }
    }

    pub(super) fn extend(&mut self, number: u32, lease: usize) -> bool {
        let Some(at) = self.find(number, lease) else { return false };
        if let State::Held { until, .. } = &mut self.frames[at].state {
            *until = self.now + Sqlite::LEASE.as_secs();
        }
        true
    }

    pub(super) fn find(&self, number: u32, wanted: usize) -> Option<usize> {
        let held = |frame: &Frame| matches!(frame.state, State::Held { lease, .. } if lease == wanted);
        self.frames.iter().position(|frame| frame.number == number && held(frame))
    }

    pub(super) fn free_due(&mut self) {
        for at in (0..self.frames.len()).rev() {
            match self.frames[at].state {
                State::PutOff { until } if until <= self.now => self.frames[at].state = State::Waiting,
                State::Held { until, .. } if until <= self.now => self.give_back(at, true),
                _ => {}
            }
        }
        self.bury();
    }

    pub(super) fn die(&mut self) {
        for at in (0..self.frames.len()).rev() {
            if matches!(self.frames[at].state, State::Held { .. }) {
                self.give_back(at, true);
            }
        }
        self.bury();
    }

    /// The frame and, in an ordered queue, those held after it.
    pub(super) fn give_back(&mut self, at: usize, lost: bool) {
        let Frame { queue, lane, .. } = self.frames[at];
        for (index, frame) in self.frames.iter_mut().enumerate().skip(at) {
            let after = queue.is_ordered() && frame.queue == queue && frame.lane == lane;
            if matches!(frame.state, State::Held { .. }) && (index == at || after) {
                frame.state = State::Waiting;
                frame.attempts += u32::from(lost && frame.losses >= 5);
                frame.losses += u32::from(lost);
            }
        }
    }

    pub(super) fn bury(&mut self) {
        let (dead, alive) = self.frames.drain(..).partition(|frame| {
            frame.state == State::Waiting && frame.losses > 5 && frame.attempts > MAX_ATTEMPTS
        });
        self.frames = alive;
        self.dead.extend(Vec::into_iter(dead));
    }

    /// Frames, those in flight, dead letters and their rows.
    pub(super) fn depth(&self, queue: QueueName) -> (usize, usize, usize, u64) {
        let in_queue = || self.frames.iter().filter(|frame| frame.queue == queue);
        let held = in_queue().filter(|frame| matches!(frame.state, State::Held { .. }));
        let dead = || self.dead.iter().filter(|dead| dead.queue == queue);
        (in_queue().count(), held.count(), dead().count(), dead().map(|dead| u64::from(dead.number)).sum())
    }
}
