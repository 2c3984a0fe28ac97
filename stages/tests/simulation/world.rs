//! Everything that a run consists of, and what happens in it, one thing after the other.

use std::collections::{BTreeMap, VecDeque};

use rand::RngExt;
use stages::{
    frame::{self, Frame, Kind, Lane, Micros},
    plan::Counts,
    stage::Stage,
    store::Granularity,
};

use crate::{
    Rng, chance,
    hop::Groups,
    ingest::{Ingest, Taken},
    input::Input,
    queue::{Outgoing, Queue},
    rows::{messages_of, readings_of},
    saved::{Known, Saved},
    store::{Lake, StoreJob},
    topology::{self, ALERT, ANALYZE, Memory, STORE, TRANSFORM, VALIDATE, Version},
    worker::{Job, Step},
};

const PROCESSES: usize = 2;
/// The instants of ticks are apart by this.
const TICK: Micros = 5_000_000;
const DAY: Micros = 86_400_000_000;
/// So many frames may be published once more.
const HISTORY: usize = 8;

/// What kind of engine the queues are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    /// Consuming, publishing, state and books are one transaction.
    OneTransaction,
    /// A frame is published, then state is saved, then it is settled.
    ThreeSteps {
        /// Whether the queues drop a frame that was published before.
        dedupes: bool,
    },
    /// No queue has an order or drops anything: state is saved with what is to be published, then that is published, then the
    /// frame is settled.
    NoOrder,
}

/// What a seed has drawn.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) engine: Engine,
    pub(crate) lanes: u16,
    pub(crate) memory: Memory,
    pub(crate) granularity: Granularity,
    /// What processes go over to, now and then or, where it is lenient, before the input of this number.
    pub(crate) change: Option<(Version, usize)>,
    /// Whether processes run stages as one hop, now and then.
    pub(crate) groups: bool,
    /// Whether the frames of a lane may overtake each other: in the queue of validate, or wherever there is no order.
    pub(crate) overtakes: bool,
    pub(crate) inputs: Vec<Input>,
}

/// What the memory of a process holds.
pub(crate) struct Process {
    pub(crate) known: BTreeMap<(usize, Lane), Known>,
    pub(crate) groups: Groups,
    version: Version,
}

/// What became of the rows that a stage was given.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) rows: u64,
    pub(crate) counts: Counts,
    pub(crate) dead: u64,
}

impl Book {
    pub(crate) fn add(&mut self, rows: u64, counts: Counts, dead: usize) {
        let Counts { consumed, quarantined, repeated, filtered, .. } = counts;
        assert_eq!(rows, consumed + quarantined + repeated + filtered + dead as u64, "{counts:?}");
        self.rows += rows;
        self.counts += counts;
        self.dead += dead as u64;
    }
}

/// What analyze and alert have been given of a device.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// The newest message, for each stage.
    newest: BTreeMap<usize, u64>,
    /// The ticks that analyze has seen, each with the newest message before it.
    pub(crate) ticks: Vec<(u64, Micros)>,
}

/// A run.
pub(crate) struct World<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) rng: &'a mut Rng,
    /// Whether anything goes wrong.
    pub(crate) faulty: bool,
    ingest: Ingest,
    pub(crate) queues: Vec<Queue>,
    pub(crate) saved: BTreeMap<(usize, Lane), Saved>,
    pub(crate) processes: Vec<Process>,
    pub(crate) jobs: Vec<Job>,
    pub(crate) store_jobs: Vec<StoreJob>,
    pub(crate) lake: Lake,
    pub(crate) books: Vec<Book>,
    /// The messages that are durable, by their number.
    pub(crate) taken: BTreeMap<u64, Taken>,
    /// Messages of dead letters, a row each.
    pub(crate) dead: Vec<(usize, u64)>,
    pub(crate) heard: BTreeMap<String, Heard>,
    /// The first message after the change to the lenient schema.
    pub(crate) lenient_from: Option<u64>,
    last_tick: Micros,
    history: VecDeque<(usize, Outgoing)>,
}

impl<'a> World<'a> {
    pub(crate) fn new(scenario: &'a Scenario, rng: &'a mut Rng) -> Self {
        let dedupes = match scenario.engine {
            Engine::OneTransaction => true,
            Engine::ThreeSteps { dedupes } => dedupes,
            Engine::NoOrder => false,
        };
        let any = scenario.engine != Engine::NoOrder;
        let ordered = |queue| any && queue != STORE && !(queue == VALIDATE && scenario.overtakes);
        let process =
            || Process { known: BTreeMap::new(), groups: Groups::default(), version: Version::First };
        Self {
            scenario,
            rng,
            faulty: true,
            ingest: Ingest::new(scenario.inputs.len(), scenario.lanes),
            queues: (VALIDATE..=STORE).map(|queue| Queue::new(ordered(queue), dedupes)).collect(),
            saved: BTreeMap::new(),
            processes: (0..PROCESSES).map(|_| process()).collect(),
            jobs: Vec::new(),
            store_jobs: Vec::new(),
            lake: Lake::new(scenario.granularity),
            books: (VALIDATE..=STORE).map(|_| Book::default()).collect(),
            taken: BTreeMap::new(),
            dead: Vec::new(),
            heard: BTreeMap::new(),
            lenient_from: None,
            last_tick: Micros::MIN,
            history: VecDeque::new(),
        }
    }

