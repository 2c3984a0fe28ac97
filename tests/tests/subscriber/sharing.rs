//! One worker, and several that share the messages.

use std::time::{Duration, Instant};

use tests::{Mosquitto, Site, lake, until};

use crate::{READINGS, another, holds_exactly, series, topology, up};

#[test]
fn one_worker_brings_every_row_once() {
    let mut broker = Mosquitto::new();
    broker.start();
    let site = Site::new(&topology(&broker.url("mqtt"), ""));
    let series = series(&site);
    let up = up(&site);
    let report = broker.replay(&series).ended().well().json();
    assert_eq!(report["published"], report["acknowledged"]);
    holds_exactly(&site, &series, [up]);
}

#[test]
fn processes_and_connections_share_the_messages() {
    let mut broker = Mosquitto::new();
    broker.start();
    let site = Site::new(&topology(&broker.url("mqtt"), "group: shared, connections: 2"));
    let series = series(&site);
    let (first, second) = (up(&site), another(&site, "2"));
    broker.replay(&series).ended().well();
    let taken = site.queues()["books"]["ingest"]["consumed"].as_u64().unwrap();
    holds_exactly(&site, &series, [second, first]);
    assert!(taken <= 3 * 2000, "each message went to one of them: {taken}");
}

/// No frame is kept open for more when the broker may be waiting for acknowledgements.
#[test]
fn a_full_window_does_not_wait_for_the_linger() {
    const WINDOW: u64 = 20;
    for version in ["5", "'3.1.1'"] {
        let mut broker = Mosquitto::new();
        broker.configure(&format!(
            "allow_anonymous true\nmax_inflight_messages {WINDOW}\nset_tcp_nodelay true\n"
        ));
        broker.start();
        let subscriber = format!("version: {version}, receive_maximum: {WINDOW}, inflight_max: {WINDOW}");
        let topology = topology(&broker.url("mqtt"), &subscriber);
        let site = Site::new(&topology.replacen("ingest: {", "ingest: { linger_ms: 60000,", 1));
        let series = series(&site);
        let up = up(&site);
        let started = Instant::now();
        broker.replay(&series).ended().well();
        until("all but the last window is taken", || {
            site.queues()["books"]["ingest"]["consumed"]
                .as_u64()
                .is_some_and(|taken| taken >= 3 * 2000 - WINDOW)
        });
        assert!(started.elapsed() < Duration::from_secs(60), "not one linger was waited for");
        // What the last window leaves is hurried by the stop.
        up.terminate();
        up.ended().well();
        assert_eq!(lake::holds_exactly(&site.lake(), &series), READINGS);
    }
}
