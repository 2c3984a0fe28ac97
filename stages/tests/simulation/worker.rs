//! A worker of a stage: `pipeline/src/worker` without IO, one step at a time, so that anything may happen between two.
//!
//! On an engine with one transaction consuming, publishing and state are one step. On any other a frame is
//! planned alone; what comes of it is published, then state is saved together with the frame's id, then it is settled. Without
//! order the first two are the other way round, and what is published is what was saved.

use std::{collections::VecDeque, ops::RangeInclusive};

use rand::RngExt;
use stages::{
    frame::{self, Frame, Kind, Lane},
    hop::{self, Hop, Part},
    plan::{Counts, Delta},
    stage::{LaneState, Stage},
};

use crate::{
    chance,
    hop::{check_parts, outgoing},
    pieces::{copied, plan_pieces},
    queue::{Delivery, Outgoing},
    saved::{Change, Known},
    world::{Engine, World},
};

/// How many frames a worker takes at once, at most.
const RUN_FRAMES: usize = 8;
/// A frame that fails so often is planned in halves.
const ATTEMPTS_MAX: u32 = 3;

/// A run of frames of one lane in the hands of a process.
pub(crate) struct Job {
    pub(crate) process: usize,
    pub(crate) stage: usize,
    /// Whether the stage behind is run in the same hop.
    grouped: bool,
    /// The last frame in the queue within the hop when the job began.
    pub(crate) until: u64,
    pub(crate) lane: Lane,
    pub(crate) lease: u64,
    run: VecDeque<Delivery>,
    /// Whether the run failed together, so that each frame is planned alone.
    alone: bool,
    phase: Phase,
}

enum Phase {
    Held,
    Planned(Step),
    /// So many frames of what it leads to are published.
    Publishing(Step, usize),
    Saved(Step),
}

/// What a few frames lead to.
pub(crate) struct Step {
    pub(crate) input: Vec<Frame>,
    pub(crate) publish: Vec<(usize, Outgoing)>,
    /// The messages of rows that are given up.
    pub(crate) dead: Vec<u64>,
    /// Of each stage.
    pub(crate) parts: Vec<StepPart>,
}

/// What one stage does of a step.
pub(crate) struct StepPart {
    /// Rows that came to the stage.
    pub(crate) rows: u64,
    pub(crate) counts: Counts,
    pub(crate) change: Option<Change>,
    /// The state after it; none for a stage without.
    known: Option<Known>,
}

impl Step {
    fn changes(&self, job: &Job) -> Vec<((usize, Lane), &Change)> {
        let slots = job.stages().map(|number| (number, job.lane));
        slots.zip(&self.parts).filter_map(|(slot, part)| Some((slot, part.change.as_ref()?))).collect()
    }
}

impl Job {
    fn serials(&self, frames: usize) -> Vec<u64> {
        self.run.iter().take(frames).map(|delivery| delivery.serial).collect()
    }

    /// The stages of the hop; mostly one.
    pub(crate) fn stages(&self) -> RangeInclusive<usize> {
        self.stage..=self.stage + usize::from(self.grouped)
    }

    pub(crate) fn is_planned(&self) -> bool {
        !matches!(self.phase, Phase::Held)
    }
}

