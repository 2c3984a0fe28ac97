use std::fs;

use tests::{Child, Site};

/// Rows stay in the store queue until a stop asks for them.
const SLOW: &str = "store: { age_secs: 3600, age_secs_max: 3600 }\n";

fn publishing(site: &Site) -> Child {
    let fleet = site.fleet(["--rate", "2000", "--seconds", "120", "--faults", "default"]);
    tests::until("messages flow", || {
        site.queues()["books"]["alert"]["consumed"].as_u64().is_some_and(|consumed| consumed > 1000)
    });
    fleet
}

/// The fleet gives up, with some messages unacknowledged.
fn give_up(fleet: Child) {
    fleet.terminate();
    let code = fleet.ended().code;
    assert!(matches!(code, Some(0 | 143)), "{code:?}");
}

#[test]
fn sigterm_under_load_leaves_nothing_behind() {
    let site = Site::new(SLOW);
    let up = site.up();
    let fleet = publishing(&site);
    up.terminate();
    up.ended().well();
    give_up(fleet);
    let books = site.verify();
    assert!(books["stored"].as_u64().unwrap() > 200, "{books}");

    let up = site.up();
    for (queue, depth) in site.queues()["queues"].as_object().unwrap() {
        assert_eq!(depth["frames"], 0, "{queue}");
    }
    up.terminate();
    up.ended().well();
    assert_eq!(site.verify()["readings"], books["readings"]);
}

#[test]
fn what_a_short_stop_leaves_comes_with_the_next_start() {
    let hasty = format!("shutdown_secs: 0\n{SLOW}");
    let site = Site::new(&hasty);
    let up = site.up();
    let fleet = publishing(&site);
    up.terminate();
    let ended = up.ended().well();
    assert!(ended.err.iter().any(|line| line.contains("stays queued for the next start")), "{ended:?}");
    give_up(fleet);
    assert!(!fs::exists(site.lake().join("readings")).unwrap(), "nothing was due yet");

    site.configure(SLOW);
    let up = site.up();
    up.terminate();
    up.ended().well();
    let books = site.verify();
    assert!(books["stored"].as_u64().unwrap() > 200, "{books}");
}
