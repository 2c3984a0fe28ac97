//! Store is killed at the system calls that bring a file into the lake, and what it leaves behind is damaged.

use std::{
    fs::{self, OpenOptions},
    path::Path,
};

use tests::{Child, Site, inject::strace, lake};

use crate::{QUICK, staged};

/// Rows of two hours, so of two files.
fn series(site: &Site, number: usize) -> std::path::PathBuf {
    let path = site.path(&format!("device-{number}.csv"));
    fs::write(&path, "time,level\n2024-03-01 00:00:00,0.1\n2024-03-01 01:00:00,0.2\n").unwrap();
    path
}

/// Cuts every file in half that store has not given its name.
fn truncate_hidden(lake: &Path) {
    for roll in staged(lake) {
        for file in fs::read_dir(roll).unwrap() {
            let path = file.unwrap().path();
            // What has its name already is the same file: it is whole, and stays so.
            let is_named =
                fs::metadata(&path).is_ok_and(|file| std::os::unix::fs::MetadataExt::nlink(&file) > 1);
            if !is_named {
                let file = OpenOptions::new().write(true).open(&path).unwrap();
                file.set_len(file.metadata().unwrap().len() / 2).unwrap();
            }
        }
    }
}

/// Store, killed as it enters the call that `fault` names.
fn killed(site: &Site, fault: &str) {
    let mut store = site.millstream("run");
    store.arg("store");
    let store =
        Child::start(strace(&store, &format!("{fault}:signal=SIGKILL"), None, &site.path("strace.log")));
    assert_eq!(store.ended().code, None, "killed at {fault}");
}

#[test]
fn whatever_is_left_of_a_file_it_never_becomes_visible_and_its_rows_come_once() {
    let site = Site::new(&format!("analyze: {{ dedupe_secs: 1576800000 }}\n{QUICK}"));
    let _others = site.run(&["ingest", "validate", "transform", "analyze", "alert"]);
    fs::create_dir_all(site.lake()).unwrap();
    let reader = lake::watch(&site.lake());
    reader.says("watching");
    let mut sent = Vec::new();
    // Named by none, one, and both of two files; then while that is resolved, and cleared away.
    let moments: [(&str, &[&str]); 4] = [
        ("linkat:when=1", &[]),
        ("linkat:when=2", &["rename:when=1"]),
        ("linkat:when=2", &["unlinkat:when=1"]),
        ("unlinkat:when=1", &["rename:when=1", "unlinkat:when=1"]),
    ];
    for (number, (first, then)) in moments.into_iter().enumerate() {
        let series = series(&site, number);
        site.replay([&series]).ended().well();
        sent.push(series);
        tests::until("all rows wait for store", || {
            let queues = &site.queues()["queues"];
            ["validate", "transform", "analyze", "alert"].iter().all(|queue| queues[queue]["frames"] == 0)
                && queues["store"]["frames"].as_u64() > Some(0)
        });
        killed(&site, first);
        truncate_hidden(&site.lake());
        for fault in then {
            killed(&site, fault);
            truncate_hidden(&site.lake());
        }
        let store = site.run(&["store"]);
        store.says("its files are looked through");
        site.wait_until_dry();
        lake::holds_exactly(&site.lake(), &sent);
        store.terminate();
        store.ended().well();
        assert!(staged(&site.lake()).is_empty(), "{first}");
    }
    reader.terminate();
    reader.ended().well();
}
