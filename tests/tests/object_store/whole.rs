//! The whole way, from devices to an object store.

use serde_json::Value;
use tests::{Child, PATIENCE, until};

use crate::place::{Place, allowed, end};

fn verified(place: &Place) -> Value {
    place.site.verifying_in(&place.lake()).ended_within(5 * PATIENCE).well().json()
}

fn assert_whole(place: &Place, report: &Value) {
    let books = verified(place);
    assert_eq!((&books["missing"], &books["duplicated"]), (&0.into(), &0.into()), "{books}");
    assert_eq!(books["acknowledged"], report["acknowledged"], "{books}");
}

#[test]
fn object_store_has_all_that_devices_have_sent_once() {
    let place = Place::new();
    let up = place.up();
    let fleet =
        place.site.fleet(["--devices", "20", "--rate", "800", "--messages", "3000", "--faults", "default"]);
    let report = fleet.ended().well().json();
    place.site.wait_until_dry();
    end(up);
    assert_whole(&place, &report);
}

/// Killed where it hurts, and started again, while devices send.
#[test]
fn object_store_has_all_that_devices_have_sent_once_whatever_is_killed() {
    let place = Place::new();
    let fleet = {
        let up = place.up();
        let fleet =
            place.site.fleet(["--devices", "20", "--rate", "300", "--messages", "6000", "--qos", "2"]);
        until("rows are stored", || place.files() > 0);
        up.kill();
        fleet
    };
    for moment in ["put_before:2", "put_after:1", "put_after:3", "settle_before:1", "log_merged:1"] {
        place.site.configure(&format!(
            "queues: {{ lease_secs: 2 }}\ncompact: {{ every_secs: 1, files_min: 2 }}\nstore: {{ lake: '{}', lake_endpoint: \
             '{}', partition: hour, age_secs: 1, age_secs_max: 1 }}\n",
            tests::S3::lake("lake"),
            place.s3.endpoint()
        ));
        let mut up = place.site.armed("up", &format!("{moment}:kill"));
        up.arg("--listen").arg(place.site.address().to_string());
        let died = Child::start(allowed(up)).ended();
        assert_eq!(died.code, None, "{moment}: {}", died.err.join("\n"));
    }
    let up = place.up();
    let report = fleet.ended().well().json();
    place.site.wait_until_dry();
    end(up);
    crate::compaction::finish(&place);
    assert_whole(&place, &report);
}
