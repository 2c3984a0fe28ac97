//! Stages as the tasks of a process share them, alone and in a hop.

use std::{iter, sync::Arc};

use stages::{frame::Lane, hop::Hop, stage::Stage};
use tokio::sync::{OwnedMutexGuard, watch};

use super::lanes::{Known, Lanes};
use crate::{queue::QueueName, route};

/// A stage of a process: what is in force of it, and what is known of its lanes. A hop and a worker of the stage alone
/// share both.
#[derive(Clone)]
pub struct SharedStage {
    latest: watch::Receiver<Stage>,
    lanes: Arc<Lanes>,
}

impl SharedStage {
    /// A stage that is always the one in `latest`, which must stay of the same kind.
    pub fn new(latest: watch::Receiver<Stage>) -> Self {
        Self { latest, lanes: Arc::default() }
    }

    fn in_force(&self) -> Stage {
        self.latest.borrow().clone()
    }
}

/// Stages that a worker runs as one hop; mostly one.
#[derive(Clone)]
pub struct SharedHop {
    first: SharedStage,
    rest: Vec<SharedStage>,
}

impl SharedHop {
    /// A stage by itself.
    pub fn of(stage: SharedStage) -> Self {
        Self { first: stage, rest: Vec::new() }
    }

    /// The same with one more stage behind the last one.
    #[must_use]
    pub fn then(mut self, stage: SharedStage) -> Self {
        self.rest.push(stage);
        self
    }

    /// The queue that the hop reads.
    pub fn queue(&self) -> QueueName {
        route::before(&self.first.latest.borrow())
    }

    /// The stages as they are in force now.
    pub(super) fn in_force(&self) -> Hop {
        self.rest.iter().fold(Hop::of(self.first.in_force()), |hop, stage| hop.then(stage.in_force()))
    }

    /// The lane of each stage, for one task alone; empty where its state must be loaded. All take them in this order.
    pub(super) async fn lock(&self, lane: Lane) -> Vec<OwnedMutexGuard<Option<Known>>> {
        let mut slots = Vec::with_capacity(1 + self.rest.len());
        for stage in iter::once(&self.first).chain(&self.rest) {
            slots.push(stage.lanes.lock(lane).await);
        }
        slots
    }
}
