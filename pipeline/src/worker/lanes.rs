//! What the tasks of one stage know of the lanes they were handed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use stages::{
    frame::Lane,
    plan::{Delta, StateError},
    stage::{LaneState, Stage},
};
use tokio::sync::OwnedMutexGuard;

use crate::{queue::NumberedDelta, state::Loaded};

/// Deltas are replaced by a snapshot when they take more than this and more than the last snapshot
/// did: then all snapshots together cost no more than the deltas. The crash tests do not wait for that many.
const DELTA_BYTES_MIN: usize = if cfg!(feature = "failpoints") { 16 << 10 } else { 1 << 20 };

/// The state of a lane in memory.
pub(super) struct Known {
    /// The number of the last delta in it.
    number: u64,
    pub(super) state: LaneState,
    delta_bytes: usize,
    snapshot_bytes: usize,
}

impl Known {
    /// The state that was saved.
    pub(super) fn restore(stage: &Stage, loaded: &Loaded) -> Result<Self, StateError> {
        let mut state = stage.empty_state();
        let snapshot = loaded.snapshot.as_ref().map(|(_, bytes)| bytes);
        let deltas = || loaded.deltas.iter().map(|(_, bytes)| bytes);
        // A change of nothing but the frames that it deals with has no bytes.
        for bytes in snapshot.into_iter().chain(deltas()).filter(|bytes| !bytes.is_empty()) {
            stage.apply(&mut state, bytes)?;
        }
        Ok(Self {
            number: loaded.number,
            state,
            delta_bytes: deltas().map(Vec::len).sum(),
            snapshot_bytes: snapshot.map_or(0, Vec::len),
        })
    }

    /// Numbers what changed in `lane`, with a snapshot if it is time for one. Where nothing did, the number tells whether
    /// what is known is still the last; a stage without state has nothing to tell.
    pub(super) fn number(
        &mut self,
        stage: &Stage,
        lane: Lane,
        deltas: Vec<Delta>,
    ) -> Result<Vec<NumberedDelta>, StateError> {
        if matches!(self.state, LaneState::Stateless) {
            return Ok(Vec::new());
        }
        let numbered = |number, bytes, snapshot| NumberedDelta {
            stage: stage.name(),
            lane,
            number,
            bytes,
            snapshot,
            applied: Vec::new(),
        };
        let Some(last) = deltas.len().checked_sub(1) else {
            return Ok(vec![numbered(self.number, Vec::new(), None)]);
        };
        let mut all = Vec::with_capacity(deltas.len());
        for (index, Delta(bytes)) in deltas.into_iter().enumerate() {
            // The state has all changes by now: a snapshot of it stands for the last.
            let (number, snapshot) = self.advance(stage, bytes.len(), index == last)?;
            all.push(numbered(number, bytes, snapshot));
        }
        Ok(all)
    }

    /// Counts one more delta of so many bytes; the number it has, and a snapshot if it is time for one and it `may_replace`.
    fn advance(
        &mut self,
        stage: &Stage,
        delta_bytes: usize,
        may_replace: bool,
    ) -> Result<(u64, Option<Vec<u8>>), StateError> {
        self.delta_bytes += delta_bytes;
        if may_replace && self.delta_bytes > DELTA_BYTES_MIN.max(self.snapshot_bytes) {
            let (number, snapshot) = self.replace(stage)?;
            return Ok((number, Some(snapshot)));
        }
        self.number += 1;
        Ok((self.number, None))
    }

    /// Numbers one more change in `lane`, saved as a snapshot, unless there is no state.
    pub(super) fn number_whole(
        &mut self,
        stage: &Stage,
        lane: Lane,
    ) -> Result<Option<NumberedDelta>, StateError> {
        if matches!(self.state, LaneState::Stateless) {
            return Ok(None);
        }
        let (number, snapshot) = self.replace(stage)?;
        let (stage, snapshot) = (stage.name(), Some(snapshot));
        Ok(Some(NumberedDelta { stage, lane, number, bytes: Vec::new(), snapshot, applied: Vec::new() }))
    }

    fn replace(&mut self, stage: &Stage) -> Result<(u64, Vec<u8>), StateError> {
        let snapshot = stage.snapshot(&mut self.state)?;
        self.number += 1;
        (self.delta_bytes, self.snapshot_bytes) = (0, snapshot.len());
        Ok((self.number, snapshot))
    }
}

/// The lanes of one stage: one task works on a lane at a time, and each finds what the last one left.
#[derive(Default)]
pub(super) struct Lanes(Mutex<HashMap<Lane, Slot>>);

type Slot = Arc<tokio::sync::Mutex<Option<Known>>>;

impl Lanes {
    /// The lane, for one task alone; empty when its state must be loaded.
    pub(super) async fn lock(&self, lane: Lane) -> OwnedMutexGuard<Option<Known>> {
        let slot = {
            let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(lanes.entry(lane).or_default())
        };
        slot.lock_owned().await
    }
}
