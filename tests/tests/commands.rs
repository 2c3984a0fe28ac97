//! What the commands say, and what they end with.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

use std::{net::TcpListener, process::Command};

use serde_json::Value;
use tests::{Child, Ended, Site};

fn ended(command: Command) -> Ended {
    Child::start(command).ended()
}

#[test]
fn demo_ends_with_balanced_books() {
    let site = Site::new("");
    let mut command = tests::program("millstream");
    command.args(["demo", "--json", "--devices", "20", "--rate", "500", "--seconds", "2"]);
    command.env("TMPDIR", site.path(""));
    let outcome = ended(command).well().json();
    let count = |key: &str| match &outcome[key] {
        Value::Number(number) => number.as_u64().expect("a count"),
        other => panic!("{key} is {other} in {outcome}"),
    };
    assert!(count("published") > 500, "{outcome}");
    assert_eq!(count("published"), count("acknowledged"));
    assert_eq!(count("published"), count("stored") + count("quarantined") + count("repeated"));
    assert_eq!((count("missing"), count("duplicated")), (0, 0));
    let (_late, _alerts) = (count("late"), count("alerts"));
    assert!(outcome["seconds"].as_f64().expect("seconds") >= 2.0);
}

#[test]
fn a_taken_port_is_named_with_the_way_out() {
    let site = Site::new("");
    let _taken = TcpListener::bind(site.address()).unwrap();
    let said = ended(site.up_command()).with(1).err.join("\n");
    assert!(said.contains(&site.address().to_string()), "{said}");
    assert!(said.contains("--listen"), "{said}");
}

#[test]
fn every_mistake_of_a_config_is_shown_with_its_line() {
    let site = Site::new("lanes: 0\nstore:\n  age_sec: 5\ningest:\n  linger_ms: soon\n");
    let said = ended(site.up_command()).with(2).err.join("\n");
    let file = site.path("millstream.yaml");
    for (line, what) in [(1, "lanes"), (3, "age_secs"), (5, "soon")] {
        let place = format!("{}:{line}:", file.display());
        let found = said.lines().any(|said| said.starts_with(&place) && said.contains(what));
        assert!(found, "no {place} … {what} in\n{said}");
    }
}

#[test]
fn an_unknown_stage_is_a_usage_error() {
    let site = Site::new("");
    let mut command = site.millstream("run");
    command.arg("validat");
    let said = ended(command).with(2).err.join("\n");
    assert!(said.contains("validat") && said.contains("validate, transform"), "{said}");
}

#[test]
fn queues_tells_depths_and_books_while_up_runs() {
    let site = Site::new("store: { age_secs: 3600, age_secs_max: 3600 }\n");
    let _up = site.up();
    site.fleet(["--devices", "5", "--messages", "100"]).ended().well();
    tests::until("all messages have passed validate", || {
        site.queues()["books"]["validate"]["consumed"] == 100
    });
    tests::until("all rows wait for store", || {
        let told = site.queues();
        told["queues"]["store"]["rows"] == told["books"]["alert"]["produced"]
            && told["books"]["transform"]["produced"] == told["books"]["alert"]["consumed"]
    });
    let told = site.queues();
    for queue in ["validate", "transform", "analyze", "alert", "store"] {
        for key in ["frames", "rows", "bytes", "in_flight", "dead"] {
            assert!(told["queues"][queue][key].is_u64(), "{key} of {queue} in {told}");
        }
    }
    assert!(told["queues"]["store"]["oldest_secs"].is_f64(), "{told}");
    assert_eq!(told["queues"]["validate"]["oldest_secs"], Value::Null);
}

#[test]
fn queues_of_nothing_is_an_error_and_makes_nothing() {
    let site = Site::new("");
    let said = ended(site.millstream("queues")).with(1).err.join("\n");
    assert!(said.contains(&site.data().display().to_string()) && said.contains("--data"), "{said}");
    assert!(!site.data().exists());
}

#[test]
fn another_number_of_lanes_is_refused_with_the_way_out() {
    let site = Site::new("");
    let up = site.up();
    up.terminate();
    up.ended().well();
    site.configure("lanes: 8\n");
    let said = ended(site.up_command()).with(2).err.join("\n");
    assert!(said.contains("have 4 lanes") && said.contains("set lanes to 4"), "{said}");
}
