use std::{collections::BTreeMap, fs::File, path::PathBuf};

use serde_json::Value;
use tests::{Child, Ended, Site, lake};

use crate::{
    reader::{list, numbers},
    writer::Writer,
};

/// Many files of a few rows, which nobody merges by himself.
const SMALL: &str = "
store: { partition: hour, rows_max: 300, age_secs: 1, age_secs_max: 1 }
compact: { every_secs: 0 }
";

fn compact(site: &Site, arguments: &[&str]) -> Ended {
    let mut command = site.millstream("compact");
    command.args(arguments);
    Child::start(command).ended()
}

fn files(site: &Site) -> usize {
    let mut files = Vec::new();
    list(&site.lake().join("readings"), &mut files).unwrap();
    files.len()
}

/// How many files each partition has.
fn hours(site: &Site) -> BTreeMap<PathBuf, usize> {
    let mut files = Vec::new();
    list(&site.lake().join("readings"), &mut files).unwrap();
    let mut hours = BTreeMap::new();
    for hour in files.iter().filter_map(|file| file.parent()) {
        *hours.entry(hour.to_owned()).or_default() += 1;
    }
    hours
}

fn has_merged(site: &Site) -> bool {
    let mut files = Vec::new();
    list(&site.lake().join("readings"), &mut files).unwrap();
    files.iter().any(|path| path.to_string_lossy().ends_with("-merged.parquet"))
}

#[test]
fn by_hand_all_small_files_are_merged_whether_store_runs_or_not() {
    let site = Site::new(SMALL);
    let store = site.run(&["store"]);
    let writer = Writer::start(&site);
    tests::until("there are many files", || files(&site) > 60);
    // The one merges while the other writes.
    let merging = std::thread::scope(|scope| {
        let merging = scope.spawn(|| compact(&site, &["--json"]).well().json());
        tests::until("files were merged", || has_merged(&site));
        merging.join().unwrap()
    });
    assert!(merging["partitions"].as_array().unwrap().len() >= 10, "{merging}");
    tests::until("there are more", || {
        hours(&site).len() == 10 && hours(&site).values().all(|files| *files > 1)
    });
    let written = writer.stop();
    site.wait_until_dry();
    store.terminate();
    store.ended().well();

    let many = files(&site);
    let told = compact(&site, &["--dry-run"]).well().out;
    assert!(told.len() == 12 && told[11] == "nothing was changed", "{told:?}");
    assert_eq!(files(&site), many);
    let told = compact(&site, &["--dataset", "alerts"]).well().out;
    assert_eq!(told, ["there are no small files to merge"]);
    let told = compact(&site, &[]).well().out;
    assert!(told.len() == 11 && told[1].starts_with("readings/date=1970-01-01/hour=00 "), "{told:?}");
    assert_eq!(files(&site), 10);
    assert_eq!(compact(&site, &[]).well().out, ["there are no small files to merge"]);

    let numbers = numbers(&site.lake().join("readings")).unwrap();
    assert!(numbers == (0..written).collect(), "not what was written");
    let rows = lake::query(&site.lake(), "SELECT count(*) AS rows FROM 'readings/**/*.parquet'");
    assert_eq!(rows[0]["rows"], Value::from(written));
}

#[test]
fn what_keeps_files_from_being_merged_is_told() {
    let site = Site::new("");
    let said = compact(&site, &[]).with(1).err.join("\n");
    assert!(said.contains("there are no queues in") && said.contains("--data"), "{said}");
    let store = site.run(&["store"]);
    let lock = File::create(site.lake().join(".staging/compact.lock")).unwrap();
    lock.lock().unwrap();
    let said = compact(&site, &[]).with(1).err.join("\n");
    assert!(said.contains("merges files in this lake"), "{said}");
    let said = compact(&site, &["--dataset", "reading"]).with(2).err.join("\n");
    assert!(said.contains("readings"), "{said}");
    drop((lock, store));
}
