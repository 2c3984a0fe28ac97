//! `millstream compact` by hand, while store writes and its intents are in the table.

use tests::Child;

use crate::place::{Place, end};

/// A file each second, and nobody merges by himself.
const STORE: &str = "age_secs: 1, age_secs_max: 1";
const REST: &str = "compact: { every_secs: 0 }\n";

fn merges_and_keeps_each_row(place: &Place) {
    place.configure(STORE, REST);
    let up = place.up();
    let mut fleet = place.site.fleet(["--devices", "20", "--rate", "200", "--seconds", "8"]);
    let mut merged = 0;
    while fleet.is_running() {
        merged += place.ask(&["compact"])["partitions"].as_array().unwrap().len();
    }
    fleet.ended().well();
    place.site.wait_until_dry();
    assert!(merged > 0, "beside a running store");
    place.ask(&["compact"]);
    let again = place.ask(&["compact"]);
    assert_eq!((&again["partitions"], &again["waiting"]), (&serde_json::json!([]), &0.into()), "{again}");
    end(up);
    let verified: Child = place.site.verifying_in(&place.lake());
    let verified = verified.ended().well().json();
    assert_eq!((&verified["missing"], &verified["duplicated"]), (&0.into(), &0.into()), "{verified}");
}

#[test]
fn sqs_small_files_in_a_directory_are_merged_by_hand() {
    merges_and_keeps_each_row(&Place::in_directory());
}

#[test]
fn sqs_small_files_in_an_object_store_are_merged_by_hand() {
    merges_and_keeps_each_row(&Place::in_objects());
}
