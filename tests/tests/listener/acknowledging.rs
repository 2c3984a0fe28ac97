//! When messages are acknowledged, and what becomes of them.

use std::time::{Duration, Instant};

use millstream::queue::QueueName;

use super::{
    raw::{Connect, GOODBYE, PINGREQ, PINGRESP, Raw, V3, V5, packet, publish, publish_with, text},
    server::Server,
};

const TOPIC: &str = "devices/a/telemetry";

#[tokio::test]
async fn a_message_is_in_its_queue_when_it_is_acknowledged() {
    for version in [V3, V5] {
        let server = Server::start().await;
        let mut client = Raw::enter(server.addr(), version, "sensor").await;
        client.publish(7, TOPIC, b"{\"t\": 1}").await;
        assert_eq!(client.pubacks(1).await, [7]);
        // Nothing is waited for: it must be there.
        assert_eq!(server.rows(QueueName::Validate).await, 1);
        let received = server.drain(QueueName::Validate, 1).await;
        assert_eq!(
            (received[0].topic.as_str(), received[0].payload.as_slice(), received[0].client_id.as_str()),
            (TOPIC, b"{\"t\": 1}".as_slice(), "sensor")
        );
    }
}

#[tokio::test]
async fn while_nothing_can_be_written_nothing_is_acknowledged() {
    let server = Server::start().await;
    let mut client = Raw::enter(server.addr(), V3, "sensor").await;
    let blocker = rusqlite::Connection::open(server.file()).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    client.publish(1, TOPIC, b"1").await;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(300) {
        client.send(&PINGREQ).await;
        assert_eq!(client.receive().await.unwrap().kind, PINGRESP, "it is heard, but not acknowledged");
    }
    blocker.execute_batch("ROLLBACK").unwrap();
    assert_eq!(client.pubacks(1).await, [1]);
}

#[tokio::test]
async fn many_messages_are_in_flight_and_acknowledged_in_the_order_of_receipt() {
    let server = Server::start().await;
    for version in [V3, V5] {
        let mut client = Raw::enter(server.addr(), version, "gateway").await;
        let ids: Vec<u16> = (1..=800).map(|index| index * 31 % 4001 + 1).collect();
        let publishes: Vec<u8> = ids
            .iter()
            .flat_map(|id| {
                publish(version, *id, &format!("devices/{}/telemetry", id % 50), &id.to_be_bytes())
            })
            .collect();
        client.send(&publishes).await;
        assert_eq!(client.pubacks(ids.len()).await, ids);
        let received = server.drain(QueueName::Validate, ids.len()).await;
        let mut payloads: Vec<&[u8]> = received.iter().map(|message| message.payload.as_slice()).collect();
        payloads.sort_unstable();
        let mut sent: Vec<[u8; 2]> = ids.iter().map(|id| id.to_be_bytes()).collect();
        sent.sort_unstable();
        assert_eq!(payloads, sent);
    }
}

#[tokio::test]
async fn the_messages_of_a_device_stay_in_order() {
    let server = Server::start().await;
    let mut client = Raw::enter(server.addr(), V3, "gateway").await;
    for id in 1..=300_u16 {
        client.publish(id, TOPIC, &id.to_be_bytes()).await;
    }
    client.pubacks(300).await;
    let received = server.drain(QueueName::Validate, 300).await;
    let payloads: Vec<&[u8]> = received.iter().map(|message| message.payload.as_slice()).collect();
    let sent: Vec<[u8; 2]> = (1..=300_u16).map(u16::to_be_bytes).collect();
    assert_eq!(payloads, sent);
    assert!(received.is_sorted_by(|one, next| one.number < next.number), "numbers rise with them");
}

#[tokio::test]
async fn a_full_window_is_not_kept_waiting_for_the_linger() {
    let mut setup = super::server::Setup::default();
    setup.packer.linger = Duration::from_secs(3600);
    setup.listener.receive_maximum = 10;
    let server = Server::with(setup).await;
    let mut client = Raw::enter(server.addr(), V5, "sensor").await;
    for round in 0..5 {
        for id in 1..=10 {
            client.publish(round * 10 + id, TOPIC, b"1").await;
        }
        client.pubacks(10).await;
    }
}

