//! The state of lanes as it is saved, fenced by numbers: `pipeline/src/state.rs` in memory.

use std::collections::{BTreeMap, BTreeSet};

use stages::{
    frame::FrameId,
    stage::{LaneState, Stage},
};

use crate::queue::Outgoing;

/// The state of a lane in the memory of a process.
#[derive(Debug)]
pub(crate) struct Known {
    /// The number of the last change in it.
    pub(crate) number: u64,
    pub(crate) state: LaneState,
}

/// A change of a lane's state, on its way to be saved.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) number: u64,
    /// Empty where nothing changed.
    pub(crate) delta: Vec<u8>,
    /// Stands in for all deltas so far.
    pub(crate) snapshot: Option<Vec<u8>>,
    /// The frame that is now applied, where repeats are recognised by id.
    pub(crate) applied: Option<FrameId>,
}

/// Somebody else had the lane meanwhile.
#[derive(Debug)]
pub(crate) struct Fenced;

/// What is durable of one lane of one stage.
#[derive(Debug, Default)]
pub(crate) struct Saved {
    number: u64,
    snapshot: Option<Vec<u8>>,
    deltas: Vec<Vec<u8>>,
    applied: BTreeSet<FrameId>,
    /// What frames led to, where that is published after it is saved.
    pub(crate) outbox: BTreeMap<FrameId, Vec<(usize, Outgoing)>>,
}

impl Saved {
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn has_applied(&self, id: FrameId) -> bool {
        self.applied.contains(&id)
    }

    /// Read from the beginning.
    pub(crate) fn restore(&self, stage: &Stage) -> Known {
        let mut state = stage.empty_state();
        for bytes in self.snapshot.iter().chain(&self.deltas) {
            stage.apply(&mut state, bytes).expect("what a stage saved can be read by it");
        }
        Known { number: self.number, state }
    }

    /// Whether [`Saved::take`] would take the change: the next one, or one that changes nothing and knows the last.
    pub(crate) fn fits(&self, change: &Change) -> bool {
        let changes = !change.delta.is_empty() || change.snapshot.is_some() || change.applied.is_some();
        change.number == self.number + u64::from(changes)
    }

    pub(crate) fn take(&mut self, change: &Change) -> Result<(), Fenced> {
        if !self.fits(change) {
            return Err(Fenced);
        }
        self.number = change.number;
        self.applied.extend(change.applied);
        match &change.snapshot {
            Some(snapshot) => {
                self.snapshot = Some(snapshot.clone());
                self.deltas.clear();
            }
            None if change.delta.is_empty() => {}
            None => self.deltas.push(change.delta.clone()),
        }
        Ok(())
    }
}
