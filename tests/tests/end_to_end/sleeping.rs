//! Processes that sleep for longer than their leases last, while others work on, and wake up again.

use std::{net::SocketAddr, thread::sleep, time::Duration};

use serde_json::Value;
use tests::{Child, Site, lake, until};

/// Short leases, and an alert with every other message: they show whether rows kept their order. Not so short that those
/// who are awake lose theirs, and with them the order, while the data file is held for one who falls asleep.
const SLEEPY: &str = "
queues: { lease_secs: 2 }
alert: { rules: [{ name: high, metric: pressure, above: 1013 }] }
store: { age_secs: 1, age_secs_max: 1 }
";

/// Longer than a lease, with time for others to notice.
const NIGHT: Duration = Duration::from_millis(4000);

/// The queue that a stage reads from has its name.
const STAGES: [&str; 6] = ["ingest", "validate", "transform", "analyze", "alert", "store"];

/// Enough for those who have slept, too.
const MESSAGES: u64 = 12_000;

fn fleet(site: &Site) -> Child {
    let messages = MESSAGES.to_string();
    site.fleet(["--devices", "50", "--rate", "1500", "--messages", &messages, "--qos", "2"])
}

/// Puts `child` to sleep at a moment when it holds frames of `queue`, if one is named, and nobody else does, but not
/// the data file: in the middle of a commit everybody would have to wait for it.
pub(crate) fn put_to_sleep(site: &Site, child: &mut Child, queue: Option<&str>) {
    until("it sleeps with frames in its hands", || {
        child.stop();
        let holds = |queue| {
            let depth = &site.queues()["queues"][queue];
            // Ticks have no rows.
            depth["in_flight"] != 0 && depth["rows"] != 0
        };
        let asleep = site.is_writable() && queue.is_none_or(holds);
        if !asleep {
            child.go_on();
            sleep(Duration::from_millis(10));
        }
        asleep
    });
}

fn consumed(site: &Site, stage: &str) -> u64 {
    site.queues()["books"][stage]["consumed"].as_u64().unwrap_or_default()
}

fn until_consumed(site: &Site, stage: &str, rows: u64) {
    until(&format!("{stage} has consumed {rows} rows"), || consumed(site, stage) >= rows);
}

fn number(row: &Value, name: &str) -> u64 {
    row[name].as_u64().unwrap_or_else(|| panic!("no {name} in {row}"))
}

/// Asserts that the lake has all that the fleet has sent, and nothing twice.
fn assert_whole(site: &Site) {
    let books = site.verify();
    assert_eq!((number(&books, "published"), number(&books, "stored")), (MESSAGES, MESSAGES), "{books}");
}

/// Asserts that each alert that follows from the readings is in the lake, once. It does only from readings in order.
fn assert_alerts(site: &Site) {
    let followed = lake::query(
        &site.lake(),
        "WITH high AS (
            SELECT value > 1013 AS high,
                coalesce(lag(value > 1013) OVER (PARTITION BY device_id ORDER BY seq), false) AS before
            FROM 'readings/**/*.parquet' WHERE metric = 'pressure'
         )
         SELECT count(*) AS n FROM high WHERE high <> before",
    );
    let alerts = lake::query(
        &site.lake(),
        "SELECT count(*) AS n, count(DISTINCT (alert, state)) AS once FROM 'alerts/**/*.parquet'",
    );
    assert_ne!(number(&followed[0], "n"), 0);
    assert_eq!(number(&alerts[0], "n"), number(&followed[0], "n"), "alerts");
    assert_eq!(number(&alerts[0], "once"), number(&alerts[0], "n"), "alerts");
}

/// `sleeper` runs alone, falls asleep with frames in its hands, `parts` take over, and it wakes up; then those end, and
/// it has to do the rest by itself.
fn sleep_through(site: &Site, sleeper: &mut Child, parts: &[&str], stage: &str) {
    until_consumed(site, stage, 500);
    put_to_sleep(site, sleeper, Some(stage));
    // Those who start now may have consumed all that it held before they say that they run.
    let before = consumed(site, stage);
    let other = site.run(parts);
    sleep(NIGHT);
    // Of every lane: as much cannot come from those alone that the sleeper did not hold.
    until(&format!("others go on with what {stage} held"), || {
        let depths = site.queues();
        let oldest = depths["queues"][stage]["oldest_secs"].as_f64();
        // For whoever looks into a failure.
        eprintln!("{before} rows before; now {} and {}", depths["queues"], depths["books"][stage]);
        consumed(site, stage) > before && oldest.is_none_or(|secs| secs < NIGHT.as_secs_f64())
    });
    sleeper.go_on();
    until_consumed(site, stage, (before + 2000).min(MESSAGES));
    other.terminate();
    other.ended().well();
}

