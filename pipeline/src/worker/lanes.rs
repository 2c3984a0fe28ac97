//! What the tasks of one stage know of the lanes they were handed.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use stages::{
    frame::{FrameId, Lane},
    plan::{Delta, StateError},
    stage::{LaneState, Stage},
};
use tokio::sync::OwnedMutexGuard;

use crate::{
    queue::NumberedDelta,
    state::{APPLIED_MAX, Loaded},
};

/// Deltas are replaced by a snapshot when they take more than this and more than the last snapshot
/// did: then all snapshots together cost no more than the deltas. The crash tests do not wait for that many.
const DELTA_BYTES_MIN: usize = if cfg!(feature = "failpoints") { 16 << 10 } else { 1 << 20 };

/// The state of a lane in memory.
pub(super) struct Known {
    /// The number of the last delta in it.
    number: u64,
    pub(super) state: LaneState,
    applied: Applied,
    delta_bytes: usize,
    snapshot_bytes: usize,
}

impl Known {
    /// Nothing yet.
    pub(super) fn empty(stage: &Stage) -> Self {
        let (state, applied) = (stage.empty_state(), Applied::default());
        Self { number: 0, state, applied, delta_bytes: 0, snapshot_bytes: 0 }
    }

    /// Takes over what was saved since.
    pub(super) fn renew(&mut self, stage: &Stage, loaded: Loaded) -> Result<(), StateError> {
        if let Some((_, snapshot)) = &loaded.snapshot {
            *self = Self { snapshot_bytes: snapshot.len(), ..Self::empty(stage) };
            stage.apply(&mut self.state, snapshot)?;
        }
        // Some only tell of a frame.
        for (_, bytes) in loaded.deltas.iter().filter(|(_, bytes)| !bytes.is_empty()) {
            stage.apply(&mut self.state, bytes)?;
            self.delta_bytes += bytes.len();
        }
        loaded.applied.into_iter().for_each(|frame| self.applied.add(frame));
        self.number = loaded.number;
        Ok(())
    }

    /// The number of the last change that is known.
    pub(super) fn last(&self) -> u64 {
        self.number
    }

    /// Whether there is nothing to know.
    pub(super) fn is_stateless(&self) -> bool {
        matches!(self.state, LaneState::Stateless)
    }

    /// Whether the state has what `frame` changes.
    pub(super) fn has_applied(&self, frame: FrameId) -> bool {
        self.applied.has(frame)
    }

    /// Takes over that the state has what `frame` changes.
    pub(super) fn remember(&mut self, frame: FrameId) {
        self.applied.add(frame);
    }

    /// Numbers what changed in `lane`, with a snapshot if it is time for one. Where nothing did, the number tells whether
    /// what is known is still the last; a stage without state has nothing to tell.
    pub(super) fn number(
        &mut self,
        stage: &Stage,
        lane: Lane,
        deltas: Vec<Delta>,
    ) -> Result<Vec<NumberedDelta>, StateError> {
        if self.is_stateless() {
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

    /// Like [`Known::number`] of what one frame changed, where a commit is no transaction: one change, which tells of the frame
    /// also where it changed nothing.
    pub(super) fn number_of(
        &mut self,
        stage: &Stage,
        lane: Lane,
        frame: FrameId,
        deltas: Vec<Delta>,
    ) -> Result<Vec<NumberedDelta>, StateError> {
        if self.is_stateless() {
            return Ok(Vec::new());
        }
        let deltas = if deltas.is_empty() { vec![Delta::default()] } else { deltas };
        let mut all = self.number(stage, lane, deltas)?;
        self.applied.add(frame);
        if let Some(last) = all.last_mut() {
            last.applied = if last.snapshot.is_some() { self.applied.all() } else { vec![frame] };
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

    /// Numbers one more change in `lane`, that of a `frame`, saved as a snapshot, unless there is no state.
    pub(super) fn number_whole(
        &mut self,
        stage: &Stage,
        lane: Lane,
        frame: FrameId,
    ) -> Result<Option<NumberedDelta>, StateError> {
        if self.is_stateless() {
            return Ok(None);
        }
        let (number, snapshot) = self.replace(stage)?;
        self.applied.add(frame);
        let (stage, snapshot, applied) = (stage.name(), Some(snapshot), self.applied.all());
        Ok(Some(NumberedDelta { stage, lane, number, bytes: Vec::new(), snapshot, applied }))
    }

    fn replace(&mut self, stage: &Stage) -> Result<(u64, Vec<u8>), StateError> {
        let snapshot = stage.snapshot(&mut self.state)?;
        self.number += 1;
        (self.delta_bytes, self.snapshot_bytes) = (0, snapshot.len());
        Ok((self.number, snapshot))
    }
}

/// The frames last applied to a lane, so that one that comes again changes nothing.
#[derive(Default)]
struct Applied {
    order: VecDeque<FrameId>,
    known: HashSet<FrameId>,
}

impl Applied {
    fn add(&mut self, frame: FrameId) {
        if !self.known.insert(frame) {
            return;
        }
        self.order.push_back(frame);
        if self.order.len() > APPLIED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    fn has(&self, frame: FrameId) -> bool {
        self.known.contains(&frame)
    }

    /// All, the oldest first.
    fn all(&self) -> Vec<FrameId> {
        self.order.iter().copied().collect()
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
