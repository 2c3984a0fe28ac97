//! What is to happen in a round, drawn from a seed.

mod mode;
mod moment;
mod show;
#[cfg(test)]
mod tests;

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus as Rng};

pub use self::mode::Mode;
pub(super) use self::moment::{FailPoint, is_drawn};

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
    /// Whether the lake is in an object store.
    pub(super) objects: bool,
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

const GROUPS: [&[&str]; 3] =
    [&["[validate, transform]"], &["[analyze, alert]"], &["[validate, transform]", "[analyze, alert]"]];

impl Plan {
    /// The plan of a round of the run with this seed.
    pub fn draw(seed: u64, round: u64) -> Self {
        // Far apart, whatever the seeds of two runs are.
        let mut rng = Rng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(round));
        let modes = Mode::ALL.len() as u64;
        let mode = Mode::ALL[(round % modes) as usize];
        let strike_secs = if mode.is_apart() { 6..9 } else { 8..12 };
        // SQS takes no shorter leases than two seconds.
        let lease_secs = if mode.is_on_aws() { 2..=3 } else { 1..=2 };
        let mut plan = Self {
            seed,
            round,
            mode,
            // Mosquitto 2.0.11 loses a message that it has answered with PUBREC if it is restarted before PUBREL.
            qos: if rng.random_bool(0.5) || mode == Mode::BehindBroker { 1 } else { 2 },
            mqtt: if rng.random_bool(0.5) { "3.1.1" } else { "5" },
            partition: if rng.random_bool(0.25) { "day" } else { "hour" },
            // In turn, so that few rounds have both.
            objects: mode.is_on_aws() && (round / modes).is_multiple_of(2) == (mode == Mode::OnSqs),
            lease: Duration::from_secs(rng.random_range(lease_secs)),
            // What stands in for AWS is not as fast as the data file.
            rate: if mode.is_on_aws() { rng.random_range(200..600) } else { rng.random_range(300..1200) },
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
        if !mode.is_apart() && rng.random_bool(0.6) {
            plan.groups = GROUPS[rng.random_range(0..GROUPS.len())];
        }
        plan
    }

    fn draw_processes(&self, rng: &mut Rng) -> Vec<Process> {
        let mut stages: Vec<(Option<&str>, usize)> = vec![(None, 1)];
        if self.mode.is_apart() {
            stages = STAGES.map(|stage| (Some(stage), 1)).into();
            if self.mode.is_on_aws() {
                stages.extend([(Some("analyze"), 2), (Some("alert"), 2)]);
            } else if rng.random_bool(0.7) {
                stages.push((Some("analyze"), 2));
            }
        }
        if self.mode.is_apart() || rng.random_bool(0.8) {
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
        let shared = stage == Some("analyze") || (self.mode.is_on_aws() && stage == Some("alert"));
        let stops = if shared { 0.5 } else { 0.2 };
        let mut lives: Vec<Life> = Vec::with_capacity(LIVES);
        for number in 0..LIVES {
            let within_roll =
                lives.last().and_then(|life| life.fail_point).is_some_and(FailPoint::leaves_a_roll);
            let fail_point = if within_roll && rng.random_bool(0.4) {
                Some(self.moment("fence_after", stops, rng))
            } else {
                // The first lives already when the fleet begins.
                let name = moments[rng.random_range(0..moments.len())];
                (number > 0 && rng.random_bool(0.7)).then(|| self.moment(name, stops, rng))
            };
            lives.push(self.draw_life(stage, fail_point, rng));
        }
        lives
    }

    /// A life of the sleeper.
    fn draw_nap(&self, rng: &mut Rng) -> Life {
        let naps = self.naps();
        let fail_point = self.moment(naps[rng.random_range(0..naps.len())], 1.0, rng);
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
            // It is to come by, unless it never does; on SQS lanes of who died before come when their lease is over.
            (Some(_), _) if self.mode.is_on_aws() => self.lease + millis(rng, 1000, 2000),
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
}

fn millis(rng: &mut Rng, min: u64, max: u64) -> Duration {
    Duration::from_millis(rng.random_range(min..max))
}
