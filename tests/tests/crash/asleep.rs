//! Processes that fall asleep at the worst moment, for longer than their leases, and then go on.

use serde_json::Value;
use tests::{Child, Site, lake, until};

use crate::{RESTLESS, launch, run_armed, stop};

const FLEET: [&str; 8] = ["--devices", "50", "--rate", "1000", "--messages", "2500", "--faults", "default"];

/// Waits until every row has come as far as this queue, and out of it.
fn until_dry(site: &Site, queues: &[&str]) {
    until("the queues run dry", || {
        let depths = site.queues();
        queues.iter().all(|queue| depths["queues"][queue]["frames"] == 0)
    });
}

/// Every message that the fleet has published is in the lake, once.
fn assert_balanced(site: &Site, report: &Value) {
    assert_eq!(report["published"], report["acknowledged"]);
    let books = site.verify();
    assert_eq!(books["acknowledged"], report["acknowledged"]);
    assert_ne!(books["quarantined"], 0, "the faults of the fleet");
}

fn until_asleep(child: &Child) {
    until("it falls asleep", || child.has_stopped());
}

/// `millstream run STAGE`, asleep at a fail point, but not with the lock of the data file: another thread of it may have
/// had that, and then everybody waits. Such a one is killed, and another takes its place.
fn asleep_without_the_lock(site: &Site, stage: &str, fail_point: &str) -> Child {
    let mut sleeper = None;
    until("one falls asleep without the lock of the data file", || {
        // Work waits for it, so it may sleep before it says that it runs.
        let child = launch(site.armed("run", &format!("{fail_point}:stop")), site, &[stage]);
        until_asleep(&child);
        if site.is_writable() {
            sleeper = Some(child);
        } else {
            child.kill();
        }
        sleeper.is_some()
    });
    sleeper.unwrap()
}

#[test]
fn a_store_worker_that_slept_through_its_lease_publishes_nothing() {
    for moment in ["intent_before", "file_half", "link_before", "link_after", "settle_before"] {
        let site = Site::new(RESTLESS);
        let front = site.run(&["ingest", "validate", "transform", "analyze", "alert"]);
        let fleet = site.fleet(FLEET);
        let sleeper = asleep_without_the_lock(&site, "store", &format!("{moment}:1"));
        let other = site.run(&["store"]);
        let report = fleet.ended().well().json();
        until_dry(&site, &["validate", "transform", "analyze", "alert", "store"]);
        let before = site.verify();

        sleeper.go_on();
        sleeper.says("frames were lost while they were written");
        stop([front, sleeper, other]);
        assert_balanced(&site, &report);
        assert_eq!(site.verify()["readings"], before["readings"], "{moment}");
        assert_eq!(site.queues()["books"]["store"]["consumed"], rows_stored(&site), "{moment}");
    }
}

/// Rows of all datasets.
fn rows_stored(site: &Site) -> Value {
    let all = "SELECT count(*) AS n FROM read_parquet('*/**/*.parquet', union_by_name = true)";
    lake::query(&site.lake(), all)[0]["n"].clone()
}

#[test]
fn a_stage_that_slept_through_its_lease_commits_nothing() {
    let site = Site::new(RESTLESS);
    let rest = site.run(&["ingest", "validate", "transform", "alert", "store"]);
    let fleet = site.fleet(FLEET);
    let sleeper = asleep_without_the_lock(&site, "analyze", "step_before:3");
    let other = site.run(&["analyze"]);
    let report = fleet.ended().well().json();
    until_dry(&site, &["validate", "transform", "analyze", "alert", "store"]);
    let before = site.queues()["books"]["analyze"]["consumed"].clone();

    sleeper.go_on();
    sleeper.says("leases were lost");
    // It is at work again once the other is gone.
    stop([other]);
    let more = site.fleet(["--devices", "50", "--messages", "100", "--seed", "2"]);
    let more = more.ended().well().json();
    until_dry(&site, &["validate", "transform", "analyze", "alert", "store"]);
    stop([rest, sleeper]);
    assert_ne!(site.queues()["books"]["analyze"]["consumed"], before);
    let published = |report: &Value| report["published"].as_u64().unwrap();
    assert_eq!(site.verify()["acknowledged"], published(&report) + published(&more));
}

/// In the middle of a commit it has the lock of the data file, and nobody else can write. They wait for longer than
/// SQLite does, and say so; among them a store worker that has just looked through what another has left.
#[test]
fn nobody_dies_of_a_process_that_sleeps_with_the_lock_of_the_data_file() {
    let site = Site::new(RESTLESS);
    let mut others: Vec<Child> =
        ["ingest", "validate", "transform", "alert"].map(|stage| site.run(&[stage])).into();
    let mut dying = run_armed(&site, &["store"], "link_after:1:kill");
    let analyze = site.run(&["analyze"]);
    let fleet = site.fleet(["--rate", "200", "--seconds", "15", "--faults", "default", "--drain-secs", "90"]);
    until("a store worker dies", || !dying.is_running());
    let resolving = asleep_without_the_lock(&site, "store", "fence_after:1");
    analyze.kill();
    let sleeper = run_armed(&site, &["analyze"], "commit_before:10:stop");
    until_asleep(&sleeper);
    resolving.go_on();
    // SQLite gives up after half a minute.
    others[0].says("acknowledgements wait until it works again");
    resolving.says("it is tried again");
    others.push(resolving);
    sleeper.go_on();
    let report = fleet.ended().well().json();
    until_dry(&site, &["validate", "transform", "analyze", "alert", "store"]);
    stop(others);
    stop([sleeper]);
    assert_balanced(&site, &report);
}
