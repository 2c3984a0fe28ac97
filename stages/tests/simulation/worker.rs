//! A worker of a stage: `pipeline/src/worker` without IO, one step at a time, so that anything may happen between two.
//!
//! On an engine with one transaction consuming, publishing and state are one step. On any other a frame is
//! planned alone; what comes of it is published, then state is saved together with the frame's id, then it is settled.

use std::collections::VecDeque;

use rand::RngExt;
use stages::{
    frame::{self, Frame, Kind, Lane},
    plan::{Counts, Plan, Port},
    stage::{self, LaneState, Stage},
};

use crate::{
    chance,
    pieces::plan_pieces,
    queue::{Delivery, Outgoing},
    saved::{Change, Known},
    topology::{ALERT, STORE},
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
    pub(crate) counts: Counts,
    /// The messages of rows that are given up.
    pub(crate) dead: Vec<u64>,
    pub(crate) change: Option<Change>,
    /// The state after it; none for a stage without.
    known: Option<Known>,
}

impl Job {
    fn serials(&self, frames: usize) -> Vec<u64> {
        self.run.iter().take(frames).map(|delivery| delivery.serial).collect()
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
        self.jobs.push(Job {
            process,
            stage,
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
            Phase::Planned(step) => {
                job.phase = Phase::Publishing(step, 0);
                Some(job)
            }
            Phase::Publishing(step, sent) => self.publish_next(job, step, sent),
            Phase::Saved(step) => {
                let frames = step.input.len();
                let settled = self.settle(&job, frames);
                self.keep(&job, step.known);
                if settled { go_on(job, frames) } else { None }
            }
        }
    }

    fn plan(&mut self, mut job: Job) -> Option<Job> {
        let slot = (job.stage, job.lane);
        let busy = |other: &Job| (other.process, other.stage, other.lane) == (job.process, slot.0, slot.1);
        if self.jobs.iter().any(|other| busy(other) && other.is_planned()) {
            // The lane is locked: another task of the process is at work on it.
            return Some(job);
        }
        let stage = self.stage(job.process, job.stage);
        let saved = self.saved.entry(slot).or_default();
        let mut known =
            self.processes[job.process].known.remove(&slot).unwrap_or_else(|| saved.restore(stage));
        if self.scenario.engine != Engine::OneTransaction {
            // Nothing fences what is published. So whoever gained a lane must know its state before it plans.
            if known.number != saved.number() {
                known = saved.restore(stage);
            }
            if saved.has_applied(job.run[0].id) {
                self.processes[job.process].known.insert(slot, known);
                return self.drop_repeat(job);
            }
        }
        let joined = self.scenario.engine == Engine::OneTransaction && !job.alone && chance(self.rng, 70);
        let input = decoded(&job.run, joined);
        let poisoned = input.iter().any(|frame| self.is_poisoned(job.stage, frame));
        if poisoned || (self.faulty && chance(self.rng, 2)) {
            if !poisoned && self.scenario.engine != Engine::OneTransaction {
                // Some of it may be published as a whole: then it must not be planned in pieces, under other ids.
                self.queues[job.stage].lose(job.lease);
                return None;
            }
            // As a panic in the middle would leave it: nobody looks at this state again.
            let _half = stage::plan(stage, &mut known.state, &Frame::coalesce(&input).unwrap());
            return self.failed(job, input.len());
        }
        let step = self.plan_joined(stage, known, job.stage, input);
        job.phase = Phase::Planned(step);
        Some(job)
    }

    fn plan_joined(&mut self, stage: &Stage, mut known: Known, number: usize, frames: Vec<Frame>) -> Step {
        let input = Frame::coalesce(&frames).unwrap();
        let again = chance(self.rng, 15).then(|| self.plan_twice(stage, &known, number, &input)).flatten();
        let plan = stage::plan(stage, &mut known.state, &input).unwrap();
        let (publish, delta) = (outgoing(number, &plan), plan.delta.0);
        if let Some(again) = again {
            assert!(ids_and_bytes(&publish) == again, "a state that was read anew leads to other frames");
        }
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
        Step {
            input: frames,
            publish,
            counts: plan.counts,
            dead: Vec::new(),
            known: change.is_some().then_some(known),
            change,
        }
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
        let plan = || stage::plan(stage, &mut saved.restore(stage).state, input).unwrap();
        let (one, other) = (plan(), plan());
        assert_eq!(one.delta, other.delta, "the same frame on the same state leads to another delta");
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
        let stage = self.stage(job.process, job.stage);
        let mut known = self.saved.entry((job.stage, lane)).or_default().restore(stage);
        let frame = frame::decode(&bytes).unwrap();
        let fails = |piece: &Frame| self.is_poisoned(job.stage, piece);
        let pieces = plan_pieces(stage, &mut known.state, &frame, fails);
        let applied = (self.scenario.engine != Engine::OneTransaction).then_some(id);
        let mut step = Step {
            input: vec![frame],
            publish: Vec::new(),
            counts: Counts::default(),
            dead: pieces.poison,
            change: None,
            known: None,
        };
        for plan in &pieces.good {
            step.counts += plan.counts;
            step.publish.extend(outgoing(job.stage, plan));
        }
        if !matches!(known.state, LaneState::Stateless) {
            known.number += 1;
            let snapshot = Some(stage.snapshot(&mut known.state).unwrap());
            step.change = Some(Change { number: known.number, delta: Vec::new(), snapshot, applied });
            step.known = Some(known);
        }
        job.phase = Phase::Planned(step);
        Some(job)
    }

    /// Consumes, publishes and saves at once, or nothing of it.
    fn commit(&mut self, job: Job, mut step: Step) -> Option<Job> {
        let serials = job.serials(step.input.len());
        if !self.queues[job.stage].holds(job.lease, &serials) {
            return None;
        }
        if let Some(change) = &step.change {
            let saved = self.saved.entry((job.stage, job.lane)).or_default();
            if saved.take(change).is_err() {
                // Another process had the lane meanwhile: its changes are loaded on the next round.
                return Some(job);
            }
        }
        self.queues[job.stage].done(job.lease, &serials).expect("looked at above");
        for (queue, frame) in std::mem::take(&mut step.publish) {
            self.publish(queue, frame);
        }
        self.enter(job.stage, &step);
        let frames = step.input.len();
        self.keep(&job, step.known);
        go_on(job, frames)
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
        let Some(change) = &step.change else {
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

    /// The frame was applied before: it is settled, and nothing else.
    fn drop_repeat(&mut self, job: Job) -> Option<Job> {
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

    fn keep(&mut self, job: &Job, known: Option<Known>) {
        if let Some(known) = known {
            self.processes[job.process].known.insert((job.stage, job.lane), known);
        }
    }
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

/// Where each frame goes, as `pipeline/src/route.rs` says it, and as bytes.
fn outgoing(stage: usize, plan: &Plan) -> Vec<(usize, Outgoing)> {
    let queue = |port: Port| match port {
        Port::Next if stage < ALERT => stage + 1,
        _ => STORE,
    };
    let frame = |frame: &Frame| Outgoing {
        lane: frame.header.lane,
        id: frame.header.id,
        bytes: frame::encode(frame).unwrap().into(),
        oldest: crate::rows::oldest(frame),
    };
    plan.publish.iter().map(|(port, out)| (queue(*port), frame(out))).collect()
}

fn ids_and_bytes(publish: &[(usize, Outgoing)]) -> Vec<([u8; 16], Vec<u8>)> {
    publish.iter().map(|(_, frame)| (frame.id.0, frame.bytes.to_vec())).collect()
}
