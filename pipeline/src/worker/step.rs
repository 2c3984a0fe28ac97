//! One step of a stage: from the frames of a run to what is committed for them. No IO.

use std::{
    mem,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
};

use bytes::Bytes;
use stages::{
    frame::{self, Frame, FrameError, Header, Kind, Lane},
    plan::{Counts, Plan, PlanError, Port, StateError},
    stage::{self, LaneState, Stage},
};

use super::{
    isolate::{Isolated, isolate},
    lanes::Known,
};
use crate::{
    notify::Recipients,
    queue::{DeadLetter, EncodedFrame, NumberedDelta, Publish, QueueError},
    route,
};

/// What a few frames lead to.
#[derive(Default)]
pub(super) struct Step {
    /// How many frames of the run it deals with.
    pub(super) frames: usize,
    pub(super) publish: Vec<Publish>,
    pub(super) delta: Option<NumberedDelta>,
    pub(super) counts: Counts,
    /// Rows that the memory of repeats had to forget early.
    pub(super) forgotten: u64,
    /// Rows that are given up.
    pub(super) dead: Vec<DeadLetter>,
    /// Transitions of alerts, to be logged once they are committed.
    pub(super) alerts: Vec<Frame>,
}

impl Step {
    fn add(&mut self, stage: &Stage, plan: Plan, recipients: &Recipients) -> Result<(), FrameError> {
        self.counts += plan.counts;
        for (port, frame) in plan.publish {
            let queue = route::behind(stage, port);
            self.publish.push(Publish { queue, frame: EncodedFrame::of(&frame)? });
            if port == Port::Alerts {
                self.publish.extend(recipients.publish(&frame)?);
                self.alerts.push(frame);
            }
        }
        Ok(())
    }
}

/// Plans the first frames of a run of one lane, as far as they have the same columns: these are joined,
/// since one plan costs about as much for a thousand rows as for ten. A tick stands alone: what a silence
/// leads to is dated by it.
pub(super) fn plan_joined(
    stage: &Stage,
    recipients: &Recipients,
    known: &mut Known,
    run: &[Bytes],
) -> Result<Step, PlanError> {
    let mut frames: Vec<Frame> = Vec::with_capacity(run.len());
    for bytes in run {
        let frame = frame::decode(bytes)?;
        let alike = |first: &Frame| {
            let kind = frame.header.kind;
            kind != Kind::Tick && first.header.kind == kind && first.rows.schema() == frame.rows.schema()
        };
        if !frames.first().is_none_or(alike) {
            break;
        }
        frames.push(frame);
    }
    let input = Frame::coalesce(&frames)?;
    let mut plan = stage::plan(stage, &mut known.state, &input)?;
    let bytes = mem::take(&mut plan.delta.0);
    let forgotten = known.state.take_forgotten();
    let mut step = Step { frames: frames.len(), forgotten, ..Step::default() };
    step.add(stage, plan, recipients)?;
    step.delta = match known.state {
        LaneState::Stateless => None,
        // Nothing changed, as far as this state goes: the number tells whether it is still the last.
        _ if bytes.is_empty() => Some(numbered(stage, input.header.lane, known.number, bytes, None)),
        _ => {
            let (number, snapshot) = known.advance(stage, bytes.len())?;
            Some(numbered(stage, input.header.lane, number, bytes, snapshot))
        }
    };
    Ok(step)
}

/// Plans a frame that fails as a whole, in halves: rows that fail even alone are given up, the others
/// go on. A piece fails also when `check` refuses what it leads to.
pub(super) fn plan_pieces(
    stage: &Stage,
    recipients: &Recipients,
    known: &mut Known,
    (bytes, attempts): (&Bytes, u32),
    check: impl Fn(&Publish) -> Result<(), QueueError>,
) -> Result<Step, PlanError> {
    let frame = frame::decode(bytes)?;
    let piece = |name: &str, rows: Range<usize>| {
        let id = frame.header.id.published(stage.name(), 0, name, rows.start);
        let header = Header { id, ..frame.header.clone() };
        Frame { header, rows: frame.rows.slice(rows.start, rows.len()) }
    };
    let mut trace = Trace::of(stage, &mut known.state)?;
    let Isolated { good, poison } = isolate(frame.rows.num_rows(), |rows| {
        trace.attempt(stage, &mut known.state, &piece("piece", rows), |plan| {
            let mut step = Step::default();
            step.add(stage, plan, recipients).map_err(|error| error.to_string())?;
            step.publish.iter().try_for_each(&check).map_err(|error| error.to_string())?;
            Ok(step)
        })
    });
    let forgotten = known.state.take_forgotten();
    let mut step = Step { frames: 1, forgotten, ..Step::default() };
    for piece in good {
        step.counts += piece.counts;
        step.publish.extend(piece.publish);
        step.alerts.extend(piece.alerts);
    }
    for (row, reason) in poison {
        // A tick has no row that could be at fault, but can be.
        let frame = EncodedFrame::of(&piece("poison", row..(row + 1).min(frame.rows.num_rows())))?;
        step.dead.push(DeadLetter { queue: route::before(stage), frame, attempts, reason });
    }
    if !matches!(known.state, LaneState::Stateless) {
        let (number, snapshot) = known.replace(stage)?;
        step.delta = Some(numbered(stage, frame.header.lane, number, Vec::new(), Some(snapshot)));
    }
    Ok(step)
}

/// The state before the first piece, and how those that succeeded changed it. Saving the whole state before each would cost
/// as much as the state is large, for every row that fails.
struct Trace {
    /// None where there is no state.
    before: Option<Vec<u8>>,
    deltas: Vec<Vec<u8>>,
}

impl Trace {
    fn of(stage: &Stage, state: &mut LaneState) -> Result<Self, StateError> {
        let before = match state {
            LaneState::Stateless => None,
            _ => Some(stage.snapshot(state)?),
        };
        Ok(Self { before, deltas: Vec::new() })
    }

    /// Plans one piece and makes what is published of it; when that fails, the state is as it was.
    fn attempt(
        &mut self,
        stage: &Stage,
        state: &mut LaneState,
        piece: &Frame,
        make: impl FnOnce(Plan) -> Result<Step, String>,
    ) -> Result<Step, String> {
        let made = catch_unwind(AssertUnwindSafe(|| {
            let mut plan = stage::plan(stage, state, piece).map_err(|error| error.to_string())?;
            let delta = mem::take(&mut plan.delta.0);
            Ok((make(plan)?, delta))
        }));
        let reason = match made {
            Ok(Ok((step, delta))) => {
                self.deltas.push(delta);
                return Ok(step);
            }
            Ok(Err(reason)) => reason,
            Err(panic) => panic_text(panic.as_ref()),
        };
        self.restore(stage, state).map_err(|error| error.to_string())?;
        Err(reason)
    }

    fn restore(&self, stage: &Stage, state: &mut LaneState) -> Result<(), StateError> {
        *state = stage.empty_state();
        let deltas = self.deltas.iter().filter(|delta| !delta.is_empty());
        self.before.iter().chain(deltas).try_for_each(|bytes| stage.apply(state, bytes))
    }
}

fn numbered(
    stage: &Stage,
    lane: Lane,
    number: u64,
    bytes: Vec<u8>,
    snapshot: Option<Vec<u8>>,
) -> NumberedDelta {
    NumberedDelta { stage: stage.name(), lane, number, bytes, snapshot }
}

/// What a panic said.
pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let said = panic.downcast_ref::<&str>().copied();
    let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panic: {}", said.unwrap_or("without words"))
}
