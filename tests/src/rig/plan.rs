//! What is to happen in a round, drawn from a seed.

use std::{fmt, time::Duration};

use millstream::failpoint::{FAIL_POINTS, Passer};
use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus as Rng};

/// How Millstream is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `up`: all in one process.
    AllInOne,
    /// `run STAGE`: a process for each, and two of some.
    ProcessPerStage,
    /// `up` behind Mosquitto, which is restarted.
    BehindBroker,
}

impl Mode {
    /// In the order of rounds.
    pub const ALL: [Self; 3] = [Self::AllInOne, Self::BehindBroker, Self::ProcessPerStage];
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AllInOne => "all in one",
            Self::ProcessPerStage => "process per stage",
            Self::BehindBroker => "behind Mosquitto",
        })
    }
}

/// A round.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The seed of the run.
    pub seed: u64,
    /// The number of the round in it.
    pub round: u64,
    /// How Millstream is run.
    pub mode: Mode,
    pub(super) qos: u8,
    pub(super) mqtt: &'static str,
    pub(super) partition: &'static str,
    pub(super) lease: Duration,
    /// Messages per second.
    pub(super) rate: u32,
    /// For how long the fleet publishes, and processes are struck.
    pub(super) strike_for: Duration,
    pub(super) processes: Vec<Process>,
    /// When the broker is restarted, each after the one before it.
    pub(super) broker_restarts: Vec<Duration>,
    /// Stages that are run as one hop.
    pub(super) groups: &'static [&'static str],
}

/// A process and its lives, each after the one before it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Process {
    /// What it runs; nothing for `up`.
    pub(super) stage: Option<&'static str>,
    /// The name among those that run the same.
    pub(super) number: usize,
    pub(super) lives: Vec<Life>,
}

/// From the start of a process to its end.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Life {
    /// What it does by itself.
    pub(super) fail_point: Option<FailPoint>,
    /// When it is put to sleep.
    pub(super) stop_after: Option<Duration>,
    /// For how long it sleeps, whatever made it: longer than a lease.
    pub(super) nap: Duration,
    /// When it is killed, if it lives.
    pub(super) kill_after: Duration,
    /// The same, once it has slept: long enough to do what it was about to do.
    pub(super) awake: Duration,
    /// How long it is dead.
    pub(super) down: Duration,
}

/// A moment at which a process dies or falls asleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FailPoint {
    pub(super) name: &'static str,
    pub(super) hit: u32,
    pub(super) stop: bool,
}

impl fmt::Display for FailPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.name, self.hit, if self.stop { "stop" } else { "kill" })
    }
}

/// More lives than fit into a round.
const LIVES: usize = 64;

/// A store worker beside another, which sleeps in the middle of its rolls, life after life.
const SLEEPER: (Option<&str>, usize) = (Some("store"), 2);

const STAGES: [&str; 7] = ["ingest", "validate", "transform", "analyze", "alert", "store", "notify"];

/// Stages that a storm may come over, in which every life is so short that innocent frames are taken for what ends them,
/// and become dead letters. No other process goes on with what they hold.
const STORMY: [&str; 3] = ["validate", "transform", "alert"];

/// Lives of a storm: twice as many as it takes to give up a frame with `max_attempts` as it is by default.
const STORM: usize = 24;

/// Moments at which a store worker is in the middle of a roll that somebody else takes over while it sleeps: what it
/// does once it is awake must come to nothing.
const NAPS: [&str; 7] = [
    "intent_before",
    "intent_after",
    "file_half",
    "fsync_after",
    "link_before",
    "directories_before",
    "settle_before",
];

const GROUPS: [&[&str]; 3] =
    [&["[validate, transform]"], &["[analyze, alert]"], &["[validate, transform]", "[analyze, alert]"]];

