//! What store is about to write, whoever is interrupted when: each row is in the lake once.

use std::time::Duration;

use millstream::{
    lake::{Intents, Mode},
    state::dynamodb::Table,
};
use proptest::{
    collection::vec,
    prelude::{Just, ProptestConfig, Strategy, any},
    prop_oneof,
    test_runner::{RngSeed, TestRunner},
};
use stages::plan::Counts;
use tests::{Fate, Gate};
use tokio::{runtime::Handle, task::block_in_place, time::sleep};

use crate::{
    server::{self, Server},
    store::{DAYS, World},
};

const FRAMES: u64 = 3;
const POLL: Duration = Duration::from_millis(1);
/// More requests than any way to the end has.
const REQUESTS_MAX: u64 = 40;

/// How a worker comes to its end.
#[derive(Debug, Clone, Copy)]
struct Life {
    /// It is stopped at this request.
    request: u64,
    fate: Fate,
    /// Whether it goes on once another has done its work.
    wakes: bool,
    /// Whether a partition cannot be written as long as it lives.
    blocked: bool,
}

/// A worker that lives so; false if it came to the end without being stopped.
async fn live(world: &World, server: &Server, table: &Table, life: Life) -> bool {
    let gate = Gate::at(&server.endpoint(), life.request, life.fate);
    let through = server::table(&gate.endpoint(), table.name()).await;
    let blocked = life.blocked.then(|| world.block(1));
    let worker = world.start(world.in_table(&through), Mode::Flush);
    while !gate.is_reached() && world.depth().await.0 > 0 {
        sleep(POLL).await;
    }
    let was_stopped = gate.is_reached();
    if !life.wakes {
        worker.kill();
    }
    drop(blocked);
    world.end_leases();
    if life.wakes {
        finish(world, table).await;
        gate.open();
        worker.stop().await;
    }
    was_stopped
}

/// A worker that is not interrupted does what is left.
async fn finish(world: &World, table: &Table) {
    let worker = world.start(world.in_table(table), Mode::Flush);
    world.until_dry().await;
    worker.stop().await;
}

async fn is_in_order(world: &World, table: &Table, case: &str) {
    world.is_complete(case);
    let rows = world.rows();
    let counted = Counts { consumed: rows, produced: rows, ..Counts::default() };
    assert_eq!(table.books().await.unwrap().remove("store"), Some(counted), "{case}");
}

/// Frames that are claimed in three steps.
const MANY: u64 = 250;

async fn each_interruption(frames: u64, wakes: bool, blocked: bool) {
    let server = Server::start();
    for fate in [Fate::HeldBefore, Fate::HeldAfter] {
        let mut interruptions = 0;
        for request in 1..=if blocked { 12 } else { REQUESTS_MAX } {
            let (mut world, table) = (World::new().await, server.table().await);
            world.publish(frames).await;
            let life = Life { request, fate, wakes, blocked };
            let was_stopped = live(&world, &server, &table, life).await;
            finish(&world, &table).await;
            is_in_order(&world, &table, &format!("{life:?}")).await;
            if !was_stopped {
                break;
            }
            interruptions += 1;
        }
        assert!((5..REQUESTS_MAX).contains(&interruptions), "{interruptions} requests");
    }
}

#[tokio::test]
async fn table_intents_survive_a_kill_at_each_step() {
    each_interruption(FRAMES, false, false).await;
}

#[tokio::test]
async fn table_intents_survive_a_sleep_at_each_step() {
    each_interruption(FRAMES, true, false).await;
}

#[tokio::test]
async fn table_intents_survive_a_kill_at_each_step_of_rolls_that_fail() {
    each_interruption(FRAMES, false, true).await;
}

#[tokio::test]
async fn table_intents_survive_a_sleep_at_each_step_of_rolls_that_fail() {
    each_interruption(FRAMES, true, true).await;
}

#[tokio::test]
async fn table_intents_of_many_frames_survive_a_kill_at_each_step() {
    each_interruption(MANY, false, false).await;
}

