//! `millstream compact` by hand, while store writes and its intents are in the table.

use std::{fs, path::PathBuf};

use serde_json::json;
use tests::lake;

use crate::place::{Place, end};

/// A file soon, and nobody merges by himself.
const STORE: &str = "age_secs: 1, age_secs_max: 1";
const REST: &str = "compact: { every_secs: 0 }\n";
const ROWS: u32 = 600;
const ROUNDS: u32 = 5;

/// Rows of one day, of a device of its own.
fn series(place: &Place, device: u32) -> PathBuf {
    let rows = (0..ROWS).map(|row| format!("2024-03-01 {:02}:{:02}:00,{row}\n", row / 60, row % 60));
    let path = place.site.path(&format!("device-{device}.csv"));
    fs::write(&path, "time,level\n".to_owned() + &rows.collect::<String>()).unwrap();
    path
}

fn merges_and_keeps_each_row(place: &Place) {
    place.configure(STORE, REST);
    let up = place.up();
    for round in 1..ROUNDS {
        place.site.replay([series(place, round)]).ended().well();
        place.site.wait_until_dry();
    }
    // Store writes into the partition that is merged.
    let more = place.site.replay([series(place, ROUNDS)]);
    let merged = place.ask(&["compact"]);
    let of_readings = |partition: &serde_json::Value| partition["dataset"] == "readings";
    assert!(merged["partitions"].as_array().unwrap().iter().any(of_readings), "{merged}");
    more.ended().well();
    place.site.wait_until_dry();
    place.ask(&["compact"]);
    let again = place.ask(&["compact"]);
    assert_eq!((&again["partitions"], &again["waiting"]), (&json!([]), &json!(0)), "{again}");
    end(up);
    let sql = "SELECT count(*) AS rows, count(DISTINCT (device_id, ts)) AS each FROM 'readings/**/*.parquet'";
    let (read, rows) = (lake::query(&place.lake(), sql), ROUNDS * ROWS);
    assert_eq!((&read[0]["rows"], &read[0]["each"]), (&json!(rows), &json!(rows)));
}

#[test]
fn sqs_small_files_in_a_directory_are_merged_by_hand() {
    merges_and_keeps_each_row(&Place::in_directory());
}

#[test]
fn sqs_small_files_in_an_object_store_are_merged_by_hand() {
    merges_and_keeps_each_row(&Place::in_objects());
}