impl Plan {
    /// The plan of a round of the run with this seed.
    pub fn draw(seed: u64, round: u64) -> Self {
        // Far apart, whatever the seeds of two runs are.
        let mut rng = Rng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(round));
        let mode = Mode::ALL[(round % 3) as usize];
        let strike_secs = if mode == Mode::ProcessPerStage { 6..9 } else { 8..12 };
        let mut plan = Self {
            seed,
            round,
            mode,
            // Mosquitto 2.0.11 loses a message that it has answered with PUBREC if it is restarted before PUBREL.
            qos: if rng.random_bool(0.5) || mode == Mode::BehindBroker { 1 } else { 2 },
            mqtt: if rng.random_bool(0.5) { "3.1.1" } else { "5" },
            partition: if rng.random_bool(0.25) { "day" } else { "hour" },
            lease: Duration::from_secs(rng.random_range(1..=2)),
            rate: rng.random_range(300..1200),
            strike_for: Duration::from_secs(rng.random_range(strike_secs)),
            processes: Vec::new(),
            broker_restarts: Vec::new(),
            groups: &[],
        };
        plan.processes = plan.draw_processes(&mut rng);
        if mode == Mode::BehindBroker {
            let restarts = rng.random_range(1..=2);
            plan.broker_restarts = (0..restarts).map(|_| millis(&mut rng, 500, 3000)).collect();
        }
        // A process of one stage has none.
        if mode != Mode::ProcessPerStage && rng.random_bool(0.6) {
            plan.groups = GROUPS[rng.random_range(0..GROUPS.len())];
        }
        plan
    }

    fn draw_processes(&self, rng: &mut Rng) -> Vec<Process> {
        let mut stages: Vec<(Option<&str>, usize)> = vec![(None, 1)];
        if self.mode == Mode::ProcessPerStage {
            stages = STAGES.map(|stage| (Some(stage), 1)).into();
            if rng.random_bool(0.7) {
                stages.push((Some("analyze"), 2));
            }
        }
        if self.mode == Mode::ProcessPerStage || rng.random_bool(0.8) {
            stages.push(SLEEPER);
        }
        let storm = (self.mode == Mode::ProcessPerStage && rng.random_bool(0.4))
            .then(|| STORMY[rng.random_range(0..STORMY.len())]);
        let process = |(stage, number)| {
            let lives = match (stage, number) {
                (Some(stage), _) if storm == Some(stage) => {
                    let mut lives: Vec<_> = (0..STORM).map(|_| self.draw_short(stage, rng)).collect();
                    lives.extend(self.draw_lives(Some(stage), rng));
                    lives
                }
                SLEEPER => (0..LIVES).map(|_| self.draw_nap(rng)).collect(),
                _ => self.draw_lives(stage, rng),
            };
            Process { stage, number, lives }
        };
        stages.into_iter().map(process).collect()
    }

    fn draw_lives(&self, stage: Option<&str>, rng: &mut Rng) -> Vec<Life> {
        let moments = self.moments(stage);
        // Where another worker goes on meanwhile, sleep is as good a test as death.
        let stops = if stage == Some("analyze") { 0.5 } else { 0.2 };
        let mut lives: Vec<Life> = Vec::with_capacity(LIVES);
        for number in 0..LIVES {
            let within_roll =
                lives.last().and_then(|life| life.fail_point).is_some_and(FailPoint::leaves_a_roll);
            let fail_point = if within_roll && rng.random_bool(0.4) {
                Some(FailPoint::draw("fence_after", stops, rng))
            } else {
                // The first lives already when the fleet begins.
                let name = moments[rng.random_range(0..moments.len())];
                (number > 0 && rng.random_bool(0.7)).then(|| FailPoint::draw(name, stops, rng))
            };
            lives.push(self.draw_life(stage, fail_point, rng));
        }
        lives
    }

    /// A life of the sleeper.
    fn draw_nap(&self, rng: &mut Rng) -> Life {
        let fail_point = FailPoint::draw(NAPS[rng.random_range(0..NAPS.len())], 1.0, rng);
        let mut life = self.draw_life(Some("store"), Some(fail_point), rng);
        (life.stop_after, life.down) = (None, Duration::ZERO);
        // Time for somebody who is struck, too, to take over.
        life.nap = self.lease + millis(rng, 1000, 2000);
        life
    }

    /// A life in a storm: it ends as soon as it holds anything.
    fn draw_short(&self, stage: &'static str, rng: &mut Rng) -> Life {
        let fail_point = FailPoint { name: "step_before", hit: 1, stop: false };
        let mut life = self.draw_life(Some(stage), Some(fail_point), rng);
        (life.stop_after, life.down) = (None, Duration::ZERO);
        life
    }

    fn draw_life(&self, stage: Option<&str>, fail_point: Option<FailPoint>, rng: &mut Rng) -> Life {
        let kill_after = match (fail_point, rng.random_range(0..8)) {
            // It is to come by, unless it never does.
            (Some(_), _) => millis(rng, 2000, 3500),
            // In its first moment.
            (None, 0) => millis(rng, 0, 100),
            // With more processes each is struck less often, or nothing would go on at all.
            (None, _) if stage.is_some() => millis(rng, 500, 3000),
            (None, _) => millis(rng, 100, 800),
        };
        Life {
            fail_point,
            stop_after: rng.random_bool(0.1).then(|| millis(rng, 100, 1000)),
            nap: self.lease + millis(rng, 300, 1300),
            awake: millis(rng, 300, 1500),
            kill_after,
            down: if rng.random_bool(0.7) { Duration::ZERO } else { millis(rng, 50, 400) },
        }
    }

    /// The moments that a process comes by.
    fn moments(&self, stage: Option<&str>) -> Vec<&'static str> {
        let runs = |name: &str| stage.is_none_or(|stage| stage == name);
        let listens = self.mode != Mode::BehindBroker && runs("ingest");
        let comes_by = |passer| match passer {
            Passer::Writer => true,
            Passer::Listener => listens,
            Passer::ListenerQos1 => listens && self.qos == 1,
            Passer::ListenerQos2 => listens && self.qos == 2,
            Passer::Subscriber => self.mode == Mode::BehindBroker,
            Passer::Stage => ["validate", "transform", "analyze", "alert"].into_iter().any(runs),
            Passer::Stateful => runs("analyze") || runs("alert"),
            Passer::Store | Passer::Compactor => runs("store"),
            Passer::Notify => runs("notify"),
            // No process of a round, no lake of one.
            Passer::Replay | Passer::Objects | Passer::Steps => false,
        };
        FAIL_POINTS.iter().filter(|(_, passer)| comes_by(*passer)).map(|(name, _)| *name).collect()
    }
}

