//! Directories that cannot be written, at the start and all of a sudden.

use std::{path::Path, process::Command};

use tests::{Child, Disk, Site, inject::strace, lake, program};

use crate::{QUICK, balances, fleet, flows, staged, up};

/// What a command says that does not start.
fn refusal(command: Command) -> String {
    Child::start(command).ended().with(1).err.join("\n")
}

#[test]
fn a_lake_that_becomes_read_only_holds_rows_up_and_loses_none() {
    // Shorter than the lake is away: a lease that ran out would count.
    let site = Site::new(&format!("queues: {{ lease_secs: 5, max_attempts: 1 }}\n{QUICK}"));
    let disk = Disk::at(site.lake(), 64);
    let (up, console) = up(&site);
    let fleet = fleet(&site, 12);
    tests::until("there are files", || lake::files(&site.lake()).len() > 5);
    disk.read_only(true);
    let said = up.says("rows stay queued");
    assert!(said.contains(&site.lake().display().to_string()), "{said}");
    assert!(said.contains("Read-only file system"), "{said}");
    assert!(console.trouble("lake").expect("it is told").contains("Read-only file system"));
    let before = lake::files(&site.lake()).len();
    tests::until("rows wait", || site.queues()["queues"]["store"]["rows"].as_u64() > Some(1000));
    assert_eq!(lake::files(&site.lake()).len(), before);

    disk.read_only(false);
    up.says("the lake can be written again");
    balances(&site, fleet);
    assert_eq!(console.trouble("lake"), None);
    assert_eq!(site.queues()["queues"]["store"]["dead"], 0);
    up.terminate();
    let ended = up.ended().well();
    assert_eq!(ended.said("rows stay queued"), 1, "{ended:?}");
    assert_eq!(ended.said("rows could not be written"), 0, "{ended:?}");
    assert!(staged(&site.lake()).is_empty());
}

#[test]
fn a_lake_that_cannot_be_made_is_named_at_the_start() {
    let site = Site::new(QUICK);
    let disk = Disk::at(site.path("elsewhere"), 1);
    disk.read_only(true);
    site.configure(&format!("store: {{ lake: {} }}\n", disk.root().join("lake").display()));
    let mut command = program("millstream");
    command.arg("up").arg("--config").arg(site.path("millstream.yaml"));
    let said = refusal(command);
    assert!(said.contains(&format!("cannot create {}", disk.root().join("lake").display())), "{said}");
    assert!(said.contains("Read-only file system"), "{said}");
    assert!(said.contains("store.lake"), "the way out: {said}");
}

#[test]
fn a_data_directory_that_is_read_only_is_named_at_the_start() {
    let site = Site::new(QUICK);
    let disk = Disk::at(site.data(), 64);
    for fresh in [true, false] {
        disk.read_only(true);
        let said = refusal(site.up_command());
        assert!(said.contains(&site.data().display().to_string()), "{said}");
        assert!(said.contains("Read-only file system"), "{said}");
        assert!(said.contains("--data DIR"), "the way out: {said}");
        disk.read_only(false);
        if fresh {
            let up = site.up();
            up.terminate();
            up.ended().well();
        }
    }
}

/// A kernel turns a file system read-only when its disk fails.
#[test]
fn a_data_directory_that_becomes_read_only_ends_the_process_and_loses_nothing() {
    let site = Site::new(QUICK);
    let log = site.data().join("millstream.db-wal");
    let faulty = |fault: &str, path: &Path| {
        let command = strace(&site.up_command(), fault, Some(path), &site.path("strace.log"));
        let up = Child::start(command);
        up.says("listening on mqtt://");
        up
    };
    let up = faulty("pwrite64:error=EROFS:when=200+", &log);
    let fleet = fleet(&site, 5);
    let said = up.ended().with(1).err.join("\n");
    assert!(said.contains(&site.data().join("millstream.db").display().to_string()), "{said}");
    assert!(said.contains("check the disk, then start again"), "{said}");
    let (up, console) = crate::up(&site);
    flows(&console);
    balances(&site, fleet);
    up.terminate();
    up.ended().well();
}
