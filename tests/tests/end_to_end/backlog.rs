//! Messages that come while nobody writes them into the lake: memory stays bounded, and at the limit of the queues
//! publishers wait.

use std::{env, thread::sleep, time::Duration};

use rusqlite::Connection;
use serde_json::Value;
use tests::{Child, Mosquitto, Site, until};

/// With little memory of repeats, which grows with the messages of its time, not with the backlog; and store rolls so
/// early that it has not much in hand.
const TOPOLOGY: &str = "
analyze: { dedupe_secs: 1 }
store: { age_secs: 1, age_secs_max: 1, rows_max: 100000 }
";

const BEFORE_STORE: [&str; 5] = ["ingest", "validate", "transform", "analyze", "alert"];

/// The most memory that a process may take, however deep the backlog: a million messages are four million readings.
const MEMORY_MAX: u64 = 160 << 20;
/// How much more it may take for a backlog that is four times as deep: a process that kept the readings would take
/// twice as much for a hundred thousand messages.
const GROWTH_MAX: u64 = 14 << 20;

/// How many messages pile up: `MILLSTREAM_BACKLOG=1000000` makes them a million.
fn messages() -> u64 {
    let asked = env::var("MILLSTREAM_BACKLOG").ok();
    asked.map_or(100_000, |asked| asked.parse().expect("MILLSTREAM_BACKLOG is a number of messages"))
}

fn fleet(messages: u64) -> Vec<String> {
    let messages = messages.to_string();
    let arguments = ["--messages", &messages, "--rate", "0", "--devices", "200", "--drain-secs", "3600"];
    arguments.map(str::to_owned).into()
}

/// Waits until `condition` holds, for as long as rows move.
fn until_while_rows_move(site: &Site, what: &str, mut condition: impl FnMut(&Value) -> bool) {
    let mut holds = false;
    while !holds {
        let before = site.queues()["books"].clone();
        until(what, || {
            let now = site.queues();
            holds = condition(&now);
            holds || now["books"] != before
        });
    }
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("no number: {value}"))
}

fn is_dry(depths: &Value) -> bool {
    depths["queues"].as_object().unwrap().values().all(|depth| depth["frames"] == 0)
}

fn ended(site: &Site, mut fleet: Child) -> Value {
    until_while_rows_move(site, "the fleet is done", |_| !fleet.is_running());
    fleet.ended().well().json()
}

fn end(processes: impl IntoIterator<Item = Child>) {
    for process in processes {
        process.terminate();
        process.ended().well();
    }
}

#[test]
fn a_backlog_takes_no_memory_and_drains() {
    let messages = messages();
    let site = Site::new(TOPOLOGY);
    let processes = BEFORE_STORE.map(|stage| site.run(&[stage]));
    let fleet = site.fleet(fleet(messages));
    let piled_up = |part: u64| {
        until_while_rows_move(&site, "messages pile up", |depths| {
            number(&depths["queues"]["store"]["rows"]) >= 4 * messages / part
        });
        processes.each_ref().map(Child::memory_peak)
    };
    let (shallow, deep) = (piled_up(4), piled_up(1));
    let report = ended(&site, fleet);
    assert_eq!((number(&report["acknowledged"]), number(&report["reconnects"])), (messages, 0), "{report}");
    let waiting = site.queues()["queues"]["store"].clone();
    assert_eq!(number(&waiting["rows"]), 4 * messages);

    let store = site.run(&["store"]);
    until_while_rows_move(&site, "the backlog drains", is_dry);
    let (after, last) = (processes.each_ref().map(Child::memory_peak), store.memory_peak());
    println!(
        "{messages} messages, {} bytes in the store queue; store had {} MiB at most",
        waiting["bytes"],
        last >> 20
    );
    for (at, stage) in BEFORE_STORE.iter().enumerate() {
        let [shallow, deep, after] = [shallow[at], deep[at], after[at]].map(|bytes| bytes >> 20);
        println!("{stage} had {shallow} MiB at a quarter of that, {deep} MiB at all, {after} MiB at the end");
    }
    end(processes.into_iter().chain([store]));
    let mut verify = site.verifying();
    while verify.is_running() {
        sleep(Duration::from_millis(50));
    }
    assert_eq!(number(&verify.ended().well().json()["stored"]), messages);
    for (at, stage) in BEFORE_STORE.iter().enumerate() {
        assert!(after[at] < MEMORY_MAX, "{stage}: {}", after[at]);
        // Analyze remembers the last minute of event time, which is all of it at this pace, backlog or not. The kernel
        // counts pages per thread and adds them up now and then, so that a later peak can be told as a smaller one.
        let growth = deep[at].saturating_sub(shallow[at]);
        assert!(growth < GROWTH_MAX || *stage == "analyze", "{stage}: from {} to {}", shallow[at], deep[at]);
    }
    assert!(last < 2 * MEMORY_MAX, "store: {last}");
}

