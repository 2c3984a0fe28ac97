//! The writes that wait, in the order in which they are done.

use std::collections::VecDeque;

use super::{Durability, Turn, job::Job};

/// Jobs that were taken from the channel and are not done yet.
#[derive(Default)]
pub(super) struct Line {
    first: VecDeque<Box<dyn Job>>,
    common: VecDeque<Box<dyn Job>>,
}

impl Line {
    pub(super) fn push(&mut self, job: Box<dyn Job>) {
        match job.turn() {
            Turn::First => self.first.push_back(job),
            Turn::Common => self.common.push_back(job),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.first.len() + self.common.len()
    }

    /// Whether there is one that others give way to.
    pub(super) fn is_urgent(&self) -> bool {
        !self.first.is_empty()
    }

    /// The most that any of them asks of a commit.
    pub(super) fn durability(&self) -> Durability {
        let asked = self.first.iter().chain(&self.common).map(|job| job.durability());
        asked.max().unwrap_or(Durability::Fsync)
    }

    /// The next one, if a commit that gives as much as `given` is enough for it.
    pub(super) fn next(&mut self, given: Durability) -> Option<Box<dyn Job>> {
        let line = if self.first.is_empty() { &mut self.common } else { &mut self.first };
        if line.front()?.durability() > given {
            return None;
        }
        line.pop_front()
    }

    /// All of them.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Box<dyn Job>> {
        self.first.drain(..).chain(self.common.drain(..))
    }
}
