//! Processes that die between two steps of a commit.

use std::{fs, path::PathBuf};

use tests::{Child, Ministack, Site, lake, until};

use crate::{QUICK, same_lake::TOPOLOGY};

/// The last thing that a process does.
const MOMENTS: [&str; 3] = ["sqs_published", "sqs_appended", "sqs_settled"];
const STAGES: [&str; 2] = ["analyze", "alert"];

/// Readings of one device.
fn series(site: &Site, device: &str) -> PathBuf {
    let rows = (0..40).map(|row| format!("2024-03-01 06:{row:02}:00,{row},{}\n", 7 * row));
    let path = site.path(&format!("{device}.csv"));
    fs::write(&path, "time,level,flow\n".to_owned() + &rows.collect::<String>()).unwrap();
    path
}

/// A process of `stage` that dies at a moment.
fn dying(site: &Site, stage: &str, moment: &str) -> Child {
    let mut command = site.armed("run", &format!("{moment}:1:kill"));
    command.arg(stage);
    let dying = Child::start(command);
    dying.says("running");
    dying
}

fn carries_on(site: &Site) {
    let others = site.run(&["ingest", "validate", "transform", "store"]);
    let mut sent = Vec::new();
    for moment in MOMENTS {
        for (stage, other) in [(STAGES[0], STAGES[1]), (STAGES[1], STAGES[0])] {
            let (mut dying, other) = (dying(site, stage, moment), site.run(&[other]));
            let series = series(site, &format!("{stage}-{moment}"));
            site.replay([&series]).ended().well();
            sent.push(series);
            until("it dies", || !dying.is_running());
            other.terminate();
            other.ended().well();
        }
    }
    let stages = site.run(&STAGES);
    site.wait_until_dry();
    [&others, &stages].into_iter().for_each(Child::terminate);
    [others, stages].into_iter().for_each(|process| drop(process.ended().well()));
    assert_eq!(lake::holds_exactly(&site.lake(), &sent), 6 * 40 * 2);
}

#[test]
fn sqs_commit_whose_process_dies_is_carried_on() {
    let services = Ministack::start();
    carries_on(&Site::on_aws(&services, &format!("{TOPOLOGY}{QUICK}")));
}

#[test]
fn sqs_commit_whose_process_dies_is_carried_on_without_order() {
    let services = Ministack::start();
    carries_on(&Site::on_standard_queues(&services, &format!("{TOPOLOGY}{QUICK}")));
}
