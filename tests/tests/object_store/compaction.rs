//! Small files become large ones by the log of merges, and whoever is killed in between is finished for.

use std::{fs, path::Path, time::Duration};

use serde_json::Value;
use tests::{Child, below, lake, until};

use crate::{
    place::{Place, end},
    rows::{PARTITIONS, assert_once, numbers_in, publish},
};

/// A lake of so many files in each partition, of a frame each.
fn with_files(frames: u64) -> Place {
    let place = Place::new();
    let store = place.store();
    for frame in 0..frames {
        publish(&place.site, frame..frame + 1);
        place.site.wait_until_dry();
    }
    end(store);
    assert_eq!(place.files() as u64, frames * PARTITIONS);
    place
}

fn compact(place: &Place) -> Value {
    let mut command = place.command("compact");
    command.arg("--json");
    Child::start(command).ended().well().json()
}

/// Lets so much time pass for whatever is below a directory of the lake.
fn let_time_pass(place: &Place, directory: &str, time: Duration) {
    place.s3.let_time_pass(&Path::new("lake").join(directory), time);
}

/// Finishes what a killed compaction has left.
pub(crate) fn finish(place: &Place) {
    let_time_pass(place, ".compact", Duration::from_secs(1200));
    compact(place);
}

fn entries(place: &Place) -> Vec<String> {
    let names = below(&place.lake().join(".compact")).into_iter();
    names.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

#[test]
fn object_store_small_files_become_one() {
    let place = with_files(4);
    let told = compact(&place);
    assert_eq!(told["partitions"].as_array().unwrap().len() as u64, PARTITIONS, "{told}");
    assert_eq!(
        (&told["partitions"][0]["files_before"], &told["partitions"][0]["files_after"]),
        (&4.into(), &1.into())
    );
    assert_eq!(place.files() as u64, PARTITIONS);
    assert_once(&place.lake(), 4);
    assert_eq!(compact(&place)["partitions"], Value::Array(Vec::new()));
    // What is done is forgotten, but for the last.
    let more = place.store();
    publish(&place.site, 4..5);
    place.site.wait_until_dry();
    end(more);
    compact(&place);
    assert_eq!(entries(&place).len() as u64, 4 * PARTITIONS);
    let_time_pass(&place, ".compact", Duration::from_secs(7200));
    compact(&place);
    assert_eq!(entries(&place).len() as u64, 2 * PARTITIONS);
    assert_once(&place.lake(), 5);
}

#[test]
fn object_store_a_dry_run_changes_nothing() {
    let place = with_files(2);
    let mut command = place.command("compact");
    command.args(["--json", "--dry-run"]);
    let told = Child::start(command).ended().well().json();
    assert_eq!(told["partitions"].as_array().unwrap().len() as u64, PARTITIONS, "{told}");
    assert_eq!(place.files() as u64, 2 * PARTITIONS);
    assert_eq!(entries(&place), [""; 0]);
}

/// What readers see by the rule of the documentation: they list files, then read the log.
fn seen_by_rule(place: &Place) -> Vec<u64> {
    let files = lake::files(&place.lake().join("readings"));
    let mut replaced = Vec::new();
    for path in below(&place.lake().join(".compact")) {
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let entry: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let partition = path.parent().unwrap().strip_prefix(place.lake().join(".compact")).unwrap();
        let at = |name: &Value| place.lake().join(partition).join(name.as_str().unwrap());
        let merged = at(&entry["merged"]);
        let is_there = files.contains(&merged) && entry["bytes"] == merged.metadata().unwrap().len();
        if is_there {
            replaced.extend(entry["inputs"].as_array().unwrap().iter().map(at));
        }
    }
    let mut numbers: Vec<_> =
        files.iter().filter(|path| !replaced.contains(path)).flat_map(|path| numbers_in(path)).collect();
    numbers.sort_unstable();
    // The same as the page says it.
    let page = include_str!("../../../docs/object-stores.md");
    let sql =
        page.split("```sql\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a query on the page");
    let counted = lake::query(&place.s3.bucket(), sql);
    assert_eq!(counted[0]["count_star()"], numbers.len(), "{counted:?}");
    numbers
}

#[test]
fn object_store_a_compaction_that_is_killed_is_finished_by_the_next() {
    for (moment, hit) in [("log_open", 1), ("log_merged", 2), ("log_removed", 1), ("log_open", 3)] {
        let place = with_files(3);
        let died = Child::start(place.armed("compact", &format!("{moment}:{hit}:kill"))).ended();
        assert_eq!(died.code, None, "{moment}: {}", died.err.join("\n"));
        let all: Vec<_> = (0..3 * crate::rows::ROWS).collect();
        assert!(seen_by_rule(&place) == all, "{moment}: by the rule");
        // Its writer may be only slow.
        let told = compact(&place);
        assert_eq!(told["waiting"], 1, "{moment}: {told}");
        assert!(seen_by_rule(&place) == all, "{moment}: by the rule");
        finish(&place);
        assert_once(&place.lake(), 3);
        let files = place.files() as u64;
        // A fence stays where the merged file was not sent.
        assert_eq!(files, PARTITIONS + u64::from(moment == "log_open"), "{moment}");
    }
}

#[test]
fn object_store_a_compaction_that_slept_meets_a_fence() {
    let place = with_files(3);
    let sleeper = Child::start(place.armed("compact", "log_open:1:stop"));
    until("it sleeps", || sleeper.has_stopped());
    finish(&place);
    assert_once(&place.lake(), 3);
    sleeper.go_on();
    sleeper.ended();
    assert_once(&place.lake(), 3);
    assert_eq!(place.files() as u64, PARTITIONS + 1);
    // After a fortnight nobody needs the fence.
    let_time_pass(&place, "readings", Duration::from_secs(16 * 86_400));
    compact(&place);
    assert_eq!(place.files() as u64, PARTITIONS);
    assert_once(&place.lake(), 3);
}

/// Files that an intent names are not merged.
#[test]
fn object_store_what_is_not_settled_stays() {
    let place = with_files(2);
    publish(&place.site, 2..3);
    let died = place.armed_store("settle_before:1:kill").ended();
    assert_eq!(died.code, None, "{}", died.err.join("\n"));
    compact(&place);
    assert_eq!(place.files() as u64, 2 * PARTITIONS, "one of two, and the one that is not settled");
    let store = place.store();
    place.site.wait_until_dry();
    end(store);
    assert_once(&place.lake(), 3);
}

#[test]
fn object_store_several_compactions_at_once_do_nothing_twice() {
    let place = with_files(4);
    let together: Vec<_> = (0..3).map(|_| Child::start(place.command("compact"))).collect();
    together.into_iter().for_each(|compact| drop(compact.ended().well()));
    compact(&place);
    assert_eq!(place.files() as u64, PARTITIONS);
    assert_once(&place.lake(), 4);
}