impl FailPoint {
    /// Somewhere in the first second or so of a process.
    fn draw(name: &'static str, stops: f64, rng: &mut Rng) -> Self {
        let hits = match name.split('_').next() {
            Some("puback" | "pubrec" | "pubcomp" | "subscriber") => 100,
            Some("commit" | "step") => 20,
            // Once a roll, of which there is one a second.
            Some("intent" | "directories" | "settle" | "fence") => 1,
            _ => 2,
        };
        Self { name, hit: rng.random_range(1..=hits), stop: rng.random_bool(stops) }
    }

    /// Whether who dies here leaves a roll behind that somebody has to resolve.
    fn leaves_a_roll(self) -> bool {
        let within = |(name, passer): &(&str, Passer)| {
            *passer == Passer::Store
                && !["intent_before", "settle_after"].contains(name)
                && *name == self.name
        };
        !self.stop && FAIL_POINTS.iter().any(within)
    }
}

fn millis(rng: &mut Rng, min: u64, max: u64) -> Duration {
    Duration::from_millis(rng.random_range(min..max))
}

/// For people: what is struck, and when.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, round, mode, qos, mqtt, partition, rate, strike_for, .. } = self;
        writeln!(
            f,
            "seed {seed}, round {round}: {mode}, QoS {qos}, MQTT {mqtt}, a directory per {partition}, \
             {rate} messages/s for {strike_for:?}"
        )?;
        for group in self.groups {
            writeln!(f, "  in one hop: {group}")?;
        }
        for restart in &self.broker_restarts {
            writeln!(f, "  the broker restarts after {restart:?} more")?;
        }
        for process in &self.processes {
            writeln!(f, "  {process}")?;
            let mut begins = Duration::ZERO;
            for life in &process.lives {
                if begins >= *strike_for {
                    break;
                }
                begins += life.kill_after + life.down;
                writeln!(f, "    {life}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.stage {
            None => f.write_str("up"),
            Some(stage) => write!(f, "{stage}-{}", self.number),
        }
    }
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(fail_point) = self.fail_point {
            write!(f, "{fail_point}, ")?;
        }
        if let Some(after) = self.stop_after {
            write!(f, "stop after {after:?}, ")?;
        }
        if self.stop_after.is_some() || self.fail_point.is_some_and(|fail_point| fail_point.stop) {
            write!(f, "sleep for {:?}, awake for {:?}, ", self.nap, self.awake)?;
        }
        write!(f, "kill after {:?}, down for {:?}", self.kill_after, self.down)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_the_same_plan_and_another_a_different_one() {
        assert_eq!(Plan::draw(7, 4), Plan::draw(7, 4));
        assert_ne!(Plan::draw(7, 4).processes, Plan::draw(8, 4).processes);
        assert_ne!(Plan::draw(7, 4).processes, Plan::draw(7, 7).processes);
    }

    #[test]
    fn storms_come_over_stages_that_nobody_else_runs() {
        let short =
            |life: &Life| life.fail_point.is_some_and(|point| point.name == "step_before" && point.hit == 1);
        let mut storms = 0;
        for plan in (0..60).map(|round| Plan::draw(1, round)) {
            let stormy = plan.processes.iter().filter(|process| process.lives.iter().take(STORM).all(short));
            for stage in stormy.map(|process| process.stage) {
                storms += 1;
                assert_eq!(plan.processes.iter().filter(|process| process.stage == stage).count(), 1);
            }
        }
        assert!((1..20).contains(&storms), "{storms}");
    }

    #[test]
    fn every_moment_is_drawn_sooner_or_later() {
        let plans = (0..60).map(|round| Plan::draw(1, round));
        let lives = plans.flat_map(|plan| plan.processes).flat_map(|process| process.lives);
        let drawn: Vec<_> =
            lives.filter_map(|life| life.fail_point).map(|fail_point| fail_point.name).collect();
        for (name, _) in FAIL_POINTS
            .iter()
            .filter(|(_, passer)| !matches!(passer, Passer::Replay | Passer::Objects | Passer::Steps))
        {
            assert!(drawn.contains(name), "{name}");
        }
    }
}
