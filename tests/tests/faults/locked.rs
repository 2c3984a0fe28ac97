//! Another program that holds the data file, such as a shell of sqlite3 with a transaction open.

use std::{thread::sleep, time::Duration};

use rusqlite::Connection;
use tests::{Child, Site};

use crate::{QUICK, balances, fleet, flows, up};

/// Takes the data file for itself.
fn hold(site: &Site, how: &str) -> Connection {
    let holder = Connection::open(site.data().join("millstream.db")).unwrap();
    holder.busy_timeout(Duration::from_secs(30)).unwrap();
    holder.execute_batch(how).unwrap();
    holder
}

#[test]
fn a_data_file_that_is_held_for_a_moment_makes_everybody_wait() {
    let site = Site::new(QUICK);
    let (up, console) = up(&site);
    let mut fleet = fleet(&site, 5);
    flows(&console);
    let holder = hold(&site, "BEGIN EXCLUSIVE");
    // Whoever only reads the file sees what was committed before, some of which may be acknowledged only now.
    let committed = || {
        let ingest = &site.queues()["books"]["ingest"];
        ["consumed", "quarantined"].iter().filter_map(|fate| ingest[fate].as_f64()).sum::<f64>()
    };
    let before = committed();
    sleep(Duration::from_secs(2));
    let acknowledged = console.metric("millstream_ingest_acknowledged_total");
    assert!(acknowledged <= before, "{acknowledged} acknowledgements, {before} messages");
    assert_eq!(committed(), before);
    assert!(fleet.is_running(), "it has more to send");
    drop(holder);
    balances(&site, fleet);
    up.terminate();
    let ended = up.ended().well();
    assert_eq!(ended.said("database is locked"), 0, "{ended:?}");
}

/// For longer than anybody waits for it, and than a lease lasts.
#[test]
fn a_data_file_that_is_held_for_long_costs_time_and_nothing_else() {
    let site = Site::new(&format!("queues: {{ lease_secs: 5 }}\n{QUICK}"));
    let (up, console) = up(&site);
    let fleet = fleet(&site, 5);
    flows(&console);
    let holder = hold(&site, "BEGIN IMMEDIATE");
    let said = up.says("acknowledgements wait until it works again");
    assert!(said.contains("database is locked"), "{said}");
    assert!(console.trouble("ingest").is_some());
    let mut another = site.millstream("run");
    another.arg("alert");
    let another = Child::start(another);
    drop(holder);
    up.says("publishing works again");
    // It waited for its turn to open the file.
    another.says("running");
    balances(&site, fleet);
    assert_eq!(console.trouble("ingest"), None);
    for queue in site.queues()["queues"].as_object().unwrap().values() {
        assert_eq!(queue["dead"], 0, "{queue}");
    }
    up.terminate();
    let ended = up.ended().well();
    assert_eq!(ended.said("acknowledgements wait"), 1, "{ended:?}");
}