    /// Goes on until every message has come to its end, and every window.
    pub(crate) fn run(&mut self) {
        let calm = 1_000 + 30 * self.scenario.inputs.len();
        let mut turns = 0;
        while !self.is_idle() {
            if turns == calm {
                self.calm_down();
            }
            self.turn();
            turns += 1;
            assert!(turns < 100 * calm, "it does not come to an end");
        }
        // What is received from here on would be behind this tick.
        self.calm_down();
        self.publish_ticks(self.ingest.now + DAY);
        while !self.is_idle() {
            self.turn();
        }
    }

    fn calm_down(&mut self) {
        self.faulty = false;
        self.queues.iter_mut().for_each(|queue| queue.stalled = None);
    }

    fn is_idle(&self) -> bool {
        let ingested = self.ingest.next().is_none() && !self.ingest.has_open();
        ingested
            && self.queues.iter().all(Queue::is_empty)
            && self.jobs.is_empty()
            && self.store_jobs.is_empty()
    }

    fn turn(&mut self) {
        match self.rng.random_range(0..101) {
            0..12 => self.take(),
            12..17 => self.close(),
            17..20 => self.tick(),
            20..45 => {
                let (process, stage) =
                    (self.rng.random_range(0..PROCESSES), self.rng.random_range(VALIDATE..=STORE));
                if stage == STORE { self.receive_to_store(process) } else { self.receive(process, stage) }
            }
            45..90 if !self.jobs.is_empty() => {
                let job = self.jobs.remove(self.rng.random_range(0..self.jobs.len()));
                let (stage, lease) = (job.stage, job.lease);
                match self.advance(job) {
                    Some(job) => self.jobs.push(job),
                    None => self.queues[stage].lose(lease),
                }
            }
            90..98 if !self.store_jobs.is_empty() => {
                let job = self.store_jobs.remove(self.rng.random_range(0..self.store_jobs.len()));
                let lease = job.lease;
                match self.advance_store(job) {
                    Some(job) => self.store_jobs.push(job),
                    None => self.queues[STORE].lose(lease),
                }
            }
            98 => self.merge_files(),
            99.. if self.faulty => self.fault(),
            _ => {}
        }
    }

    fn take(&mut self) {
        if self.change_is_due() {
            self.change_schema();
        } else {
            self.ingest.take(&self.scenario.inputs);
        }
    }

    fn change_is_due(&self) -> bool {
        let at = self.scenario.change.filter(|(version, _)| *version == Version::Lenient).map(|(_, at)| at);
        self.lenient_from.is_none() && at.is_some() && self.ingest.next() == at
    }

    /// Goes over to the lenient schema once validate is done with all that came before.
    fn change_schema(&mut self) {
        let at_work = self.jobs.iter().any(|job| job.stage == VALIDATE);
        if self.ingest.has_open() || !self.queues[VALIDATE].is_empty() || at_work {
            return;
        }
        self.history.clear();
        self.lenient_from = self.taken.keys().next_back().map_or(Some(0), |last| Some(last + 1));
        self.processes.iter_mut().for_each(|process| process.version = Version::Lenient);
    }

    fn close(&mut self) {
        let Some((frame, taken)) = self.ingest.close(self.rng, &self.scenario.inputs) else { return };
        self.taken.extend(taken.into_iter().map(|taken| (taken.message, taken)));
        self.publish(VALIDATE, frame);
    }

    /// Tells time: everything that was received before the instant is in the queue of analyze, or behind it.
    fn tick(&mut self) {
        let on_the_way = self.queues[VALIDATE].oldest().min(self.queues[TRANSFORM].oldest());
        let come = self.ingest.now.min(self.ingest.oldest()).min(on_the_way);
        self.publish_ticks(come.div_euclid(TICK) * TICK);
    }

    fn publish_ticks(&mut self, instant: Micros) {
        if instant <= self.last_tick {
            return;
        }
        self.last_tick = instant;
        for lane in (0..self.scenario.lanes).map(Lane) {
            let tick = Frame::tick(lane, instant);
            let (id, bytes) = (tick.header.id, frame::encode(&tick).unwrap().into());
            self.publish(ANALYZE, Outgoing { lane, id, bytes, oldest: Micros::MAX });
        }
    }

