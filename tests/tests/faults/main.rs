//! Faults of the world below whole programs: disks, files, other processes, clocks. Whatever happens is said, and nothing
//! that was acknowledged is lost or counted twice.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod clock;
mod damaged;
mod disk_full;
mod failed_sync;
mod interrupted;
mod locked;
mod read_only;

use std::{
    fs,
    path::{Path, PathBuf},
};

use tests::{Child, Console, Ended, Site};

/// Rows are in the lake within a second, each hour of event time in a file of its own.
const QUICK: &str = "store: { partition: hour, age_secs: 1, age_secs_max: 1 }\n";

/// `millstream up` with a console.
fn up(site: &Site) -> (Child, Console) {
    let mut command = site.up_command();
    command.args(["--console", "127.0.0.1:0"]);
    let up = Child::start(command);
    up.says("listening on mqtt://");
    let console = Console::of(&up);
    (up, console)
}

/// A fleet that publishes for so many seconds, and waits for every acknowledgement.
fn fleet(site: &Site, seconds: u32) -> Child {
    let seconds = seconds.to_string();
    site.fleet(["--rate", "400", "--seconds", &seconds, "--drain-secs", "60", "--faults", "default"])
}

/// Waits until messages flow.
fn flows(console: &Console) {
    tests::until("messages flow", || console.metric("millstream_ingest_acknowledged_total") > 200.0);
}

/// The fleet ends, and every message that it had acknowledged is there once.
fn balances(site: &Site, fleet: Child) {
    accounts_for(site, &fleet.ended().well());
}

/// Every message that an ended fleet had acknowledged is there once.
fn accounts_for(site: &Site, fleet: &Ended) {
    let report = fleet.json();
    site.wait_until_dry();
    let books = site.verify();
    assert_eq!(books["acknowledged"], report["acknowledged"]);
    assert!(books["stored"].as_u64().unwrap() > 200, "{books}");
}

/// Where files of rolls are that have no name yet; the locks beside them are files.
fn staged(lake: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(lake.join(".staging")).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_dir()).collect()
}
