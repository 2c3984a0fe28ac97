//! Several store workers at once, on a lake in an object store, with what they are about to write in the table.

use tests::{Child, Ministack, PATIENCE, S3, Site, until};

/// Moments at which a store worker dies, each with a second one after the one before.
const MOMENTS: [&str; 8] = [
    "claim_before:1",
    "claim_after:1",
    "intent_after:1",
    "put_before:1",
    "put_after:1",
    "put_after:2",
    "settle_before:1",
    "roll_done:1",
];

fn topology(s3: &S3) -> String {
    let (lake, endpoint) = (S3::lake("lake"), s3.endpoint());
    format!(
        "compact: {{ every_secs: 0 }}\n\
         store: {{ lake: '{lake}', lake_endpoint: '{endpoint}', partition: hour, rows_max: 500, age_secs: 1, age_secs_max: 1 }}\n"
    )
}

/// Three are at work all the time: one is left alone, one is killed at random, one at moments.
#[test]
fn sqs_stores_that_are_killed_write_each_row_once_into_an_object_store() {
    let (services, s3) = (Ministack::start(), S3::start());
    let site = Site::on_aws(&services, &topology(&s3)).with_environment(S3::environment());
    let before = site.run(&["ingest", "validate", "transform", "analyze", "alert"]);
    let calm = site.run(&["store"]);
    let mut fleet =
        site.fleet(["--devices", "50", "--rate", "200", "--seconds", "30", "--faults", "default"]);
    let mut struck = site.run(&["store"]);
    for moment in MOMENTS {
        let mut armed = site.armed("run", &format!("{moment}:kill"));
        armed.arg("store");
        let mut dying = Child::start(armed);
        until("a store worker dies at its moment", || !dying.is_running() || !fleet.is_running());
        struck.kill();
        struck = site.run(&["store"]);
    }
    let report = fleet.ended().well().json();
    site.wait_until_dry();
    for process in [before, calm, struck] {
        process.terminate();
        process.ended().well();
    }
    let lake = s3.bucket().join("lake");
    let verified = site.verifying_in(&lake).ended_within(5 * PATIENCE).well().json();
    assert_eq!((&verified["missing"], &verified["duplicated"]), (&0.into(), &0.into()), "{verified}");
    assert_eq!(verified["acknowledged"], report["acknowledged"], "{verified}");
}
