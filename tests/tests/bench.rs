//! The bench of `docs/performance.md` works: with so few messages that its figures mean nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

use std::fs;

use serde_json::Value;
use tests::{Child, PATIENCE, program};

/// Keys that programs which read the figures may rely on.
const KEYS: [&str; 12] = [
    "broker_floor_msgs_per_sec",
    "listener_msgs_per_sec",
    "subscriber_msgs_per_sec",
    "batched_readings_per_sec",
    "library_floor_us_per_message",
    "pipeline_cpu_us_per_message",
    "puback_p99_ms",
    "alert_p99_ms",
    "backlog_peak_mib",
    "backlog_drain_msgs_per_sec",
    "ready_ms",
    "idle_cpu_percent",
];

/// It counts the rows in the lake itself, and fails when one is missing.
#[test]
fn the_bench_measures_every_yardstick() {
    let mut command = program("bench");
    command.arg("--smoke");
    // One yardstick after the other, each of which may take its time on a busy machine.
    let out = Child::start(command).ended_within(KEYS.len() as u32 * PATIENCE).well();
    let json = out.json();
    for key in KEYS {
        assert!(json[key].as_f64().is_some_and(|figure| figure >= 0.0), "{key} in {json}");
    }
    for key in ["listener_to_broker_floor", "cpu_to_library_floor", "backlog_cost_ratio"] {
        assert!(json[key].as_f64().is_some_and(|ratio| ratio > 0.0), "{key} in {json}");
    }
    assert!(json["alerts"].as_f64().unwrap() > 1.0, "{json}");
    assert!(json["machine"]["cores"].as_u64().unwrap() > 0, "{json}");
    let table = out.out.join("\n");
    assert!(table.contains("3 listener, messages/s") && table.contains("≤ 25"), "{table}");
}

/// Somebody who wants one yardstick gets it, with the others' keys.
#[test]
fn the_bench_measures_what_it_is_asked_for() {
    let mut command = program("bench");
    command.args(["--smoke", "--json", "--only", "ready"]);
    let out = Child::start(command).ended().well();
    assert_eq!(out.out.len(), 1, "{:?}", out.out);
    let json = out.json();
    assert!(json["ready_ms"].is_number(), "{json}");
    assert_eq!(json["listener_msgs_per_sec"], Value::Null, "{json}");
}

/// Every key that the page explains is one that the bench knows.
#[test]
fn the_page_names_figures_that_are_measured() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let page = fs::read_to_string(format!("{root}/docs/performance.md")).unwrap();
    let goals = fs::read_to_string(format!("{root}/tests/src/bench/goals.rs")).unwrap();
    for key in KEYS {
        assert!(page.contains(&format!("`{key}`")), "docs/performance.md does not say what {key} is");
        assert!(goals.contains(key), "the table does not show {key}");
    }
}
