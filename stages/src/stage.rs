//! The stages between two queues, behind one function that every shell calls: the worker loop, a
//! Lambda handler, a simulated test.

use std::sync::Arc;

use crate::{
    alert::{self, Alert, AlertState},
    analyze::{self, Analyze, AnalyzeState},
    frame::Frame,
    plan::{Plan, PlanError, StateError},
    transform::{self, Transform},
    validate::{self, Validate},
};

/// A stage between two queues, ready to plan.
#[derive(Debug, Clone)]
pub enum Stage {
    /// Checks messages against their JSON Schema.
    Validate(Arc<Validate>),
    /// Turns messages into readings.
    Transform(Arc<Transform>),
    /// Drops repeats, marks late rows, scores, sums up in windows.
    Analyze(Arc<Analyze>),
    /// Runs rules.
    Alert(Arc<Alert>),
}

/// What a stage remembers of one lane.
#[derive(Debug)]
pub enum LaneState {
    /// Nothing: each frame stands alone.
    Stateless,
    /// Of analyze.
    Analyze(AnalyzeState),
    /// Of alert.
    Alert(AlertState),
}

/// Decides what one delivery leads to. Pure: the same frame on the same state gives the same plan,
/// today and after a crash.
///
/// # Errors
/// When the frame is not of the kind that the stage reads, or the state is another stage's; trying
/// again would end the same. `state` is then as good as lost and must be loaded anew.
pub fn plan(stage: &Stage, state: &mut LaneState, frame: &Frame) -> Result<Plan, PlanError> {
    match (stage, state) {
        (Stage::Validate(validate), LaneState::Stateless) => Ok(validate.plan(frame)?),
        (Stage::Transform(transform), LaneState::Stateless) => Ok(transform.plan(frame)?),
        (Stage::Analyze(analyze), LaneState::Analyze(state)) => analyze.plan(state, frame),
        (Stage::Alert(alert), LaneState::Alert(state)) => alert.plan(state, frame),
        _ => Err(StateError::foreign(stage.name()).into()),
    }
}

impl LaneState {
    /// How many rows the memory of repeats had to forget early, for want of room, since the last time.
    pub fn take_forgotten(&mut self) -> u64 {
        match self {
            Self::Analyze(state) => state.take_forgotten(),
            Self::Stateless | Self::Alert(_) => 0,
        }
    }
}

impl Stage {
    /// The name in ids, books, logs and queues.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Validate(_) => validate::STAGE,
            Self::Transform(_) => transform::STAGE,
            Self::Analyze(_) => analyze::STAGE,
            Self::Alert(_) => alert::STAGE,
        }
    }

    /// What the stage remembers of a lane that it has seen nothing of.
    pub fn empty_state(&self) -> LaneState {
        match self {
            Self::Validate(_) | Self::Transform(_) => LaneState::Stateless,
            Self::Analyze(_) => LaneState::Analyze(AnalyzeState::default()),
            Self::Alert(_) => LaneState::Alert(AlertState::default()),
        }
    }

    /// Takes over what a snapshot or a [`Delta`](crate::plan::Delta) says.
    ///
    /// # Errors
    /// When the bytes are none that this stage wrote.
    pub fn apply(&self, state: &mut LaneState, bytes: &[u8]) -> Result<(), StateError> {
        match (self, state) {
            (Self::Analyze(analyze), LaneState::Analyze(state)) => analyze.apply(state, bytes),
            (Self::Alert(alert), LaneState::Alert(state)) => alert.apply(state, bytes),
            _ => Err(StateError::foreign(self.name())),
        }
    }

    /// Everything that `state` remembers, for [`Stage::apply`] on an empty one.
    ///
    /// # Errors
    /// When the state is another stage's, or there is none.
    pub fn snapshot(&self, state: &mut LaneState) -> Result<Vec<u8>, StateError> {
        match (self, state) {
            (Self::Analyze(analyze), LaneState::Analyze(state)) => analyze.snapshot(state),
            (Self::Alert(alert), LaneState::Alert(state)) => alert.snapshot(state),
            _ => Err(StateError::foreign(self.name())),
        }
    }
}
