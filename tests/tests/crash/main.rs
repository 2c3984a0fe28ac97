//! Processes that are killed and put to sleep at moments that are known; the rig (`tests::rig`) does so at others.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod asleep;
mod killed;

use std::process::Command;

use tests::{Child, Site};

/// Rolls all the time, of several files each, and leases that a short sleep outlasts.
const RESTLESS: &str = "
queues: { lease_secs: 1 }
analyze: { dedupe_secs: 1576800000 }
store: { partition: hour, rows_max: 1000, age_secs: 1, age_secs_max: 1 }
";

/// `millstream run STAGE…`, which dies or falls asleep at a fail point.
fn run_armed(site: &Site, stages: &[&str], fail_point: &str) -> Child {
    start(site.armed("run", fail_point), site, stages)
}

fn start(command: Command, site: &Site, stages: &[&str]) -> Child {
    let child = launch(command, site, stages);
    child.says("running");
    child
}

fn launch(mut command: Command, site: &Site, stages: &[&str]) -> Child {
    command.args(stages).arg("--listen").arg(site.address().to_string());
    Child::start(command)
}

fn stop(processes: impl IntoIterator<Item = Child>) {
    for process in processes {
        process.terminate();
        process.ended().well();
    }
}
