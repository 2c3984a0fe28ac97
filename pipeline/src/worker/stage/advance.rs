//! What a task does with a run of one lane: plans it on the last state there is, and commits what comes of it.

use stages::{
    frame::{Alerts, Frame, Lane},
    hop::HopError,
    stage::Stage,
};
use tokio::task::{JoinError, spawn_blocking};
use tracing::{error, info};

use super::{
    super::{
        lanes::Known,
        step::{Outlet, Step, plan_each, plan_joined, plan_pieces},
    },
    End, Manner, Outcome, StageWorker,
};
use crate::{
    clock::now,
    error::Class,
    failpoint::fail_point,
    queue::{Body, Commit, Delivery, Publish, QueueError},
};

impl StageWorker {
    /// Plans a run and commits what comes of it, for as long as only the world stands in the way.
    pub(super) async fn advance(&self, run: &[Delivery], manner: Manner) -> Result<Outcome, QueueError> {
        let Some(lane) = run.first().map(|delivery| delivery.frame.lane) else {
            return Ok(Outcome::Ended(End::Settled));
        };
        let mut slots = self.shared.lock(lane).await;
        let (mut left, mut tries, mut came_again) = (run, 0, None);
        while !left.is_empty() {
            let mut known = Vec::with_capacity(slots.len());
            for (slot, stage) in slots.iter_mut().zip(self.hop.stages()) {
                known.push(self.know(stage, lane, slot.take()).await?);
            }
            known.iter_mut().zip(came_again.take()).for_each(|(known, frame)| known.remember(frame));
            let (known, step) = match self.plan(known, left, manner).await {
                Ok(planned) => planned,
                Err(reason) => return Ok(Outcome::Failed(reason)),
            };
            if let Some(created_at) = step.created_at {
                self.flow.came(created_at, now());
            }
            let (done, rest) = left.split_at(step.frames.min(left.len()));
            match self.commit(done, step).await {
                Ok(()) => {
                    slots.iter_mut().zip(known).for_each(|(slot, known)| **slot = Some(known));
                    left = rest;
                }
                Err(QueueError::Lost { .. }) => return Ok(Outcome::Ended(End::Abandoned)),
                // Another process had the lane meanwhile: its changes are loaded on the next round.
                Err(QueueError::Fenced { .. }) => {}
                Err(QueueError::Applied { frame }) => came_again = Some(frame),
                Err(error) if error.class() == Class::Dead => return Ok(Outcome::Failed(error.to_string())),
                Err(error) => self.wait_for_world(&mut tries, error).await?,
            }
        }
        Ok(Outcome::Ended(End::Settled))
    }

    /// The state of a lane, from what is `known` of it. Where a commit is no transaction nothing fences what is published: so
    /// whoever plans must know the last state, which another process may have changed.
    async fn know(&self, stage: &Stage, lane: Lane, known: Option<Known>) -> Result<Known, QueueError> {
        let since = known.as_ref().map(Known::last);
        let mut known = known.unwrap_or_else(|| Known::empty(stage));
        if known.is_stateless() || (since.is_some() && self.queues.capabilities().commits_at_once) {
            return Ok(known);
        }
        let mut tries = 0;
        let loaded = loop {
            match self.state.load(stage.name(), lane, since).await {
                Ok(loaded) => break loaded,
                Err(error) => self.wait_for_world(&mut tries, error).await?,
            }
        };
        let renewing = stage.clone();
        let renewed = spawn_blocking(move || known.renew(&renewing, loaded).map(|()| known)).await;
        let reason = match renewed {
            Ok(Ok(known)) => return Ok(known),
            Ok(Err(error)) => error.to_string(),
            Err(ended) => ended_text(ended),
        };
        Err(QueueError::State { stage: stage.name(), lane, reason })
    }

    /// Plans off the runtime's own threads. A panic costs the state in memory, which is loaded anew.
    async fn plan(
        &self,
        mut known: Vec<Known>,
        run: &[Delivery],
        manner: Manner,
    ) -> Result<(Vec<Known>, Step), String> {
        let (hop, queues) = (self.hop.clone(), self.queues.clone());
        let outlet =
            Outlet { recipients: self.recipients.clone(), frame_bytes_max: queues.frame_bytes_max() };
        let frames: Vec<Body> = run.iter().map(|delivery| delivery.frame.bytes.clone()).collect();
        let plan = move || {
            let step = match (manner, frames.first()) {
                (Manner::InPieces { attempts }, Some(first)) => {
                    let check = |entry: &Publish| queues.check(entry);
                    plan_pieces(&hop, &outlet, &mut known, (first, attempts), check)?
                }
                _ if queues.capabilities().commits_at_once => {
                    plan_joined(&hop, &outlet, &mut known, &frames)?
                }
                _ => plan_each(&hop, &outlet, &mut known, &frames)?,
            };
            Ok::<_, HopError>((known, step))
        };
        match spawn_blocking(plan).await {
            Ok(planned) => planned.map_err(|error| error.to_string()),
            Err(ended) => Err(ended_text(ended)),
        }
    }

    async fn commit(&self, done: &[Delivery], step: Step) -> Result<(), QueueError> {
        let stage = self.hop.first().name();
        for letter in &step.dead {
            let (frame, reason) = (letter.frame.id, &letter.reason);
            error!(stage, %frame, reason, "a row failed too often: it becomes a dead letter of its own");
        }
        let commit = Commit {
            receipts: done.iter().map(|delivery| delivery.receipt.clone()).collect(),
            publish: step.publish,
            deltas: step.deltas,
            counts: step.counts,
            passed: step.passed,
            dead: step.dead,
            applied: step.applied,
            repeated: step.repeated,
        };
        fail_point!("step_before");
        self.queues.commit(vec![commit]).await.into_iter().collect::<Result<(), _>>()?;
        self.trouble.is_over();
        self.forgotten.count(step.forgotten);
        step.alerts.iter().for_each(log_alerts);
        Ok(())
    }
}

/// Why a task came to no end of its own.
fn ended_text(ended: JoinError) -> String {
    ended
        .try_into_panic()
        .map_or_else(|ended| ended.to_string(), |panic| HopError::panicked(panic.as_ref()).to_string())
}

/// A line per transition: somebody may have to act on it.
fn log_alerts(frame: &Frame) {
    let Ok(alerts) = Alerts::of(frame) else { return };
    for row in 0..alerts.len() {
        let alert = alerts.get(row);
        info!(
            rule = alert.rule,
            device = alert.device_id,
            severity = alert.severity,
            value = alert.value,
            "alert {}: {}",
            alert.state,
            alert.condition
        );
    }
}
