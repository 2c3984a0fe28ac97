//! A worker dies or sleeps with lanes in hand, and another goes on with them once their lease is over.

use tests::{Child, Ministack, Site, until};

use crate::{
    QUICK,
    same_lake::{TOPOLOGY, replayed, rows, series},
};

/// Moments of a commit in steps. The first are in the middle of the series, where windows are open and alerts fire.
const MOMENTS: [&str; 3] = ["step_before:3", "sqs_published:2", "sqs_appended:3"];

/// What is left of a process that came to `moment` with lanes of a stage.
fn first(site: &Site, stage: &str, moment: &str) -> Child {
    let mut command = site.armed("run", moment);
    command.arg(stage);
    let first = Child::start(command);
    first.says("running");
    first
}

/// Sends the series, and has another process of the stage started once the first has come to its moment and is `gone`; the
/// first is woken when all is done, if it only slept. Asserts that the lake is what it is on the embedded engine.
#[track_caller]
fn check(stage: &str, then: &str, gone: impl Fn(&mut Child) -> bool) {
    let topology = format!("{TOPOLOGY}{QUICK}");
    let (expected, its_books) = replayed(&Site::new(&topology), &[]);
    for moment in MOMENTS {
        let services = Ministack::start();
        let site = Site::on_aws(&services, &topology);
        let others: Vec<&str> = ["ingest", "validate", "transform", "analyze", "alert", "store"]
            .into_iter()
            .filter(|other| *other != stage)
            .collect();
        let others = site.run(&others);
        let mut first = first(&site, stage, &format!("{moment}:{then}"));
        // At a pace that makes many frames of them.
        let paced = ["--speed".into(), "10000".into()];
        site.replay(series(&site).into_iter().chain(paced)).ended().well();
        until("the first one comes to its moment", || gone(&mut first));
        let second = site.run(&[stage]);
        // Within a dozen leases, or nobody goes on with its lanes.
        site.wait_until_dry();
        assert!(rows(&site) == expected, "{moment}: other rows");
        if first.is_running() {
            first.go_on();
            first.terminate();
            first.ended().well();
            // What it still sends is known.
            site.wait_until_dry();
        }
        let running = [others, second];
        running.iter().for_each(Child::terminate);
        running.into_iter().for_each(|process| drop(process.ended().well()));
        assert!(rows(&site) == expected, "{moment}: other rows in the end");
        let books = site.queues()["books"].take();
        for stage in ["analyze", "alert"] {
            assert_eq!(books[stage]["consumed"], its_books[stage]["consumed"], "{moment}: {stage}");
            assert_eq!(books[stage]["produced"], its_books[stage]["produced"], "{moment}: {stage}");
        }
    }
}

#[test]
fn sqs_lanes_of_an_analyze_that_dies_are_taken_over() {
    check("analyze", "kill", |first| !first.is_running());
}

#[test]
fn sqs_lanes_of_an_alert_that_dies_are_taken_over() {
    check("alert", "kill", |first| !first.is_running());
}

#[test]
fn sqs_lanes_of_an_analyze_that_sleeps_are_taken_over() {
    check("analyze", "stop", |first| first.has_stopped());
}
