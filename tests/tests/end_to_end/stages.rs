use tests::Site;

use crate::QUICK;

#[test]
fn a_process_per_stage_does_what_one_process_does() {
    let site = Site::new(QUICK);
    let ingest = site.run(&["ingest", "validate"]);
    let middle = site.run(&["transform", "analyze"]);
    let end = site.run(&["alert", "store"]);
    let fleet =
        site.fleet(["--devices", "50", "--rate", "1000", "--messages", "4000", "--faults", "default"]);

    // Each is killed while there is work for it.
    until_consumed(&site, "transform", 500);
    middle.kill();
    let middle = site.run(&["transform", "analyze"]);
    until_consumed(&site, "alert", 2000);
    end.kill();
    let end = site.run(&["alert", "store"]);

    let report = fleet.ended().well().json();
    assert_eq!(report["published"], report["acknowledged"]);
    site.wait_until_dry();
    for process in [ingest, middle, end] {
        process.terminate();
        process.ended().well();
    }
    let books = site.verify();
    assert_eq!(books["acknowledged"], report["acknowledged"]);
    assert_ne!(books["quarantined"], 0, "the faults of the fleet");
    assert_ne!(books["repeated"], 0, "the faults of the fleet");
}

fn until_consumed(site: &Site, stage: &str, rows: u64) {
    tests::until(&format!("{stage} has consumed {rows} rows"), || {
        site.queues()["books"][stage]["consumed"].as_u64().is_some_and(|consumed| consumed >= rows)
    });
}
