//! One step of a stage: from the frames of a run to what is committed for them. No IO.

use bytes::Bytes;
use stages::{
    frame::{self, Frame},
    plan::{Counts, PlanError, Port},
    stage::{self, Stage},
};

use super::lanes::Known;
use crate::{
    queue::{EncodedFrame, NumberedDelta, Publish},
    topology,
};

/// What a few frames, joined into one, lead to.
pub(super) struct Step {
    /// How many frames of the run it deals with.
    pub(super) frames: usize,
    pub(super) publish: Vec<Publish>,
    pub(super) delta: Option<NumberedDelta>,
    pub(super) counts: Counts,
    /// Transitions of alerts, to be logged once they are committed.
    pub(super) alerts: Vec<Frame>,
}

/// Plans a run of encoded frames of one lane, in order. Frames with the same columns are joined: one
/// plan costs about as much for a thousand rows as for ten.
pub(super) fn plan_run(stage: &Stage, known: &mut Known, run: &[Bytes]) -> Result<Vec<Step>, PlanError> {
    let frames = run.iter().map(|bytes| frame::decode(bytes)).collect::<Result<Vec<_>, _>>()?;
    let alike = |a: &Frame, b: &Frame| a.header.kind == b.header.kind && a.rows.schema() == b.rows.schema();
    frames.chunk_by(alike).map(|alike| plan_joined(stage, known, alike)).collect()
}

fn plan_joined(stage: &Stage, known: &mut Known, frames: &[Frame]) -> Result<Step, PlanError> {
    let input = Frame::coalesce(frames)?;
    let plan = stage::plan(stage, &mut known.state, &input)?;
    let mut step = Step {
        frames: frames.len(),
        publish: Vec::new(),
        delta: None,
        counts: plan.counts,
        alerts: Vec::new(),
    };
    for (port, frame) in plan.publish {
        let queue = topology::behind(stage, port);
        step.publish.push(Publish { queue, frame: EncodedFrame::of(&frame)? });
        if port == Port::Alerts {
            step.alerts.push(frame);
        }
    }
    let delta = plan.delta.0;
    if !delta.is_empty() {
        let (number, snapshot) = known.advance(stage, &delta)?;
        let (stage, lane) = (stage.name(), input.header.lane);
        step.delta = Some(NumberedDelta { stage, lane, number, bytes: delta, snapshot });
    }
    Ok(step)
}