/// All stages but one are a process, and two of that one take turns.
fn check(stage: &str) -> Site {
    let site = Site::new(SLEEPY);
    let others: Vec<_> = STAGES.into_iter().filter(|other| *other != stage).collect();
    let others = site.run(&others);
    let mut sleeper = site.run(&[stage]);
    let fleet = fleet(&site);
    sleep_through(&site, &mut sleeper, &[stage], stage);
    let report = fleet.ended().well().json();
    assert_eq!(report["published"], report["acknowledged"]);
    site.wait_until_dry();
    for process in [others, sleeper] {
        process.terminate();
        process.ended().well();
    }
    assert_whole(&site);
    site
}

#[test]
fn a_validate_that_slept_through_its_lease_does_nothing_twice() {
    // Its queue is without order, so two of them mix up rows, and other alerts follow from that.
    check("validate");
}

#[test]
fn a_transform_that_slept_through_its_lease_does_nothing_twice() {
    assert_alerts(&check("transform"));
}

#[test]
fn an_analyze_that_slept_through_its_lease_does_nothing_twice() {
    assert_alerts(&check("analyze"));
}

#[test]
fn an_alert_that_slept_through_its_lease_tells_nothing_twice() {
    assert_alerts(&check("alert"));
}

#[test]
fn a_store_that_slept_through_its_lease_writes_nothing_twice() {
    assert_alerts(&check("store"));
}

#[test]
fn an_up_that_slept_through_its_leases_goes_on_beside_others() {
    let site = Site::new(SLEEPY);
    let mut up = site.up();
    let fleet = fleet(&site);
    // A second validate would mix up rows.
    sleep_through(&site, &mut up, &["transform", "analyze", "alert", "store"], "analyze");
    let report = fleet.ended().well().json();
    assert_eq!(report["published"], report["acknowledged"]);
    site.wait_until_dry();
    up.terminate();
    up.ended().well();
    assert_whole(&site);
    assert_alerts(&site);
}

/// Nobody takes anything over: what it held is its own still, or again.
#[test]
fn an_up_that_sleeps_alone_goes_on_where_it_was() {
    let site = Site::new(SLEEPY);
    let mut up = site.up();
    let fleet = fleet(&site);
    for rows in [2000, 10_000, 20_000] {
        until_consumed(&site, "store", rows);
        up.stop();
        sleep(NIGHT);
        up.go_on();
    }
    let report = fleet.ended().well().json();
    assert_eq!(report["published"], report["acknowledged"]);
    site.wait_until_dry();
    up.terminate();
    up.ended().well();
    assert_whole(&site);
    assert_alerts(&site);
}

#[test]
fn an_ingest_that_sleeps_loses_no_message_and_costs_others_nothing() {
    let site = Site::new(SLEEPY);
    let rest = site.run(&STAGES[1..]);
    let mut sleeper = site.run(&["ingest"]);
    let elsewhere = SocketAddr::new(site.address().ip(), site.address().port() + 1);
    let mut command = site.millstream("run");
    command.args(["ingest", "--listen", &elsewhere.to_string()]);
    let other = Child::start(command);
    other.says("listening on mqtt://");

    let fleet = fleet(&site);
    until_consumed(&site, "ingest", 2000);
    put_to_sleep(&site, &mut sleeper, None);
    let before = consumed(&site, "validate");
    crate::quarantine::publish_to(elsewhere, &vec![("of/no/pattern", b"1".to_vec()); 100]);
    sleep(NIGHT);
    sleeper.go_on();
    let report = fleet.ended().well().json();
    assert_eq!(report["published"], report["acknowledged"]);
    site.wait_until_dry();
    assert!(consumed(&site, "validate") > before);
    for process in [rest, sleeper, other] {
        process.terminate();
        process.ended().well();
    }
    let refused = lake::query(&site.lake(), "SELECT count(*) AS n FROM 'quarantine/**/*.parquet'");
    assert_eq!(number(&refused[0], "n"), 100);
    let stored = lake::query(
        &site.lake(),
        "SELECT count(*) AS n, count(DISTINCT (device_id, seq)) AS messages FROM 'readings/**/*.parquet'",
    );
    assert_eq!((number(&stored[0], "n"), number(&stored[0], "messages")), (4 * MESSAGES, MESSAGES));
    assert_alerts(&site);
}
