//! One worker, and several that share the messages.

use tests::{Mosquitto, Site, until};

use crate::{another, holds_exactly, series, topology, up};

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

/// Mosquitto has as many messages in flight as it is told to; only what closes frames then keeps them flowing.
#[test]
fn a_full_window_does_not_wait_for_the_linger() {
    for (window, version) in [("10", "5"), ("20", "'3.1.1'")] {
        let mut broker = Mosquitto::new();
        broker.configure(&format!(
            "allow_anonymous true\nset_tcp_nodelay true\nmax_inflight_messages {window}\n"
        ));
        broker.start();
        let topology = topology(&broker.url("mqtt"), &format!("version: {version}, inflight_max: 1"));
        let site = Site::new(&topology.replacen("ingest: {", "ingest: { linger_ms: 60000,", 1));
        let series = series(&site);
        let up = up(&site);
        broker.replay(&series).ended().well();
        let most = 3 * 2000 - window.parse::<u64>().unwrap();
        until("all but the last window is taken", || {
            site.queues()["books"]["ingest"]["consumed"].as_u64().is_some_and(|taken| taken >= most)
        });
        // What the last window leaves is hurried by the stop.
        up.terminate();
        up.ended().well();
        assert_eq!(tests::lake::holds_exactly(&site.lake(), &series), crate::READINGS);
    }
}
