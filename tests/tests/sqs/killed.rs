//! kill -9 of workers: others take over what they had, and no row is lost or there twice.

use tests::{Child, Ministack, Site};

use crate::QUICK;

/// Processes, two of each stage with state and of store.
const PROCESSES: [&str; 9] =
    ["ingest", "validate", "transform", "analyze", "analyze", "alert", "alert", "store", "store"];

const RULE: &str = "alert: { rules: [{ name: hot, metric: temperature, above: 22 }] }\n";

#[test]
fn sqs_killed_workers_lose_and_repeat_nothing() {
    let services = Ministack::start();
    survives(&Site::on_aws(&services, &format!("{RULE}{QUICK}")));
}

#[test]
fn sqs_killed_workers_lose_and_repeat_nothing_on_standard_queues() {
    let services = Ministack::start();
    survives(&Site::on_standard_queues(&services, &format!("{RULE}{QUICK}")));
}

/// Kills workers while devices send, and again, and looks for each row in the lake.
fn survives(site: &Site) {
    let mut running: Vec<Child> = PROCESSES.iter().map(|stage| site.run(&[stage])).collect();
    let load = ["--devices", "50", "--rate", "500", "--seconds", "600", "--faults", "default"];
    let fleet = site.fleet(load);
    // Each but the intake, whose clients would only connect again, in turn.
    for at in (1..PROCESSES.len()).cycle().take(2 * (PROCESSES.len() - 1)) {
        running.remove(at).kill();
        running.insert(at, site.run(&[PROCESSES[at]]));
    }
    // It ends early, however long that took on this machine.
    fleet.terminate();
    fleet.ended().with(143);
    site.wait_until_dry();
    running.iter().for_each(Child::terminate);
    running.into_iter().for_each(|process| drop(process.ended().well()));
    let verified = site.verify();
    assert_eq!((&verified["missing"], &verified["duplicated"]), (&0.into(), &0.into()), "{verified}");
}