#[tokio::test]
async fn table_intents_of_many_frames_survive_a_sleep_at_each_step() {
    each_interruption(MANY, true, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn table_intents_survive_any_lives_of_workers() {
    let server = Server::start();
    let fate = prop_oneof![Just(Fate::HeldBefore), Just(Fate::HeldAfter)];
    let life = (1..14_u64, fate, any::<bool>(), any::<bool>());
    let life = life.prop_map(|(request, fate, wakes, blocked)| Life { request, fate, wakes, blocked });
    let config = ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = TestRunner::new(ProptestConfig { rng_seed: RngSeed::Fixed(6), ..config });
    let lives = vec((life, 0..3_u64), 1..6);
    let outcome = runner.run(&lives, |lives| {
        let case = format!("{lives:?}");
        let run = async {
            let (mut world, table) = (World::new().await, server.table().await);
            for (life, frames) in lives {
                world.publish(frames).await;
                live(&world, &server, &table, life).await;
            }
            world.publish(1).await;
            finish(&world, &table).await;
            is_in_order(&world, &table, &case).await;
        };
        block_in_place(|| Handle::current().block_on(run));
        Ok(())
    });
    outcome.unwrap();
}

/// Both places where intents can be, each with a world of its own.
async fn places(server: &Server) -> [(World, Intents); 2] {
    let (one, other) = (World::new().await, World::new().await);
    let in_data_file = one.in_data_file();
    let in_table = other.in_table(&server.table().await);
    [(one, in_data_file), (other, in_table)]
}

#[tokio::test]
async fn table_intents_are_as_good_as_those_of_the_data_file_for_who_only_collected() {
    let server = Server::start();
    for (mut world, intents) in places(&server).await {
        world.publish(FRAMES).await;
        let asleep = world.start(intents.clone(), Mode::Collect);
        world.until_held(FRAMES).await;
        world.end_leases();
        let awake = world.start(intents.clone(), Mode::Flush);
        world.until_dry().await;
        asleep.mode.send_replace(Mode::Flush);
        world.publish(1).await;
        world.until_dry().await;
        asleep.stop().await;
        awake.stop().await;
        world.is_complete("who slept writes nothing again");
        let left = intents.all().await.unwrap();
        assert!(left.paths.is_empty() && left.rolls.is_empty(), "{left:?}");
    }
}

#[tokio::test]
async fn table_intents_are_as_good_as_those_of_the_data_file_for_two_who_have_the_same_frames() {
    let server = Server::start();
    for (mut world, intents) in places(&server).await {
        world.publish(FRAMES).await;
        let one = world.start(intents.clone(), Mode::Collect);
        world.until_held(FRAMES).await;
        world.end_leases();
        let other = world.start(intents.clone(), Mode::Collect);
        // With this one it is handed the others.
        world.publish(1).await;
        world.until_held(FRAMES + 1).await;
        for worker in [&one, &other] {
            worker.mode.send_replace(Mode::Flush);
        }
        world.until_dry().await;
        one.stop().await;
        other.stop().await;
        world.is_complete("one of them writes");
    }
}

#[tokio::test]
async fn table_intents_are_as_good_as_those_of_the_data_file_while_the_lake_cannot_be_written() {
    let server = Server::start();
    for (mut world, intents) in places(&server).await {
        world.publish(FRAMES).await;
        let blocked = world.block(1);
        let worker = world.start(intents.clone(), Mode::Flush);
        let written = world.lake().join("readings/date=1970-01-01");
        world.until("a part of it is written", |_| written.is_dir()).await;
        drop(blocked);
        world.until_dry().await;
        worker.stop().await;
        world.is_complete("what is written is left out");
        assert_eq!(FRAMES * DAYS, world.rows());
    }
}

#[tokio::test]
async fn table_intents_remember_frames_that_come_again() {
    let server = Server::start();
    let (mut world, table) = (World::new().await, server.table().await);
    world.publish(FRAMES).await;
    world.repeat().await;
    assert_eq!(world.depth().await.0, FRAMES + 1, "it is twice in the queue");
    finish(&world, &table).await;
    is_in_order(&world, &table, "both at once").await;
    world.repeat().await;
    finish(&world, &table).await;
    is_in_order(&world, &table, "one after the other").await;
    assert_eq!(server.keys(&table, "frame#").await.len(), 3);
    assert_eq!(server.keys(&table, "rolls").await.len(), 1, "no roll is begun for it");
}
