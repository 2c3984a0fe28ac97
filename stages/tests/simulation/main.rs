//! The whole way of a reading from ingest to the lake, simulated: thousands of runs, each drawn from one number, its seed.
//!
//! What is real: every stage behind [`stages::stage::plan`], deltas and snapshots of its state, the codec (a frame crosses
//! each queue as bytes), and the part of store that sorts rows into partitions and leaves out what is written.
//! What is imitated, each on a page of its own that names what it imitates: ingest, queues with lanes and leases, workers
//! of two processes, saved state with its fence, and a store worker that writes file by file. They do one small step at a
//! time, in an order that the seed draws. In between leases are lost while the holder goes on, processes and
//! ingest die, frames are published again, fail once or always, and configs change,
//! and stages are run as one hop or by themselves.
//! What is not here: disks, sockets, threads, real time, full queues, `notify`. The tests of `pipeline` and `tests` have
//! those.
//!
//! Whatever has happened, the lake must hold what the same messages come to with nothing in the way
//! (`undisturbed.rs`), and the rest of `checks.rs` must be true. Engines are imitated in all ways of "exactly once":
//! with one transaction; in three steps (publish, save state, settle) with repeats recognised by the ids of frames; and
//! without order, where state is saved first. What hangs on the order is not compared there.
//!
//! `MILLSTREAM_SIMULATION_SEEDS=n` tries so many seeds in each test, `MILLSTREAM_SIMULATION_SEED=n` this one alone.

#![expect(clippy::print_stdout, reason = "a seed that fails is told")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail")]

mod checks;
mod fates;
mod hop;
mod ingest;
mod input;
mod pieces;
mod queue;
mod rows;
mod saved;
mod store;
mod topology;
mod undisturbed;
mod worker;
mod world;

use std::{
    env,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};
use stages::store::Granularity;

use self::{
    topology::{ANALYZE, LANES_MAX, Memory, Version},
    world::{Engine, Scenario, World},
};

/// Everything that is drawn comes from one of these.
type Rng = Xoshiro256PlusPlus;

/// How many seeds each test tries; a build without optimisations is slow.
const SEEDS: u64 = if cfg!(debug_assertions) { 40 } else { 1_000 };
const MESSAGES_MAX: usize = 80;

#[test]
fn simulation_of_an_engine_with_one_transaction() {
    every_seed(|_| Engine::OneTransaction);
}

#[test]
fn simulation_of_an_engine_in_three_steps() {
    every_seed(|rng| Engine::ThreeSteps { dedupes: chance(rng, 50) });
}

#[test]
fn simulation_of_an_engine_without_order() {
    every_seed(|_| Engine::NoOrder);
}

/// Tries all seeds, on all cores.
fn every_seed(engine: impl Fn(&mut Rng) -> Engine + Sync) {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let seeds = match number("MILLSTREAM_SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("MILLSTREAM_SIMULATION_SEEDS").unwrap_or(SEEDS),
    };
    let (next, failed) = (AtomicU64::new(seeds.start), AtomicU64::new(u64::MAX));
    let work = || loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= seeds.end.min(failed.load(Ordering::Relaxed)) {
            return;
        }
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| one_seed(seed, &engine))) {
            failed.fetch_min(seed, Ordering::Relaxed);
            println!("this was MILLSTREAM_SIMULATION_SEED={seed}");
            resume_unwind(panic);
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
}

fn one_seed(seed: u64, engine: impl Fn(&mut Rng) -> Engine) {
    let mut rng = Rng::seed_from_u64(seed);
    let scenario = draw(&mut rng, &engine);
    let mut world = World::new(&scenario, &mut rng);
    world.run();
    checks::check(&world);
}

fn draw(rng: &mut Rng, engine: impl Fn(&mut Rng) -> Engine) -> Scenario {
    let engine = engine(rng);
    let messages = rng.random_range(5..=MESSAGES_MAX);
    let poison = if chance(rng, 30) { 8 } else { 0 };
    let change = match rng.random_range(0..10) {
        0..3 => Some(Version::Reworded),
        3..6 => Some(Version::Lenient),
        _ => None,
    };
    let overtakes = chance(rng, 15) || engine == Engine::NoOrder;
    let groups = engine == Engine::OneTransaction && chance(rng, 50);
    let mut scenario = Scenario {
        engine,
        lanes: rng.random_range(1..=LANES_MAX),
        memory: if chance(rng, 40) { Memory::Short } else { Memory::Ample },
        granularity: [Granularity::Hour, Granularity::Day, Granularity::Month][rng.random_range(0..3)],
        change: change.map(|version| (version, rng.random_range(0..messages))),
        groups,
        overtakes,
        inputs: input::draw(rng, messages, poison, !overtakes),
    };
    if groups {
        // In a hop a row that alert fails at is none that analyze has seen, and may come again.
        for input in &mut scenario.inputs {
            input.poison = input.poison.map(|stage| stage.min(ANALYZE));
        }
    }
    if scenario.may_repeat() {
        // What is not remembered may then be there twice, and not be equal.
        scenario.memory = Memory::Ample;
    }
    scenario
}

fn chance(rng: &mut Rng, percent: u32) -> bool {
    rng.random_range(0..100) < percent
}
