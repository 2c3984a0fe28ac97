//! One step of a hop: from the frames of a run to what is committed for them. No IO.

use std::{
    mem,
    ops::{AddAssign, Range},
    panic::{AssertUnwindSafe, catch_unwind},
};

use stages::{
    frame::{Frame, FrameError, FrameId, Header, Kind, Micros, Source},
    hop::{self, Hop, HopError, Part},
    plan::{Counts, Delta, Port, StateError},
    stage::{LaneState, Stage},
};

use super::{
    isolate::{Isolated, isolate},
    lanes::Known,
};
use crate::{
    notify::Recipients,
    queue::{Body, DeadLetter, EncodedFrame, NumberedDelta, Publish, QueueError, QueueName, half_of},
    route,
};

/// Where what a hop makes goes.
#[derive(Debug, Clone)]
pub(super) struct Outlet {
    /// Who is told of alerts.
    pub(super) recipients: Recipients,
    /// The largest frame that the queues take, in bytes.
    pub(super) frame_bytes_max: usize,
}

/// What a few frames lead to.
#[derive(Default)]
pub(super) struct Step {
    /// How many frames of the run it deals with.
    pub(super) frames: usize,
    pub(super) publish: Vec<Publish>,
    pub(super) deltas: Vec<NumberedDelta>,
    /// Of each stage.
    pub(super) counts: Vec<(&'static str, Counts)>,
    /// Rows that went through the queue before a stage without being in it.
    pub(super) passed: Vec<(QueueName, u64)>,
    /// Rows that the memory of repeats had to forget early.
    pub(super) forgotten: u64,
    /// Rows that are given up.
    pub(super) dead: Vec<DeadLetter>,
    /// When ingest closed the oldest of the frames of readings that were planned each by itself.
    pub(super) created_at: Option<Micros>,
    /// Transitions of alerts, to be logged once they are committed.
    pub(super) alerts: Vec<Frame>,
    /// Frames that the deltas deal with, and those that were applied before, where frames are planned each by itself.
    pub(super) applied: Vec<FrameId>,
    pub(super) repeated: Vec<FrameId>,
}

impl Step {
    /// Leaves out a frame that was applied before, and counts its rows; false when it was not.
    fn leave_out(&mut self, hop: &Hop, known: &[Known], frame: &Frame) -> bool {
        let id = frame.header.id;
        if !known.first().is_some_and(|known| known.has_applied(id)) {
            return false;
        }
        let repeated = frame.rows.num_rows() as u64;
        add_to(&mut self.counts, hop.first().name(), Counts { repeated, ..Counts::default() });
        // It may be in a run twice.
        if !self.applied.contains(&id) {
            self.repeated.push(id);
        }
        true
    }

