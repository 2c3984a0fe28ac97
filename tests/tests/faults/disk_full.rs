//! No room on the disk of the queues, and on that of the lake.

use std::{thread::sleep, time::Duration};

use tests::{Child, Disk, Site, lake};

use crate::{QUICK, balances, fleet, flows, staged, up};

#[test]
fn a_full_disk_holds_acknowledgements_back_and_loses_nothing() {
    let site = Site::new(QUICK);
    let disk = Disk::at(site.data(), 64);
    let (up, console) = up(&site);
    let fleet = fleet(&site, 6);
    flows(&console);
    disk.fill();
    let said = up.says("acknowledgements wait until it works again");
    assert!(said.contains("disk is full"), "{said}");
    let trouble = console.trouble("ingest").expect("it is told that nothing can be published");
    assert!(trouble.contains("cannot be published now"), "{trouble}");
    let seen = || {
        ["_acknowledged_total", "_connections"]
            .map(|name| console.metric(&format!("millstream_ingest{name}")).to_string())
    };
    // The answers to what was durable before may be on their way.
    let mut before = seen();
    tests::until("they have come", || {
        sleep(Duration::from_millis(200));
        let last = std::mem::replace(&mut before, seen());
        last == before
    });
    // For one try after another.
    sleep(Duration::from_secs(2));
    assert_eq!(seen(), before, "nobody is answered, nobody is sent away");

    disk.make_room();
    up.says("publishing works again");
    balances(&site, fleet);
    assert_eq!(console.trouble("ingest"), None);
    up.terminate();
    let ended = up.ended().well();
    // A small commit may just fit in between.
    let (stalled, works) = (ended.said("acknowledgements wait"), ended.said("publishing works again"));
    assert!(stalled == works && stalled <= 2, "not at each try: {ended:?}");
    for stage in ["validate", "transform", "analyze", "alert", "store"] {
        let said = format!("cannot be used now; it is tried again stage=\"{stage}\"");
        assert!(ended.said(&said) <= 2, "not at each try: {ended:?}");
    }
    assert!(staged(&site.lake()).is_empty());
}

#[test]
fn a_start_on_a_full_disk_says_what_to_do() {
    let site = Site::new(QUICK);
    // In a new directory, and in one that holds a data file.
    let disk = Disk::at(site.data(), 64);
    for _ in 0..2 {
        disk.fill();
        let said = Child::start(site.up_command()).ended().with(1).err.join("\n");
        assert!(said.contains("make room, then start again"), "{said}");
        disk.make_room();
        let (up, _console) = up(&site);
        up.terminate();
        up.ended().well();
    }
}

#[test]
fn a_full_disk_of_the_lake_holds_rows_up_and_loses_none() {
    let site = Site::new(QUICK);
    let disk = Disk::at(site.lake(), 16);
    let (up, console) = up(&site);
    disk.fill();
    let reader = lake::watch(&site.lake());
    reader.says("watching");
    let fleet = fleet(&site, 4);
    let said = up.says("rows stay queued");
    assert!(said.contains(&site.lake().display().to_string()), "{said}");
    assert!(said.contains("No space left on device"), "{said}");
    assert!(console.trouble("lake").expect("it is told").contains("No space left on device"));
    flows(&console);
    tests::until("rows wait", || site.queues()["queues"]["store"]["rows"].as_u64() > Some(1000));
    assert_eq!(lake::files(&site.lake()).len(), 0, "no partial file");

    disk.make_room();
    up.says("the lake can be written again");
    balances(&site, fleet);
    assert_eq!(console.trouble("lake"), None);
    reader.terminate();
    reader.ended().well();
    up.terminate();
    let ended = up.ended().well();
    assert_eq!(ended.said("rows stay queued"), 1, "{ended:?}");
    assert_eq!(site.queues()["queues"]["store"]["dead"], 0);
    assert!(staged(&site.lake()).is_empty());
}
