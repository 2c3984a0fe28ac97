//! QoS 2 while what was taken is not durable yet: known to whoever comes next, and not acknowledged.

use std::time::{Duration, Instant};

use millstream::queue::QueueName;

use super::{
    raw::{Connect, PATIENCE, PUBACK, PUBCOMP, PUBREC, Raw, V3, V5, publish, publish_once, release},
    server::{Server, Setup, drain},
};

const TOPIC: &str = "devices/a/telemetry";

fn session(version: u8, clean: bool) -> Connect {
    Connect::session(version, "sensor", clean)
}

/// Nothing is durable before there are two messages.
fn by_twos() -> Setup {
    let mut setup = Setup::default();
    setup.packer.linger = Duration::from_secs(3600);
    setup.packer.frame_rows_max = 2;
    setup
}

/// Sends a message that does not become durable yet.
async fn begin_one(server: &Server, version: u8, payload: &[u8]) -> Raw {
    let (mut client, _) = Raw::connect(server.addr(), &session(version, version == V5)).await;
    client.send(&publish_once(version, false, 5, TOPIC, payload)).await;
    let deadline = Instant::now() + PATIENCE;
    while server.ingest.stats().buffered_bytes == 0 {
        assert!(Instant::now() < deadline, "it is taken");
        tokio::task::yield_now().await;
    }
    client
}

#[tokio::test]
async fn a_message_that_is_not_durable_yet_is_known_to_the_next_connection() {
    for version in [V3, V5] {
        for takeover in [false, true] {
            let server = Server::with(by_twos()).await;
            let first = begin_one(&server, version, b"a").await;
            let first = takeover.then_some(first);
            let (mut client, present) = Raw::connect(server.addr(), &session(version, false)).await;
            assert!(present);
            drop(first);
            client.send(&publish_once(version, true, 5, TOPIC, b"a")).await;
            client.hears_nothing().await;
            client.send(&publish(version, 6, TOPIC, b"b")).await;
            assert_eq!(client.answer(PUBREC).await, (5, None));
            assert_eq!(client.answer(PUBACK).await, (6, None));
            assert_eq!(server.payloads(2).await, ["a", "b"]);

            let server = server.restart().await;
            let (mut client, present) = Raw::connect(server.addr(), &session(version, false)).await;
            assert!(present);
            client.send(&publish_once(version, true, 5, TOPIC, b"a")).await;
            assert_eq!(client.answer(PUBREC).await, (5, None));
            assert_eq!(server.rows(QueueName::Validate).await, 0);
        }
    }
}

#[tokio::test]
async fn a_message_that_waits_for_room_is_known_to_the_next_connection() {
    for version in [V3, V5] {
        // The queue is full after a frame.
        let server = Server::with(Setup { queue_bytes_max: 1, ..Setup::default() }).await;
        let mut other = Raw::enter(server.addr(), version, "other").await;
        other.publish(1, TOPIC, b"x").await;
        other.pubacks(1).await;
        drop(begin_one(&server, version, b"a").await);
        let (mut client, present) = Raw::connect(server.addr(), &session(version, false)).await;
        assert!(present);
        client.send(&publish_once(version, true, 5, TOPIC, b"a")).await;
        client.hears_nothing().await;
        // Through the same handle, so that the room is seen at once.
        let received = drain(&server.queues, QueueName::Validate, 1).await;
        assert_eq!(received[0].payload, b"x");
        assert_eq!(client.answer(PUBREC).await, (5, None));
        assert_eq!(server.payloads(1).await, ["a"]);
        client.send(&release(5)).await;
        assert_eq!(client.answer(PUBCOMP).await, (5, None));
    }
}

