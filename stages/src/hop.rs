//! Adjacent stages as one hop: what one stage makes for the next goes straight to it, without a queue between them.
//!
//! Each stage plans what it would plan by itself, on its own state, and frames have the ids that they would have in the
//! queue. What is left out is the queue: encoding, one commit and decoding.

#[cfg(test)]
mod tests;

use std::{
    any::Any,
    iter, mem,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::{
    frame::{Frame, FrameError},
    plan::{Counts, Delta, Plan, PlanError, Port, StateError},
    stage::{self, LaneState, Stage},
};

/// Stages that are run one after the other on each frame; mostly one alone.
#[derive(Debug, Clone)]
pub struct Hop {
    first: Stage,
    rest: Vec<Stage>,
}

impl Hop {
    /// A stage by itself.
    pub fn of(stage: Stage) -> Self {
        Self { first: stage, rest: Vec::new() }
    }

    /// The same with one more stage, which reads what the last one so far sends on.
    #[must_use]
    pub fn then(mut self, stage: Stage) -> Self {
        self.rest.push(stage);
        self
    }

    /// The stage that is given frames from outside.
    pub fn first(&self) -> &Stage {
        &self.first
    }

    /// The stages behind it, in order.
    pub fn rest(&self) -> &[Stage] {
        &self.rest
    }

    /// All stages, in order.
    pub fn stages(&self) -> impl Iterator<Item = &Stage> {
        iter::once(&self.first).chain(&self.rest)
    }

    /// The error of `stage`, which is named where it is one of several.
    pub fn error(&self, stage: &Stage, error: HopError) -> HopError {
        if self.rest.is_empty() {
            return error;
        }
        HopError::Within { stage: stage.name(), error: Box::new(error) }
    }
}

/// What one stage of a hop makes of a frame.
#[derive(Debug, Default, PartialEq)]
pub struct Part {
    /// Rows that came to the stage.
    pub rows: u64,
    /// The frames that leave the hop, and where each goes.
    pub publish: Vec<(Port, Frame)>,
    /// What changed in the lane's state, in order; none is empty.
    pub deltas: Vec<Delta>,
    /// The books of the stage.
    pub counts: Counts,
}

/// Why a frame led to no plan. Another try on the same states would end the same.
#[derive(Debug, thiserror::Error)]
pub enum HopError {
    /// A frame or a state is not what the stage reads.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The stage has a bug.
    #[error("panic: {0}")]
    Panic(String),
    /// What the stage made cannot be published.
    #[error("{0}")]
    Refused(String),
    /// One of several stages failed.
    #[error("{stage}: {error}")]
    Within {
        /// Which one.
        stage: &'static str,
        /// Of what.
        error: Box<Self>,
    },
}

impl HopError {
    /// Of a panic that was caught.
    pub fn panicked(panic: &(dyn Any + Send)) -> Self {
        let said = panic.downcast_ref::<&str>().copied();
        let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Self::Panic(said.unwrap_or("without words").to_owned())
    }
}

impl From<FrameError> for HopError {
    fn from(error: FrameError) -> Self {
        Self::Plan(error.into())
    }
}

impl From<StateError> for HopError {
    fn from(error: StateError) -> Self {
        Self::Plan(error.into())
    }
}

/// Decides what one delivery leads to: a part for each stage, in order. `states` has the state of each, of the frame's
/// lane. Pure, as [`stage::plan`] is.
///
/// # Errors
/// When one of the stages fails, or sends on into another lane than that of `states`; these are then as good as lost and
/// must be loaded anew.
pub fn plan<'s>(
    hop: &Hop,
    states: impl IntoIterator<Item = &'s mut LaneState>,
    frame: &Frame,
) -> Result<Vec<Part>, HopError> {
    let mut parts = Vec::with_capacity(1 + hop.rest.len());
    let mut states = states.into_iter();
    let mut inputs = vec![frame.clone()];
    for (index, stage) in hop.stages().enumerate() {
        let is_last = index == hop.rest.len();
        let state = states.next().ok_or_else(|| StateError::missing(stage.name()))?;
        let mut part = Part::default();
        for input in mem::take(&mut inputs) {
            if input.header.lane != frame.header.lane && !matches!(state, LaneState::Stateless) {
                return Err(hop.error(stage, StateError::other_lane(stage.name()).into()));
            }
            let Plan { publish, delta, counts } =
                attempt(stage, state, &input).map_err(|error| hop.error(stage, error))?;
            part.rows += input.rows.num_rows() as u64;
            part.counts += counts;
            part.deltas.extend((!delta.0.is_empty()).then_some(delta));
            for (port, frame) in publish {
                match port {
                    Port::Next if !is_last => inputs.push(frame),
                    _ => part.publish.push((port, frame)),
                }
            }
        }
        parts.push(part);
    }
    Ok(parts)
}

/// Plans one frame. A panic is caught here, where it is known which stage it is of.
fn attempt(stage: &Stage, state: &mut LaneState, frame: &Frame) -> Result<Plan, HopError> {
    match catch_unwind(AssertUnwindSafe(|| stage::plan(stage, state, frame))) {
        Ok(planned) => Ok(planned?),
        Err(panic) => Err(HopError::panicked(panic.as_ref())),
    }
}