#[tokio::test]
async fn a_publish_that_matches_no_pattern_is_quarantined_then_acknowledged() {
    let server = Server::start().await;
    let mut client = Raw::enter(server.addr(), V3, "sensor").await;
    client.publish(3, "weather/a", b"\xff\x00").await;
    assert_eq!(client.pubacks(1).await, [3]);
    assert_eq!(server.rows(QueueName::Validate).await, 0);
    let refused = server.drain(QueueName::Store, 1).await;
    assert_eq!(refused[0].reason.as_deref(), Some("ingest: no_pattern"));
    assert_eq!(
        (refused[0].topic.as_str(), refused[0].payload.as_slice()),
        ("weather/a", b"\xff\x00".as_slice())
    );
}

#[tokio::test]
async fn the_books_count_what_was_taken() {
    let server = Server::start().await;
    let mut client = Raw::enter(server.addr(), V3, "sensor").await;
    for id in 1..=20 {
        client.publish(id, if id % 4 == 0 { "weather/a" } else { TOPIC }, b"1").await;
    }
    client.pubacks(20).await;
    let books = server.queues.books().await.unwrap();
    let counts = books["ingest"];
    assert_eq!((counts.consumed, counts.quarantined, counts.produced), (15, 5, 15));
}

#[tokio::test]
async fn messages_of_qos_0_are_taken_without_a_word() {
    let server = Server::start().await;
    let mut client = Raw::enter(server.addr(), V3, "sensor").await;
    let mut body = text(TOPIC.as_bytes());
    body.extend(b"plain");
    // With the retain flag, which is ignored.
    client.send(&packet(0x31, &body)).await;
    client.send(&PINGREQ).await;
    assert_eq!(client.receive().await.unwrap().kind, PINGRESP);
    assert_eq!(server.drain(QueueName::Validate, 1).await[0].payload, b"plain");
}

#[tokio::test]
async fn properties_and_topic_aliases_of_mqtt_5_are_understood() {
    let server = Server::start().await;
    let mut client = Raw::enter(server.addr(), V5, "sensor").await;
    let mut properties = vec![0x23, 0, 9]; // topic alias 9
    properties.push(0x03); // content type
    properties.extend(text(b"application/json"));
    for (key, value) in [(b"site", b"A1"), (b"site", b"B2")] {
        properties.push(0x26); // user property
        properties.extend(text(key));
        properties.extend(text(value));
    }
    properties.push(0x08); // response topic, which is about delivery
    properties.extend(text(b"answers"));
    client.send(&publish_with(V5, 1, TOPIC, &properties, b"1")).await;
    client.send(&publish_with(V5, 2, "", &[0x23, 0, 9], b"2")).await;
    assert_eq!(client.pubacks(2).await, [1, 2]);
    let received = server.drain(QueueName::Validate, 2).await;
    let kept = [("content-type", "application/json"), ("site", "A1"), ("site", "B2")];
    let kept = kept.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(received[0].properties, kept);
    assert_eq!((received[1].topic.as_str(), received[1].payload.as_slice()), (TOPIC, b"2".as_slice()));
    assert!(received[1].properties.is_empty());
}

#[tokio::test]
async fn a_will_is_a_message_of_a_client_that_vanishes() {
    for (version, says_goodbye) in [(V3, false), (V3, true), (V5, false), (V5, true)] {
        let server = Server::start().await;
        let will = Some((TOPIC, b"gone".as_slice()));
        let connect = Connect { will, ..Connect::new(version, "sensor") };
        let (mut client, _) = Raw::connect(server.addr(), &connect).await;
        if says_goodbye {
            client.send(&GOODBYE).await;
            assert_eq!(client.receive().await, None);
        }
        drop(client);
        // What another client publishes after the first has gone comes behind its will.
        let deadline = Instant::now() + super::raw::PATIENCE;
        while server.ingest.stats().connections > 0 {
            assert!(Instant::now() < deadline, "the connection ends");
            tokio::task::yield_now().await;
        }
        let mut other = Raw::enter(server.addr(), version, "other").await;
        other.publish(1, TOPIC, b"after").await;
        other.pubacks(1).await;
        let expected: &[&[u8]] = if says_goodbye { &[b"after"] } else { &[b"gone", b"after"] };
        let received = server.drain(QueueName::Validate, expected.len()).await;
        let payloads: Vec<&[u8]> = received.iter().map(|message| message.payload.as_slice()).collect();
        assert_eq!(payloads, expected, "version {version}, goodbye {says_goodbye}");
    }
}
