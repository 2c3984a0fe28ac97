//! Several intakes on one data file.

use std::time::Duration;

use super::{
    raw::{Connect, GOODBYE, PUBREC, Raw, V3, V5, publish_once},
    server::{Server, Setup, start},
};

const TOPIC: &str = "devices/a/telemetry";

/// The end of an MQTT 5 session: DISCONNECT, with an expiry of 0.
const FORGET_ME: [u8; 9] = [0xe0, 7, 0, 5, 0x11, 0, 0, 0, 0];

/// Sessions last for a second after their client has gone.
fn brief() -> Setup {
    let mut setup = Setup::default();
    setup.listener.session_expiry_secs_max = 1;
    setup
}

/// Longer than sessions last; longer does no harm.
async fn outlast() {
    tokio::time::sleep(Duration::from_millis(1200)).await;
}

#[tokio::test]
async fn a_session_lasts_while_its_client_is_connected_to_another_process() {
    for version in [V3, V5] {
        let connect = Connect::session(version, "sensor", false);
        let server = Server::with(brief()).await;
        let (client, _) = Raw::connect(server.addr(), &connect).await;
        for _ in 0..2 {
            // Each looks through the sessions when it starts.
            let (other, _queues) = start(server.file(), &brief()).await;
            outlast().await;
            drop(other.unwrap());
        }
        drop(client);
        let (_client, present) = Raw::connect(server.addr(), &connect).await;
        assert!(present, "version {version}");
    }
}

#[tokio::test]
async fn a_session_of_a_dead_process_ends_also_while_others_live() {
    let server = Server::with(brief()).await;
    let connect = Connect::session(V5, "sensor", false);
    let (dead, queues) = start(server.file(), &brief()).await;
    let dead = dead.unwrap();
    let (_client, _) = Raw::connect(dead.local_addr().unwrap(), &connect).await;
    drop((dead, queues));
    let (next, _queues) = start(server.file(), &brief()).await;
    outlast().await;
    let (_client, present) = Raw::connect(next.unwrap().local_addr().unwrap(), &connect).await;
    assert!(!present);
}

#[tokio::test]
async fn a_session_goes_with_its_client_to_another_process() {
    for version in [V3, V5] {
        let server = Server::start().await;
        let (other, _queues) = start(server.file(), &Setup::default()).await;
        let other = other.unwrap();
        let there = other.local_addr().unwrap();
        let connect = Connect::session(version, "sensor", false);
        let (mut old, _) = Raw::connect(server.addr(), &connect).await;
        old.send(&publish_once(version, false, 1, TOPIC, b"a")).await;
        assert_eq!(old.answer(PUBREC).await, (1, None));

        let (mut new, present) = Raw::connect(there, &connect).await;
        assert!(present, "version {version}");
        new.send(&publish_once(version, true, 1, TOPIC, b"a")).await;
        assert_eq!(new.answer(PUBREC).await, (1, None));
        assert_eq!(server.payloads(1).await, ["a"], "version {version}");

        // The connection that it has left has no say any more.
        let farewell: &[u8] = if version == V5 { &FORGET_ME } else { &GOODBYE };
        old.send(farewell).await;
        assert_eq!(old.receive().await, None);
        drop(new);
        let (_new, present) = Raw::connect(there, &connect).await;
        assert!(present, "version {version}");
    }
}
