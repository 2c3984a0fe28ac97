//! A disk that fails when what was written has to be on it.

use std::fs;

use tests::{Child, Site, inject::strace, lake};

use crate::{QUICK, balances, fleet, flows, up};

/// `up` on a disk that fails; what it said when that ended it, and what it asked of the system.
fn dies_of(site: &Site, fault: &str, file: &str) -> (String, String) {
    let trace = site.path("strace.log");
    let command = strace(&site.up_command(), fault, Some(&site.data().join(file)), &trace);
    let up = Child::start(command);
    let ended = up.ended().with(1);
    assert_eq!(ended.said("the database stops"), 1, "{ended:?}");
    assert_eq!(ended.said("panicked"), 0, "{ended:?}");
    assert_eq!(ended.said("listening on mqtt://"), 1, "the fault comes once it runs: {ended:?}");
    (ended.err.join("\n"), fs::read_to_string(trace).unwrap())
}

fn goes_on(site: &Site, fleet: Child) {
    let (up, console) = up(site);
    flows(&console);
    balances(site, fleet);
    up.terminate();
    up.ended().well();
}

/// Early: a busy machine makes few commits, of many messages each, and the next process is to see some of the fleet, too.
const COMMITS: usize = 15;
/// The first come before it listens.
const WRITES: usize = 200;

/// A kernel tells of a failed fsync once, and may then take the pages for clean: the next fsync would succeed.
#[test]
fn a_failed_fsync_of_the_log_ends_the_process_and_loses_nothing() {
    let site = Site::new(QUICK);
    let fleet = fleet(&site, 5);
    let (said, trace) = dies_of(&site, &format!("fsync:error=EIO:when={COMMITS}"), "millstream.db-wal");
    assert!(said.contains(&format!("{} is not used any more", site.data().join("millstream.db").display())));
    assert!(said.contains("check the disk, then start again"), "{said}");
    let (before, after) = trace.split_once("INJECTED").expect("a failed fsync");
    assert!(before.lines().count() >= COMMITS, "{trace}");
    // At its end the file is closed, which brings in what was synced before.
    assert!(after.matches("fsync(").count() <= 2, "no commit is tried after it:\n{after}");
    goes_on(&site, fleet);
}

/// Of the file itself only checkpoints are synced, by which the log is emptied.
#[test]
fn a_failed_fsync_of_the_file_ends_the_process_and_loses_nothing() {
    let site = Site::new(QUICK);
    // What is synced to begin with is so by now.
    let up = site.up();
    up.terminate();
    up.ended().well();
    let fleet = site.fleet(["--rate", "3000", "--seconds", "16", "--drain-secs", "60"]);
    let (said, _) = dies_of(&site, "fsync:error=EIO:when=1", "millstream.db");
    assert!(said.contains("check the disk, then start again"), "{said}");
    goes_on(&site, fleet);
}

#[test]
fn a_failed_write_ends_the_process_and_loses_nothing() {
    let site = Site::new(QUICK);
    let fleet = fleet(&site, 5);
    let (said, _) = dies_of(&site, &format!("pwrite64:error=EIO:when={WRITES}"), "millstream.db-wal");
    assert!(said.contains("check the disk, then start again"), "{said}");
    goes_on(&site, fleet);
}

/// One fsync after the other of each thread of a store worker fails: of the log, of a Parquet file, of a directory.
#[test]
fn whichever_fsync_of_store_fails_a_row_comes_into_the_lake_once() {
    let site = Site::new(&format!("analyze: {{ dedupe_secs: 1576800000 }}\n{QUICK}"));
    let _others = site.run(&["ingest", "validate", "transform", "analyze", "alert"]);
    let mut sent = Vec::new();
    let (mut ended, mut went_on) = (0, 0);
    for number in 1..=10_u32 {
        let fault = format!("fsync:error=EIO:when={number}");
        let mut store = site.millstream("run");
        store.arg("store");
        let mut store = Child::start(strace(&store, &fault, None, &site.path("strace.log")));
        let series = site.path(&format!("device-{number}.csv"));
        fs::write(&series, "time,level\n2024-03-01 00:00:00,0.1\n2024-03-01 01:00:00,0.2\n").unwrap();
        site.replay([&series]).ended().well();
        sent.push(series);
        let mut is_done = false;
        tests::until("it writes, or ends", || {
            is_done = !store.is_running();
            // All of them: rows may be on their way to it.
            is_done || site.is_dry()
        });
        if is_done {
            ended += 1;
            store.ended().with(1);
            let store = site.run(&["store"]);
            site.wait_until_dry();
            store.terminate();
            store.ended().well();
        } else {
            store.terminate();
            went_on += usize::from(store.ended().well().said("rows stay queued") > 0);
        }
    }
    lake::holds_exactly(&site.lake(), &sent);
    assert!(ended > 0 && went_on > 0, "{ended} times of the log, {went_on} times of the lake");
}
