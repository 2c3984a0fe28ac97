//! Several store workers at once, on a lake in an object store, with what they are about to write in the table.

use tests::{Child, Ministack, PATIENCE, S3, Site};

/// Moments at which a store worker dies, in the order of a roll.
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

/// Sends more messages; how many were acknowledged.
fn send(site: &Site, seed: u32) -> u64 {
    let seed = seed.to_string();
    let load =
        ["--devices", "50", "--rate", "400", "--messages", "400", "--faults", "default", "--seed", &seed];
    site.fleet(load).ended().well().json()["acknowledged"].as_u64().unwrap()
}

/// Three are at work all the time: one is left alone, one is killed at random, one at moments.
#[test]
fn sqs_stores_that_are_killed_write_each_row_once_into_an_object_store() {
    let (services, s3) = (Ministack::start(), S3::start());
    let site = Site::on_aws(&services, &topology(&s3)).with_environment(S3::environment());
    let before = site.run(&["ingest", "validate", "transform", "analyze", "alert"]);
    let (calm, mut struck) = (site.run(&["store"]), site.run(&["store"]));
    let (mut acknowledged, mut seeds) = (0, 1..);
    for moment in MOMENTS {
        let mut armed = site.armed("run", &format!("{moment}:kill"));
        armed.arg("store");
        let mut dying = Child::start(armed);
        // Which of them is handed frames is up to SQS.
        for seed in seeds.by_ref().take(20) {
            acknowledged += send(&site, seed);
            if !dying.is_running() {
                break;
            }
        }
        assert!(!dying.is_running(), "{moment}: it was handed no frames");
        struck.kill();
        struck = site.run(&["store"]);
    }
    site.wait_until_dry();
    for process in [before, calm, struck] {
        process.terminate();
        process.ended().well();
    }
    let lake = s3.bucket().join("lake");
    let verified = site.verifying_in(&lake).ended_within(5 * PATIENCE).well().json();
    assert_eq!((&verified["missing"], &verified["duplicated"]), (&0.into(), &0.into()), "{verified}");
    assert_eq!(verified["acknowledged"], acknowledged, "{verified}");
}