impl World<'_> {
    /// A process takes a run of frames from the queue of a stage.
    pub(crate) fn receive(&mut self, process: usize, stage: usize) {
        let Some((lease, run)) = self.queues[stage].receive(self.rng, RUN_FRAMES) else { return };
        let lane = run[0].lane;
        let grouped = self.processes[process].groups.begin_with(stage);
        let until = if grouped { self.queues[stage + 1].newest() } else { 0 };
        self.jobs.push(Job {
            process,
            stage,
            grouped,
            until,
            lane,
            lease,
            run: run.into(),
            alone: false,
            phase: Phase::Held,
        });
    }

    /// Takes a job one step on; it comes back unless it is at its end.
    pub(crate) fn advance(&mut self, mut job: Job) -> Option<Job> {
        match std::mem::replace(&mut job.phase, Phase::Held) {
            Phase::Held => self.plan(job),
            Phase::Planned(step) if self.scenario.engine == Engine::OneTransaction => self.commit(job, step),
            Phase::Planned(step) if self.saves_first(&step) => self.save_first(job, step),
            Phase::Planned(step) => {
                job.phase = Phase::Publishing(step, 0);
                Some(job)
            }
            Phase::Publishing(step, sent) => self.publish_next(job, step, sent),
            Phase::Saved(step) => {
                let frames = step.input.len();
                let settled = self.settle(&job, frames);
                self.keep(&job, step.parts);
                if settled { go_on(job, frames) } else { None }
            }
        }
    }

    fn plan(&mut self, mut job: Job) -> Option<Job> {
        let busy = |other: &Job| {
            let same = (other.process, other.lane) == (job.process, job.lane);
            same && other.stages().any(|number| job.stages().contains(&number))
        };
        if self.jobs.iter().any(|other| busy(other) && other.is_planned()) || self.waits(&job) {
            // The lane is locked: another task of the process is at work on it. Or others come first.
            return Some(job);
        }
        let hop = self.hop(&job);
        let mut known: Vec<Known> = Vec::new();
        for (number, stage) in job.stages().zip(hop.stages()) {
            let slot = (number, job.lane);
            let saved = self.saved.entry(slot).or_default();
            let mut one =
                self.processes[job.process].known.remove(&slot).unwrap_or_else(|| saved.restore(stage));
            // Nothing fences what is published. So whoever gained a lane must know its state before it plans.
            if self.scenario.engine != Engine::OneTransaction && one.number != saved.number() {
                one = saved.restore(stage);
            }
            known.push(one);
        }
        let slot = (job.stage, job.lane);
        if self.scenario.engine != Engine::OneTransaction && self.saved[&slot].has_applied(job.run[0].id) {
            self.processes[job.process].known.insert(slot, known.remove(0));
            return self.drop_repeat(job);
        }
        let joined = self.scenario.engine == Engine::OneTransaction && !job.alone && chance(self.rng, 70);
        let input = decoded(&job.run, joined);
        let poisoned = input.iter().any(|frame| self.fails(&job, frame));
        if poisoned || (self.faulty && chance(self.rng, 2)) {
            if !poisoned && self.scenario.engine != Engine::OneTransaction {
                // Some of it may be published as a whole: then it must not be planned in pieces, under other ids.
                self.queues[job.stage].lose(job.lease);
                return None;
            }
            // As a panic in the middle would leave it: nobody looks at this state again.
            let _half = hop::plan(&hop, states(&mut known), &Frame::coalesce(&input).unwrap());
            return self.failed(job, input.len());
        }
        let step = self.plan_joined(&hop, known, job.stage, input);
        job.phase = Phase::Planned(step);
        Some(job)
    }

    fn plan_joined(&mut self, hop: &Hop, mut known: Vec<Known>, number: usize, frames: Vec<Frame>) -> Step {
        let input = Frame::coalesce(&frames).unwrap();
        let alone = hop.rest().is_empty();
        let again = (alone && chance(self.rng, 15))
            .then(|| self.plan_twice(hop.first(), &known[0], number, &input))
            .flatten();
        let copies = (!alone).then(|| copied(hop, states(&mut known)));
        let parts = hop::plan(hop, states(&mut known), &input).unwrap();
        if let Some(copies) = copies {
            check_parts(hop, copies, &input, &parts);
        }
        let publish = outgoing(number, &parts);
        if let Some(again) = again {
            assert!(ids_and_bytes(&publish) == again, "a state that was read anew leads to other frames");
        }
        let stages = hop.stages().zip(known).zip(parts);
        let parts = stages.map(|((stage, known), part)| self.step_part(stage, known, part, &input)).collect();
        Step { input: frames, publish, dead: Vec::new(), parts }
    }

    fn step_part(&mut self, stage: &Stage, mut known: Known, part: Part, input: &Frame) -> StepPart {
        let Part { rows, mut deltas, counts, .. } = part;
        assert!(deltas.len() <= 1, "validate and analyze send on one frame at most");
        let Delta(delta) = deltas.pop().unwrap_or_default();
        let applied = (self.scenario.engine != Engine::OneTransaction).then_some(input.header.id);
        let change = match known.state {
            LaneState::Stateless => None,
            _ if delta.is_empty() && applied.is_none() => {
                Some(Change { number: known.number, delta, snapshot: None, applied })
            }
            _ => {
                known.number += 1;
                let snapshot = chance(self.rng, 15).then(|| stage.snapshot(&mut known.state).unwrap());
                Some(Change { number: known.number, delta, snapshot, applied })
            }
        };
        StepPart { rows, counts, known: change.is_some().then_some(known), change }
    }

    /// What two states that were read anew make of a frame, which must be the same.
    fn plan_twice(
        &self,
        stage: &Stage,
        known: &Known,
        number: usize,
        input: &Frame,
    ) -> Option<Vec<([u8; 16], Vec<u8>)>> {
        let saved =
            self.saved.get(&(number, input.header.lane)).filter(|saved| saved.number() == known.number)?;
        let hop = Hop::of(stage.clone());
        let plan = || hop::plan(&hop, [&mut saved.restore(stage).state], input).unwrap();
        let (one, other) = (plan(), plan());
        assert_eq!(one[0].deltas, other[0].deltas, "the same frame on the same state leads to another delta");
        let (one, other) = (ids_and_bytes(&outgoing(number, &one)), ids_and_bytes(&outgoing(number, &other)));
        assert!(one == other, "the same frame on the same state leads to other frames");
        Some(one)
    }

    /// Planning the first frames of the run failed.
    fn failed(&mut self, mut job: Job, frames: usize) -> Option<Job> {
        if frames > 1 {
            job.alone = true;
            return Some(job);
        }
        let Delivery { serial, attempts, lane, bytes, id, .. } = job.run[0].clone();
        if attempts + 1 < ATTEMPTS_MAX {
            self.queues[job.stage].retry(job.lease, serial);
            return None;
        }
        let hop = self.hop(&job);
        let slots = job.stages().map(|number| (number, lane));
        let known =
            slots.zip(hop.stages()).map(|(slot, stage)| self.saved.entry(slot).or_default().restore(stage));
        let (numbers, mut states): (Vec<u64>, Vec<LaneState>) =
            known.map(|known| (known.number, known.state)).unzip();
        let frame = frame::decode(&bytes).unwrap();
        let rows = frame.rows.num_rows() as u64;
        let pieces = plan_pieces(&hop, &mut states, &frame, |piece| self.fails(&job, piece));
        let applied = (self.scenario.engine != Engine::OneTransaction).then_some(id);
        let mut step =
            Step { input: vec![frame], publish: Vec::new(), dead: pieces.poison, parts: Vec::new() };
        for ((stage, number), mut state) in hop.stages().zip(numbers).zip(states) {
            let number = number + 1;
            let mut part = StepPart { rows: 0, counts: Counts::default(), change: None, known: None };
            if !matches!(state, LaneState::Stateless) {
                let snapshot = Some(stage.snapshot(&mut state).unwrap());
                part.change = Some(Change { number, delta: Vec::new(), snapshot, applied });
                part.known = Some(Known { number, state });
            }
            step.parts.push(part);
        }
        for parts in &pieces.good {
            for (sum, part) in step.parts.iter_mut().zip(parts) {
                sum.rows += part.rows;
                sum.counts += part.counts;
            }
            step.publish.extend(outgoing(job.stage, parts));
        }
        // Those that are given up, too.
        step.parts[0].rows = rows;
        job.phase = Phase::Planned(step);
        Some(job)
    }

    /// Consumes, publishes and saves at once, or nothing of it.
    fn commit(&mut self, job: Job, mut step: Step) -> Option<Job> {
        let serials = job.serials(step.input.len());
        if !self.queues[job.stage].holds(job.lease, &serials) {
            return None;
        }
        let changes = step.changes(&job);
        if !changes.iter().all(|(slot, change)| self.saved.entry(*slot).or_default().fits(change)) {
            // Another process had the lane meanwhile: its changes are loaded on the next round.
            return Some(job);
        }
        for (slot, change) in changes {
            self.saved.entry(slot).or_default().take(change).expect("looked at above");
        }
        self.queues[job.stage].done(job.lease, &serials).expect("looked at above");
        for (queue, frame) in std::mem::take(&mut step.publish) {
            self.publish(queue, frame);
        }
        self.enter(job.stage, &step);
        let frames = step.input.len();
        self.keep(&job, step.parts);
        go_on(job, frames)
    }

    fn saves_first(&self, step: &Step) -> bool {
        self.scenario.engine == Engine::NoOrder && step.parts[0].change.is_some()
    }

    /// Saves what changed, and what is to be published beside it.
    fn save_first(&mut self, mut job: Job, step: Step) -> Option<Job> {
        let saved = self.saved.entry((job.stage, job.lane)).or_default();
        let change = step.parts[0].change.as_ref();
        if change.is_some_and(|change| saved.take(change).is_err()) {
            return Some(job);
        }
        saved.outbox.insert(job.run[0].id, step.publish.clone());
        self.enter(job.stage, &step);
        job.phase = Phase::Publishing(step, 0);
        Some(job)
    }

    fn publish_next(&mut self, mut job: Job, step: Step, sent: usize) -> Option<Job> {
        let some = sent + self.rng.random_range(1..=3);
        for (queue, frame) in step.publish.iter().take(some).skip(sent) {
            self.publish(*queue, frame.clone());
        }
        if some < step.publish.len() {
            job.phase = Phase::Publishing(step, some);
            return Some(job);
        }
        if self.saves_first(&step) {
            job.phase = Phase::Saved(step);
            return Some(job);
        }
        let Some(change) = &step.parts[0].change else {
            // Without state there is nothing to save: who settles it has done it.
            if !self.settle(&job, step.input.len()) {
                return None;
            }
            self.enter(job.stage, &step);
            return go_on(job, step.input.len());
        };
        let saved = self.saved.entry((job.stage, job.lane)).or_default();
        if saved.take(change).is_err() {
            return Some(job);
        }
        self.enter(job.stage, &step);
        job.phase = Phase::Saved(step);
        Some(job)
    }

    /// The frame was applied before: it is settled, after what was saved of it is published.
    fn drop_repeat(&mut self, job: Job) -> Option<Job> {
        let outbox = self.saved[&(job.stage, job.lane)].outbox.get(&job.run[0].id).cloned();
        outbox.into_iter().flatten().for_each(|(queue, frame)| self.publish(queue, frame));
        let rows = frame::decode(&job.run[0].bytes).unwrap().rows.num_rows() as u64;
        if !self.settle(&job, 1) {
            return None;
        }
        self.books[job.stage].add(rows, Counts { repeated: rows, ..Counts::default() }, 0);
        go_on(job, 1)
    }

    fn settle(&mut self, job: &Job, frames: usize) -> bool {
        self.queues[job.stage].done(job.lease, &job.serials(frames)).is_ok()
    }

    fn keep(&mut self, job: &Job, parts: Vec<StepPart>) {
        for (number, part) in job.stages().zip(parts) {
            if let Some(known) = part.known {
                self.processes[job.process].known.insert((number, job.lane), known);
            }
        }
    }
}

fn states(known: &mut [Known]) -> impl Iterator<Item = &mut LaneState> {
    known.iter_mut().map(|known| &mut known.state)
}

/// What is left of the run once its first frames are settled.
fn go_on(mut job: Job, frames: usize) -> Option<Job> {
    job.run.drain(..frames);
    (!job.run.is_empty()).then_some(job)
}

/// The first frame of a run, or the first ones that have the same columns; a tick stands alone.
fn decoded(run: &VecDeque<Delivery>, joined: bool) -> Vec<Frame> {
    let mut frames: Vec<Frame> = Vec::new();
    for delivery in run {
        let frame = frame::decode(&delivery.bytes).unwrap();
        let alike = |first: &Frame| {
            let kind = frame.header.kind;
            joined
                && kind != Kind::Tick
                && first.header.kind == kind
                && first.rows.schema() == frame.rows.schema()
        };
        if !frames.first().is_none_or(alike) {
            break;
        }
        frames.push(frame);
    }
    frames
}

fn ids_and_bytes(publish: &[(usize, Outgoing)]) -> Vec<([u8; 16], Vec<u8>)> {
    publish.iter().map(|(_, frame)| (frame.id.0, frame.bytes.to_vec())).collect()
}