#[tokio::test]
async fn a_message_of_a_session_that_was_given_up_leaves_no_packet_id_behind() {
    let server = Server::with(by_twos()).await;
    drop(begin_one(&server, V5, b"a").await);
    let (mut client, present) = Raw::connect(server.addr(), &session(V5, true)).await;
    assert!(!present);
    client.send(&publish(V5, 6, TOPIC, b"b")).await;
    client.pubacks(1).await;
    assert_eq!(server.payloads(2).await, ["a", "b"]);
    assert_eq!(server.packet_ids(), 0);

    // The new session never used that packet id.
    let server = server.restart().await;
    let (mut client, present) = Raw::connect(server.addr(), &session(V5, false)).await;
    assert!(present);
    client.send(&publish_once(V5, false, 5, TOPIC, b"c")).await;
    client.send(&publish(V5, 6, TOPIC, b"d")).await;
    assert_eq!(client.answer(PUBREC).await, (5, None));
    assert_eq!(server.payloads(2).await, ["c", "d"]);
}

#[tokio::test]
async fn a_session_begun_anew_knows_nothing_of_what_is_not_durable_yet() {
    for version in [V3, V5] {
        let server = Server::with(by_twos()).await;
        drop(begin_one(&server, version, b"a").await);
        let (mut client, present) = Raw::connect(server.addr(), &session(version, true)).await;
        assert!(!present);
        client.send(&publish_once(version, false, 5, TOPIC, b"b")).await;
        assert_eq!(client.answer(PUBREC).await, (5, None));
        assert_eq!(server.payloads(2).await, ["a", "b"]);
    }
}

#[tokio::test]
async fn a_message_that_died_with_the_process_is_taken_when_it_comes_again() {
    for version in [V3, V5] {
        let server = Server::with(by_twos()).await;
        let _client = begin_one(&server, version, b"a").await;
        let server = server.restart().await;
        let (mut client, present) = Raw::connect(server.addr(), &session(version, false)).await;
        assert!(present);
        client.send(&publish_once(version, true, 5, TOPIC, b"a")).await;
        client.send(&publish(version, 6, TOPIC, b"b")).await;
        assert_eq!(client.answer(PUBREC).await, (5, None));
        assert_eq!(server.payloads(2).await, ["a", "b"]);
    }
}

#[tokio::test]
async fn neither_pubrec_nor_pubcomp_leaves_before_it_is_durable() {
    for version in [V3, V5] {
        let server = Server::start().await;
        let (mut client, _) = Raw::connect(server.addr(), &session(version, false)).await;
        let blocker = rusqlite::Connection::open(server.file()).unwrap();
        blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
        client.send(&publish_once(version, false, 5, TOPIC, b"a")).await;
        client.hears_nothing().await;
        client.send(&publish_once(version, true, 5, TOPIC, b"a")).await;
        for _ in 0..30 {
            client.hears_nothing().await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        blocker.execute_batch("ROLLBACK").unwrap();
        assert_eq!(client.answer(PUBREC).await, (5, None));
        assert_eq!(client.answer(PUBREC).await, (5, None), "each is answered");

        blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
        client.send(&release(5)).await;
        for _ in 0..30 {
            client.hears_nothing().await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        blocker.execute_batch("ROLLBACK").unwrap();
        assert_eq!(client.answer(PUBCOMP).await, (5, None));
        assert_eq!(server.payloads(1).await, ["a"]);
    }
}

#[tokio::test]
async fn a_release_before_its_pubrec_breaks_the_protocol() {
    for (version, told) in [(V3, None), (V5, Some(0x82))] {
        let server = Server::with(by_twos()).await;
        let mut client = begin_one(&server, version, b"a").await;
        client.send(&release(5)).await;
        assert_eq!(client.end().await, told);
        // It was taken all the same, and is known.
        let (mut client, _) = Raw::connect(server.addr(), &session(version, false)).await;
        client.send(&publish_once(version, true, 5, TOPIC, b"a")).await;
        client.send(&publish(version, 6, TOPIC, b"b")).await;
        assert_eq!(client.answer(PUBREC).await, (5, None));
        assert_eq!(server.payloads(2).await, ["a", "b"]);
    }
}