/// All queues of the way, each of which is full before the next one takes something.
const QUEUES: [&str; 5] = ["validate", "transform", "analyze", "alert", "store"];
const QUEUE_BYTES_MAX: u64 = 1 << 20;

const LEASE_SECS: u64 = 4;

/// More messages than fit in.
const MANY: u64 = 120_000;

/// Small queues, and leases that end while workers wait for room; not so short that a process whose disk or processors
/// others keep busy loses one before it has extended it.
fn small(more: &str) -> String {
    format!(
        "queues: {{ queue_bytes_max: {QUEUE_BYTES_MAX}, frame_bytes_max: {QUEUE_BYTES_MAX}, lease_secs: {LEASE_SECS} }}\n{TOPOLOGY}{more}"
    )
}

/// Waits until every queue is full and nothing moves any more, for longer than leases last.
fn until_all_is_full(site: &Site) {
    let is_full = |depths: &Value| {
        QUEUES.iter().all(|queue| number(&depths["queues"][queue]["bytes"]) >= QUEUE_BYTES_MAX)
    };
    until_while_rows_move(site, "all queues are full", is_full);
    until("all queues are full, and nothing moves", || {
        let before = site.queues();
        let full = is_full(&before);
        if full {
            sleep(Duration::from_secs(LEASE_SECS + 2));
        }
        full && site.queues()["books"] == before["books"]
    });
}

/// Asserts that queues hold little more than they may, and that those who wait for room kept what they have in hand.
fn assert_held_up(site: &Site) {
    let depths = site.queues();
    for queue in QUEUES {
        let bytes = number(&depths["queues"][queue]["bytes"]);
        assert!(bytes < 2 * QUEUE_BYTES_MAX, "{queue} holds {bytes} bytes");
        assert_eq!(depths["queues"][queue]["dead"], 0, "{queue}");
        if queue != "store" {
            assert_ne!(depths["queues"][queue]["in_flight"], 0, "somebody waits for room behind {queue}");
        }
    }
    let file = Connection::open(site.data().join("millstream.db")).unwrap();
    let lost: i64 = file.query_row("SELECT sum(losses) FROM frame", [], |row| row.get(0)).unwrap();
    assert_eq!(lost, 0, "leases that were lost");
}

#[test]
fn full_queues_hold_publishers_up_and_lose_nothing() {
    let site = Site::new(&small(""));
    let processes = BEFORE_STORE.map(|stage| site.run(&[stage]));
    let mut fleet = site.fleet(fleet(MANY));
    until_all_is_full(&site);
    assert!(fleet.is_running(), "publishers wait for their acknowledgements");
    assert_held_up(&site);
    let taken = number(&site.queues()["books"]["ingest"]["consumed"]);
    assert!(taken < MANY, "{taken} messages were taken");

    let store = site.run(&["store"]);
    let report = ended(&site, fleet);
    assert_eq!((number(&report["acknowledged"]), number(&report["reconnects"])), (MANY, 0), "{report}");
    until_while_rows_move(&site, "the queues run dry", is_dry);
    end(processes.into_iter().chain([store]));
    assert_eq!(number(&site.verify()["stored"]), MANY);
}

#[test]
fn a_broker_keeps_what_full_queues_do_not_take() {
    let mut broker = Mosquitto::new();
    broker.start();
    let site =
        Site::new(&small(&format!("ingest: {{ subscriber: {{ broker: '{}' }} }}\n", broker.url("mqtt"))));
    let mut ingest = site.millstream("run");
    ingest.args(["ingest"]);
    let ingest = Child::start(ingest);
    ingest.says("subscribed to ");
    let rest = site.run(&BEFORE_STORE[1..]);
    let mut fleet_at_broker = tests::program("device-sim");
    fleet_at_broker.args(["run", "--json", "--broker", &broker.url("mqtt"), "--ledger"]).arg(site.ledger());
    fleet_at_broker.args(fleet(MANY));
    let report = ended(&site, Child::start(fleet_at_broker));
    assert_eq!(number(&report["acknowledged"]), MANY, "by the broker: {report}");
    until_all_is_full(&site);
    assert_held_up(&site);
    let taken = number(&site.queues()["books"]["ingest"]["consumed"]);
    assert!(taken < MANY, "{taken} messages were taken");

    let store = site.run(&["store"]);
    until_while_rows_move(&site, "all comes from the broker", |depths| {
        number(&depths["books"]["ingest"]["consumed"]) >= MANY && is_dry(depths)
    });
    end([ingest, rest, store]);
    assert_eq!(number(&site.verify()["stored"]), MANY);
}