    /// Takes up what the stages of a hop make of a frame, that of `inputs` joined, but for the changes of their states. Fails
    /// also when `check` refuses what is to be published.
    fn add(
        &mut self,
        hop: &Hop,
        parts: Vec<Part>,
        outlet: &Outlet,
        inputs: &[Source<'_>],
        check: impl Fn(&Publish) -> Result<(), QueueError>,
    ) -> Result<(), HopError> {
        for (index, (stage, part)) in hop.stages().zip(parts).enumerate() {
            add_to(&mut self.counts, stage.name(), part.counts);
            if index > 0 {
                add_to(&mut self.passed, route::before(stage), part.rows);
            }
            let before = self.publish.len();
            self.publish(stage, part, outlet, inputs).map_err(|error| hop.error(stage, error.into()))?;
            let refused = self.publish.iter().skip(before).try_for_each(&check);
            refused.map_err(|error| hop.error(stage, HopError::Refused(error.to_string())))?;
        }
        Ok(())
    }

    fn publish(
        &mut self,
        stage: &Stage,
        part: Part,
        outlet: &Outlet,
        inputs: &[Source<'_>],
    ) -> Result<(), FrameError> {
        for (port, frame) in part.publish {
            let queue = route::behind(stage, port);
            // One that is too large goes on in pieces at once: the next try would come to the same.
            let pieces = EncodedFrame::fitting(&frame, inputs, outlet.frame_bytes_max, &mut half_of)?;
            self.publish.extend(pieces.into_iter().map(|frame| Publish { queue, frame }));
            if port == Port::Alerts {
                self.publish.extend(outlet.recipients.publish(&frame)?);
                self.alerts.push(frame);
            }
        }
        Ok(())
    }

    /// Takes up what a piece of the same frame led to.
    fn join(&mut self, piece: Self) {
        piece.counts.into_iter().for_each(|(stage, counts)| add_to(&mut self.counts, stage, counts));
        piece.passed.into_iter().for_each(|(queue, rows)| add_to(&mut self.passed, queue, rows));
        self.publish.extend(piece.publish);
        self.alerts.extend(piece.alerts);
    }
}

/// Adds to what the list has for `key`.
fn add_to<K: PartialEq, V: AddAssign>(list: &mut Vec<(K, V)>, key: K, more: V) {
    match list.iter_mut().find(|(known, _)| *known == key) {
        Some((_, sum)) => *sum += more,
        None => list.push((key, more)),
    }
}

/// Plans the first frames of a run of one lane, as far as they have the same columns: these are joined,
/// since one plan costs about as much for a thousand rows as for ten. A tick stands alone: what a silence
/// leads to is dated by it.
pub(super) fn plan_joined(
    hop: &Hop,
    outlet: &Outlet,
    known: &mut [Known],
    run: &[Body],
) -> Result<Step, HopError> {
    let mut frames: Vec<Frame> = Vec::with_capacity(run.len());
    for body in run {
        let frame = body.frame()?;
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
    let mut parts = hop::plan(hop, states(known), &input)?;
    let mut step = Step { frames: frames.len(), forgotten: forgotten(known), ..Step::default() };
    for ((stage, known), part) in hop.stages().zip(known).zip(&mut parts) {
        step.deltas.extend(known.number(stage, input.header.lane, mem::take(&mut part.deltas))?);
    }
    // What one of them has hardly ever is all that is sent on.
    let inputs: Option<Vec<_>> = run.iter().take(frames.len()).map(Body::source).collect();
    let inputs = inputs.unwrap_or_default();
    step.add(hop, parts, outlet, &inputs, |_| Ok(()))?;
    Ok(step)
}

/// Plans the frames of a run of one lane each by itself, where a commit is no transaction: where frames are cut then hangs on
/// nothing but the frames, so whoever gets them again makes the same of them. One that was applied before is only settled.
pub(super) fn plan_each(
    hop: &Hop,
    outlet: &Outlet,
    known: &mut [Known],
    run: &[Body],
) -> Result<Step, HopError> {
    let mut step = Step { frames: run.len(), ..Step::default() };
    for body in run {
        let frame = body.frame()?;
        let (id, lane) = (frame.header.id, frame.header.lane);
        if step.leave_out(hop, known, &frame) {
            continue;
        }
        step.applied.push(id);
        if frame.header.kind == Kind::Readings {
            let created_at = frame.header.created_at;
            step.created_at = Some(step.created_at.map_or(created_at, |oldest| oldest.min(created_at)));
        }
        let mut parts = hop::plan(hop, states(known), &frame)?;
        for ((stage, known), part) in hop.stages().zip(known.iter_mut()).zip(&mut parts) {
            step.deltas.extend(known.number_of(stage, lane, id, mem::take(&mut part.deltas))?);
        }
        let inputs: Vec<_> = body.source().into_iter().collect();
        step.add(hop, parts, outlet, &inputs, |_| Ok(()))?;
    }
    step.forgotten = forgotten(known);
    Ok(step)
}

fn states(known: &mut [Known]) -> impl Iterator<Item = &mut LaneState> {
    known.iter_mut().map(|known| &mut known.state)
}

fn forgotten(known: &mut [Known]) -> u64 {
    states(known).map(LaneState::take_forgotten).sum()
}

/// Plans a frame that fails as a whole, in halves: rows that fail even alone, at whichever stage, are given up, the others
/// go on. A piece fails also when `check` refuses what it leads to.
pub(super) fn plan_pieces(
    hop: &Hop,
    outlet: &Outlet,
    known: &mut [Known],
    (body, attempts): (&Body, u32),
    check: impl Fn(&Publish) -> Result<(), QueueError>,
) -> Result<Step, HopError> {
    let frame = body.frame()?;
    let mut step = Step { frames: 1, ..Step::default() };
    // What came of it when it was applied could not be sent until now.
    if step.leave_out(hop, known, &frame) {
        return Ok(step);
    }
    let piece = |name: &str, rows: Range<usize>| {
        let id = frame.header.id.published(hop.first().name(), 0, name, rows.start);
        let header = Header { id, ..frame.header.clone() };
        Frame { header, rows: frame.rows.slice(rows.start, rows.len()) }
    };
    let mut traces = Traces::of(hop, known)?;
    let Isolated { good, poison } = isolate(frame.rows.num_rows(), |rows| {
        traces.attempt(hop, known, &piece("piece", rows), |parts| {
            let mut step = Step::default();
            step.add(hop, parts, outlet, &[], &check).map_err(|error| error.to_string())?;
            Ok(step)
        })
    });
    step.forgotten = forgotten(known);
    step.applied.push(frame.header.id);
    good.into_iter().for_each(|piece| step.join(piece));
    for (row, reason) in poison {
        // A tick has no row that could be at fault, but can be.
        let frame = EncodedFrame::of(&piece("poison", row..(row + 1).min(frame.rows.num_rows())))?;
        step.dead.push(DeadLetter { queue: route::before(hop.first()), frame, attempts, reason });
    }
    for (stage, known) in hop.stages().zip(known) {
        step.deltas.extend(known.number_whole(stage, frame.header.lane, frame.header.id)?);
    }
    Ok(step)
}

/// The states before the first piece, and how those that succeeded changed them.
struct Traces(Vec<Trace>);

/// The state of one stage. Saving the whole state before each piece would cost as much as the state is large, for every
/// row that fails.
struct Trace {
    /// None where there is no state.
    before: Option<Vec<u8>>,
    deltas: Vec<Delta>,
}

impl Traces {
    fn of(hop: &Hop, known: &mut [Known]) -> Result<Self, StateError> {
        let traces = hop.stages().zip(states(known)).map(|(stage, state)| Trace::of(stage, state));
        Ok(Self(traces.collect::<Result<_, _>>()?))
    }

    /// Plans one piece and makes what is published of it; when that fails, the states are as they were.
    fn attempt(
        &mut self,
        hop: &Hop,
        known: &mut [Known],
        piece: &Frame,
        make: impl FnOnce(Vec<Part>) -> Result<Step, String>,
    ) -> Result<Step, String> {
        let made = catch_unwind(AssertUnwindSafe(|| {
            let mut parts = hop::plan(hop, states(known), piece).map_err(|error| error.to_string())?;
            let deltas: Vec<_> = parts.iter_mut().map(|part| mem::take(&mut part.deltas)).collect();
            Ok((make(parts)?, deltas))
        }));
        let reason = match made {
            Ok(Ok((step, deltas))) => {
                self.0.iter_mut().zip(deltas).for_each(|(trace, more)| trace.deltas.extend(more));
                return Ok(step);
            }
            Ok(Err(reason)) => reason,
            Err(panic) => HopError::panicked(panic.as_ref()).to_string(),
        };
        for ((trace, stage), state) in self.0.iter().zip(hop.stages()).zip(states(known)) {
            trace.restore(stage, state).map_err(|error| error.to_string())?;
        }
        Err(reason)
    }
}

impl Trace {
    fn of(stage: &Stage, state: &mut LaneState) -> Result<Self, StateError> {
        let before = match state {
            LaneState::Stateless => None,
            _ => Some(stage.snapshot(state)?),
        };
        Ok(Self { before, deltas: Vec::new() })
    }

    fn restore(&self, stage: &Stage, state: &mut LaneState) -> Result<(), StateError> {
        *state = stage.empty_state();
        let deltas = self.deltas.iter().map(|Delta(bytes)| bytes);
        self.before.iter().chain(deltas).try_for_each(|bytes| stage.apply(state, bytes))
    }
}
