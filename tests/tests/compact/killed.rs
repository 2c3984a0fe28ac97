use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::Duration,
};

use tests::{Child, Site, lake, program, until};

use crate::{
    reader::{Reader, list, numbers},
    writer::{PARTITIONS, Writer},
};

/// Rolls and compacts all the time.
const RESTLESS: &str = "
store: { partition: hour, rows_max: 400, age_secs: 1, age_secs_max: 1 }
compact: { every_secs: 1, files_min: 2 }
";

/// Each moment of a compaction. What was left lies for some seconds before it is removed: that is the last.
const MOMENTS: [&str; 5] =
    ["compact_write", "compact_link", "compact_exchange_before", "compact_exchange_after", "compact_remove"];

/// How long a process lives after it has come up: its first look at the lake comes after a second.
const LIVES: [u64; 6] = [1050, 1200, 400, 1100, 2100, 1300];

const COMPACTIONS: usize = 100;

/// A store, which may die at a moment before it says that it runs.
fn launch(site: &Site, program: Command) -> Child {
    let mut command = program;
    command
        .args(["run", "store", "--config"])
        .arg(site.path("millstream.yaml"))
        .arg("--data")
        .arg(site.data());
    Child::start(command)
}

/// The same, once it runs.
fn run(site: &Site) -> Child {
    let running = launch(site, program("millstream"));
    running.says("running");
    running
}

/// The merged files there are or, by their directories, were.
fn note_merged(lake: &Path, merged: &mut BTreeSet<PathBuf>) {
    let mut files = Vec::new();
    // Whatever goes while it is listed is noted another time.
    let _partly = list(&lake.join("readings"), &mut files);
    merged.extend(files.into_iter().filter(|path| path.to_string_lossy().ends_with("-merged.parquet")));
}

#[test]
fn a_reader_sees_each_row_once_through_a_hundred_compactions_and_kills() {
    let site = Site::new(RESTLESS);
    let mut store = run(&site);
    let (writer, reader, dashboard) =
        (Writer::start(&site), Reader::start(&site.lake()), lake::watch(&site.lake()));
    dashboard.says("watching");
    let (mut merged, mut others) = (BTreeSet::new(), Vec::new());
    for life in LIVES {
        sleep(Duration::from_millis(life));
        store.kill();
        // Whatever intents are open now, somebody merges; and is killed with the next store.
        let by_hand = Child::start(site.millstream("compact"));
        sleep(Duration::from_millis(life / 2));
        note_merged(&site.lake(), &mut merged);
        store = run(&site);
        others.push(by_hand);
        others.drain(..others.len() - 1).for_each(Child::kill);
    }
    for (hit, moment) in MOMENTS.iter().enumerate() {
        store.kill();
        let mut command = program("millstream-failpoints");
        // In one partition or another.
        command.env(
            "MILLSTREAM_FAIL_POINT",
            format!("{moment}:{}:kill", if hit == 4 { 1 } else { hit * 2 + 1 }),
        );
        assert_eq!(launch(&site, command).ended().code, None, "{moment}");
        note_merged(&site.lake(), &mut merged);
        store = run(&site);
    }
    // However long all of them take, as long as there are more and more.
    while merged.len() < COMPACTIONS && !reader.is_done() {
        let before = merged.len();
        until("files are merged", || {
            note_merged(&site.lake(), &mut merged);
            merged.len() > before || reader.is_done()
        });
    }
    let written = writer.stop();
    site.wait_until_dry();
    until("few files are left", || {
        let mut files = Vec::new();
        list(&site.lake().join("readings"), &mut files).is_ok() && files.len() as u64 <= 3 * PARTITIONS
    });
    let seen = reader.stop();
    store.terminate();
    store.ended().well();
    assert!(seen.reads > 5, "{} reads", seen.reads);
    let all: BTreeSet<u64> = (0..written).collect();
    assert!(numbers(&site.lake().join("readings")).unwrap() == all, "not what was written");
    dashboard.terminate();
    let looked = dashboard.ended().well().json();
    assert_ne!(looked["reads"], 0, "{looked}");
    eprintln!(
        "{written} rows, {} merged files, {} reads, {} again; {looked}",
        merged.len(),
        seen.reads,
        seen.again
    );
}

#[test]
fn what_was_exchanged_is_removed_when_nobody_can_be_reading_it() {
    let site = Site::new(RESTLESS);
    let store = run(&site);
    let writer = Writer::start(&site);
    let old = || {
        let entries = fs::read_dir(site.lake().join(".staging")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("compact-")).count()
    };
    until("a partition was exchanged", || old() > 0);
    writer.stop();
    site.wait_until_dry();
    until("nothing is left", || old() == 0);
    store.terminate();
    store.ended().well();
}
