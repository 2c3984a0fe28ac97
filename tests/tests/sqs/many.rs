//! Several processes of each stage.

use serde_json::Value;
use tests::{Ministack, Site, lake};

use crate::{
    QUICK,
    same_lake::{READINGS, TOPOLOGY, replay, replayed},
};

/// Processes: one that takes messages, so many of validate, and so many of each other stage.
fn apart(validate: usize, others: usize) -> Vec<&'static [&'static str]> {
    let mut processes: Vec<&[&str]> = vec![&["ingest"]];
    processes.extend(vec![&["validate"][..]; validate]);
    for stage in [&["transform"][..], &["analyze"], &["alert"], &["store"]] {
        processes.extend(vec![stage; others]);
    }
    processes
}

/// The books, and what they say of a stage whose every row counts once.
fn taken(books: &Value, stage: &str) -> [Value; 3] {
    ["consumed", "quarantined", "filtered"].map(|what| books[stage][what].clone())
}

/// validate reads a standard queue, so several of its processes change the order of what a device sends: with one, all is the
/// same, also what hangs on the order; with several, each reading is there once, with its value.
#[test]
fn sqs_two_and_three_processes_per_stage_lead_to_the_same_lake() {
    let topology = format!("{TOPOLOGY}{QUICK}");
    let embedded = Site::new(&topology);
    let (expected, its_books) = replayed(&embedded, &[]);
    assert!(expected[1].len() > 500 && expected[2].len() > 50, "windows and alerts");
    for others in [2, 3] {
        let services = Ministack::start();
        let (rows, books) = replayed(&Site::on_aws(&services, &topology), &apart(1, others));
        for (rows, expected) in rows.iter().zip(&expected) {
            assert!(rows == expected, "other rows with {others} processes per stage");
        }
        for stage in ["ingest", "validate", "transform", "analyze", "alert", "store"] {
            assert_eq!(books[stage], its_books[stage], "{stage} with {others} processes per stage");
        }
    }
    let readings = lake::query(&embedded.lake(), READINGS);
    for all in [2, 3] {
        let services = Ministack::start();
        let site = Site::on_aws(&services, &topology);
        let books = replay(&site, &apart(all, all));
        assert!(lake::query(&site.lake(), READINGS) == readings, "other readings with {all} of validate");
        for stage in ["validate", "transform", "analyze", "alert"] {
            assert_eq!(taken(&books, stage), taken(&its_books, stage), "{stage} with {all} of validate");
        }
    }
}