    pub(crate) fn publish(&mut self, queue: usize, frame: Outgoing) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back((queue, frame.clone()));
        self.queues[queue].publish(frame);
    }

    fn fault(&mut self) {
        match self.rng.random_range(0..17) {
            // Whoever held it goes on as if nothing had been, and is refused or does no harm.
            0..5 if !self.jobs.is_empty() => {
                let job = &self.jobs[self.rng.random_range(0..self.jobs.len())];
                self.queues[job.stage].lose(job.lease);
            }
            5..7 if !self.store_jobs.is_empty() => {
                let job = &self.store_jobs[self.rng.random_range(0..self.store_jobs.len())];
                self.queues[STORE].lose(job.lease);
            }
            7 => {
                let process = self.rng.random_range(0..PROCESSES);
                self.crash(process);
            }
            8 => self.ingest.crash(self.rng),
            9..11 if !self.history.is_empty() => {
                let (queue, frame) = self.history[self.rng.random_range(0..self.history.len())].clone();
                self.queues[queue].publish(frame);
            }
            11 => self.reword(),
            12..15 => {
                let lane = chance(self.rng, 70).then(|| Lane(self.rng.random_range(0..self.scenario.lanes)));
                self.queues[self.rng.random_range(VALIDATE..=ALERT)].stalled = lane;
            }
            15.. if self.scenario.groups => self.regroup(),
            _ => {}
        }
    }

    /// A process is started anew with other groups.
    fn regroup(&mut self) {
        let process = self.rng.random_range(0..PROCESSES);
        if chance(self.rng, 50) {
            self.crash(process);
        }
        let [validate, analyze] = [chance(self.rng, 60), chance(self.rng, 60)];
        self.processes[process].groups = Groups { validate, analyze };
    }

    fn crash(&mut self, process: usize) {
        for job in self.jobs.extract_if(.., |job| job.process == process) {
            self.queues[job.stage].lose(job.lease);
        }
        for job in self.store_jobs.extract_if(.., |job| job.process == process) {
            self.queues[STORE].lose(job.lease);
        }
        self.processes[process].known.clear();
    }

    /// A process goes over to a config that says the same in other words, or back.
    fn reword(&mut self) {
        if !matches!(self.scenario.change, Some((Version::Reworded, _))) {
            return;
        }
        let process = &mut self.processes[self.rng.random_range(0..PROCESSES)];
        process.version = match process.version {
            Version::First => Version::Reworded,
            _ => Version::First,
        };
        if chance(self.rng, 50) {
            process.known.clear();
        }
    }

    pub(crate) fn stage(&self, process: usize, stage: usize) -> &'static Stage {
        let Scenario { lanes, memory, .. } = *self.scenario;
        topology::stage(stage, self.processes[process].version, lanes, memory)
    }

    /// Whether the stage fails whenever it sees a row of the frame.
    pub(crate) fn is_poisoned(&self, stage: usize, frame: &Frame) -> bool {
        let poison = |message: u64| {
            self.taken.get(&message).and_then(|taken| self.scenario.inputs[taken.input].poison)
        };
        messages_of(frame).into_iter().any(|message| poison(message) == Some(stage))
    }

    /// Notes what a stage has done, once it is certain.
    pub(crate) fn enter(&mut self, stage: usize, step: &Step) {
        for (index, part) in step.parts.iter().enumerate() {
            let (stage, dead) = (stage + index, if index == 0 { step.dead.len() } else { 0 });
            self.books[stage].add(part.rows, part.counts, dead);
            if stage == ANALYZE || stage == ALERT {
                step.input.iter().for_each(|frame| self.hear(stage, frame));
            }
        }
        for message in &step.dead {
            // A letter of the stage that a hop begins with tells which of its stages has failed.
            let failed = self.taken.get(message).and_then(|taken| self.scenario.inputs[taken.input].poison);
            self.dead.push((failed.unwrap_or(stage), *message));
        }
    }

    fn hear(&mut self, stage: usize, frame: &Frame) {
        if frame.header.kind == Kind::Tick {
            let in_lane = |device: &String| Lane::of(device, self.scenario.lanes) == frame.header.lane;
            for (_, heard) in self.heard.iter_mut().filter(|(device, _)| stage == ANALYZE && in_lane(device))
            {
                heard.ticks.push((heard.newest[&ANALYZE], frame.header.created_at));
            }
        }
        for (device, message) in readings_of(frame) {
            let heard = self.heard.entry(device).or_default();
            let newest = heard.newest.entry(stage).or_default();
            let in_order = message >= *newest || self.scenario.overtakes || self.scenario.may_repeat();
            assert!(in_order, "message {message} reached stage {stage} behind {newest}");
            *newest = message.max(*newest);
        }
    }
}

impl Scenario {
    /// Whether rows may come twice: where a process that goes on after another has a config of other words, what both
    /// publish for a frame has other ids.
    pub(crate) fn may_repeat(&self) -> bool {
        self.engine != Engine::OneTransaction && matches!(self.change, Some((Version::Reworded, _)))
    }
}
