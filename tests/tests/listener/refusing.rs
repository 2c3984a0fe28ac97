//! What the endpoint does not take, and how it says so.

use std::time::{Duration, Instant};

use super::{
    raw::{
        Connect, PINGREQ, PINGRESP, Raw, SUBACK, UNSUBACK, V3, V5, packet, publish, publish_once,
        publish_with, release, text,
    },
    server::{Server, Setup},
};

const TOPIC: &str = "devices/a/telemetry";

/// Packet id 9, then two filters; `options` follows each in a SUBSCRIBE.
fn filters(version: u8, options: Option<u8>) -> Vec<u8> {
    let mut body = vec![0, 9];
    body.extend((version == V5).then_some(0));
    for filter in ["devices/#", "alerts/+"] {
        body.extend(text(filter.as_bytes()));
        body.extend(options);
    }
    body
}

#[tokio::test]
async fn subscriptions_are_refused_filter_by_filter() {
    let server = Server::start().await;

    let mut client = Raw::enter(server.addr(), V3, "reader").await;
    client.send(&packet(0x82, &filters(V3, Some(1)))).await;
    let suback = client.receive().await.unwrap();
    assert_eq!((suback.kind, suback.body.as_slice()), (SUBACK, [0, 9, 0x80, 0x80].as_slice()));
    client.send(&packet(0xa2, &filters(V3, None))).await;
    let unsuback = client.receive().await.unwrap();
    assert_eq!((unsuback.kind, unsuback.body.as_slice()), (UNSUBACK, [0, 9].as_slice()));

    let mut client = Raw::enter(server.addr(), V5, "reader").await;
    client.send(&packet(0x82, &filters(V5, Some(1)))).await;
    let suback = client.receive().await.unwrap();
    assert_eq!(suback.kind, SUBACK);
    assert!(suback.body.ends_with(&[0x87, 0x87]), "not authorized: {suback:?}");
    let reason = String::from_utf8_lossy(&suback.body);
    assert!(reason.contains("only takes publishes"), "{reason}");
    client.send(&packet(0xa2, &filters(V5, None))).await;
    assert_eq!(client.receive().await.unwrap().body, [0, 9, 0, 0x11, 0x11]);

    client.publish(1, TOPIC, b"still welcome").await;
    assert_eq!(client.pubacks(1).await, [1]);
}

#[tokio::test]
async fn what_breaks_the_protocol_ends_the_connection_with_the_reason() {
    let topic = |topic: &[u8]| {
        let mut body = text(topic);
        body.extend([0, 1, 0]);
        packet(0x32, &body)
    };
    let once = |id| publish_once(V5, false, id, TOPIC, b"");
    let cases: [(&str, u8, Vec<u8>); 21] = [
        ("QoS 3", 0x81, packet(0x36, &[0, 1, b'a', 0, 1, 0])),
        ("a topic longer than the packet", 0x81, packet(0x32, &[0, 200, b'a', 0, 1, 0])),
        ("a topic that is not UTF-8", 0x81, topic(b"devices/\xff/telemetry")),
        ("packet id 0", 0x81, publish(V5, 0, TOPIC, b"")),
        ("a remaining length that never ends", 0x81, vec![0x32, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ("a wildcard in a topic", 0x90, topic(b"devices/+/telemetry")),
        ("a topic alias that was never set up", 0x94, publish_with(V5, 1, "", &[0x23, 0, 1], b"")),
        ("a topic alias beyond the maximum", 0x94, publish_with(V5, 1, TOPIC, &[0x23, 0, 33], b"")),
        ("two content types", 0x82, publish_with(V5, 1, TOPIC, &[3, 0, 1, b'a', 3, 0, 1, b'b'], b"")),
        ("a property of another packet", 0x82, publish_with(V5, 1, TOPIC, &[0x11, 0, 0, 0, 9], b"")),
        ("a property that does not exist", 0x81, publish_with(V5, 1, TOPIC, &[0x7f, 0], b"")),
        ("a subscription identifier", 0x82, publish_with(V5, 1, TOPIC, &[0x0b, 1], b"")),
        ("packet id 0, with QoS 2", 0x81, once(0)),
        ("packet id 0, with QoS 2, twice", 0x81, [once(0), once(0)].concat()),
        ("a PUBREL with packet id 0", 0x81, release(0)),
        ("a PUBACK for nothing", 0x82, packet(0x40, &[0, 1])),
        ("a PUBREC for nothing", 0x82, packet(0x50, &[0, 1])),
        ("a packet of a server", 0x82, packet(0x90, &[0, 1, 0, 0])),
        ("AUTH, without a method agreed on", 0x82, packet(0xf0, &[])),
        ("a session begun at its end", 0x82, vec![0xe0, 7, 0, 5, 0x11, 0, 0, 0, 9]),
        ("a second CONNECT", 0x82, Connect::new(V5, "sensor").bytes()),
    ];
    let server = Server::start().await;
    for (case, reason, bytes) in cases {
        let mut client = Raw::enter(server.addr(), V5, "sensor").await;
        client.send(&bytes).await;
        let told = client.end().await;
        assert_eq!(told, Some(reason), "{case}");
    }
    let mut client = Raw::enter(server.addr(), V3, "sensor").await;
    client.send(&topic(b"devices/#")).await;
    assert_eq!(client.end().await, None, "MQTT 3.1.1 can only hang up");
}

#[tokio::test]
async fn a_connect_that_breaks_the_protocol_is_refused() {
    // Protocol name, version, flags, keep-alive and what follows.
    let connect = |version: u8, flags: u8, rest: &[u8]| {
        let mut body = text(b"MQTT");
        body.extend([version, flags, 0, 0]);
        body.extend_from_slice(rest);
        packet(0x10, &body)
    };
    let cases = [
        ("a will topic longer than the packet, 3.1.1", connect(V3, 6, &[0, 1, b'a', 0, 9, b'w']), None),
        (
            "a will topic longer than the packet, 5.0",
            connect(V5, 6, &[0, 0, 1, b'a', 0, 0, 9, b'w']),
            Some(0x81),
        ),
        ("a client id longer than the packet, 3.1.1", connect(V3, 2, &[0, 9, b'a']), Some(2)),
        ("a client id longer than the packet, 5.0", connect(V5, 2, &[0, 0, 9, b'a']), Some(0x85)),
        ("a receive maximum of 0", connect(V5, 2, &[3, 0x21, 0, 0, 0, 1, b'a']), Some(0x82)),
        (
            "two session expiries",
            connect(V5, 2, &[10, 0x11, 0, 0, 0, 1, 0x11, 0, 0, 0, 1, 0, 1, b'a']),
            Some(0x82),
        ),
    ];
    let server = Server::start().await;
    for (case, bytes, reason) in cases {
        let mut client = Raw::open(server.addr(), V3).await;
        client.send(&bytes).await;
        let told = client.receive().await.map(|connack| connack.body[1]);
        assert_eq!(told, reason, "{case}");
        if told.is_some() {
            assert_eq!(client.receive().await, None, "{case}: hangs up");
        }
    }
}

#[tokio::test]
async fn a_client_cannot_have_more_outstanding_than_it_was_told() {
    let mut setup = Setup::default();
    setup.listener.receive_maximum = 5;
    setup.packer.linger = Duration::from_secs(3600);
    let server = Server::with(setup).await;
    let mut client = Raw::enter(server.addr(), V5, "sensor").await;
    let publishes: Vec<u8> = (1..=6).flat_map(|id| publish(V5, id, TOPIC, b"1")).collect();
    client.send(&publishes).await;
    assert_eq!(client.end().await, Some(0x93), "receive maximum exceeded");
}

/// Packets without properties are counted together with those that have some, wherever they are read.
#[tokio::test]
async fn nor_once_its_first_message_was_acknowledged() {
    // A content type.
    for properties in [&[][..], &[3, 0, 1, b'j']] {
        let mut setup = Setup::default();
        setup.listener.receive_maximum = 5;
        let server = Server::with(setup).await;
        let mut client = Raw::enter(server.addr(), V5, "sensor").await;
        client.publish(1, TOPIC, b"1").await;
        assert_eq!(client.pubacks(1).await, [1]);
        let mut publishes = publish_with(V5, 2, TOPIC, properties, b"1");
        publishes.extend((3..=7).flat_map(|id| publish(V5, id, TOPIC, b"1")));
        client.send(&publishes).await;
        assert_eq!(client.end().await, Some(0x93), "receive maximum exceeded");
    }
}

#[tokio::test]
async fn too_large_a_packet_is_not_read() {
    let mut setup = Setup::default();
    setup.listener.packet_bytes_max = 1000;
    let server = Server::with(setup).await;
    for (version, told) in [(V3, None), (V5, Some(0x95))] {
        let mut client = Raw::enter(server.addr(), version, "sensor").await;
        client.publish(1, TOPIC, &[b'a'; 900]).await;
        assert_eq!(client.pubacks(1).await, [1]);
        // Only how long it is to be: the rest is never sent.
        client.send(&publish(version, 2, TOPIC, &[b'a'; 2000])[..40]).await;
        assert_eq!(client.end().await, told);
    }
    let mut stranger = Raw::open(server.addr(), V3).await;
    stranger.send(&packet(0x10, &[0; 2000])[..10]).await;
    assert_eq!(stranger.receive().await, None);
}

#[tokio::test]
async fn other_versions_are_told_which_they_are_not() {
    let server = Server::start().await;
    let mut old = Raw::open(server.addr(), V3).await;
    let mut body = text(b"MQIsdp");
    body.extend([3, 2, 0, 0]);
    body.extend(text(b"sensor"));
    old.send(&packet(0x10, &body)).await;
    assert_eq!(old.receive().await.unwrap().body, [0, 1], "unacceptable protocol version");
    assert_eq!(old.receive().await, None);

    let mut web = Raw::open(server.addr(), V3).await;
    web.send(b"GET / HTTP/1.1\r\nHost: localhost:1883\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n")
        .await;
    assert_eq!(web.receive().await, None);
}

#[tokio::test]
async fn authentication_that_is_not_offered_is_refused() {
    let server = Server::start().await;
    let mut client = Raw::open(server.addr(), V5).await;
    let mut body = text(b"MQTT");
    body.extend([5, 2, 0, 0, 8, 0x15]);
    body.extend(text(b"SCRAM"));
    body.extend(text(b"sensor"));
    client.send(&packet(0x10, &body)).await;
    assert_eq!(client.receive().await.unwrap().body[1], 0x8c, "bad authentication method");
}

#[tokio::test]
async fn a_name_and_a_password_are_taken_and_ignored() {
    let server = Server::start().await;
    let mut client = Raw::open(server.addr(), V3).await;
    let mut body = text(b"MQTT");
    body.extend([4, 0xc2, 0, 0]);
    for field in ["sensor", "name", "password"] {
        body.extend(text(field.as_bytes()));
    }
    client.send(&packet(0x10, &body)).await;
    assert_eq!(client.receive().await.unwrap().body, [0, 0]);
}

#[tokio::test]
async fn who_is_silent_for_too_long_is_gone() {
    let server = Server::start().await;
    let silence = async |version, told| {
        let connect =
            Connect { keep_alive: 1, ..Connect::new(version, if version == V3 { "old" } else { "new" }) };
        let (mut client, _) = Raw::connect(server.addr(), &connect).await;
        let begun = Instant::now();
        let mut heard = begun;
        while begun.elapsed() < Duration::from_millis(2000) {
            // Before it is sent: how long everything else takes on a busy machine is none of the silence.
            heard = Instant::now();
            client.send(&PINGREQ).await;
            assert_eq!(client.receive().await.unwrap().kind, PINGRESP);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(client.end().await, told);
        assert!(heard.elapsed() >= Duration::from_millis(1500), "one and a half times the keep-alive");
    };
    tokio::join!(silence(V3, None), silence(V5, Some(0x8d)));
}

#[tokio::test]
async fn who_never_says_who_it_is_is_gone() {
    let mut setup = Setup::default();
    setup.listener.connect_timeout = Duration::from_millis(100);
    let server = Server::with(setup).await;
    let mut silent = Raw::open(server.addr(), V3).await;
    assert_eq!(silent.receive().await, None);
}

#[tokio::test]
async fn connections_have_a_limit() {
    let mut setup = Setup::default();
    setup.listener.connections_max = 1;
    let server = Server::with(setup).await;
    let first = Raw::enter(server.addr(), V3, "one").await;
    let mut second = Raw::open(server.addr(), V3).await;
    assert_eq!(second.receive().await, None);
    assert_eq!(server.ingest.stats().connections_refused, 1);
    drop(first);
    let deadline = Instant::now() + super::raw::PATIENCE;
    while server.ingest.stats().connections > 0 {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    Raw::enter(server.addr(), V3, "two").await;
}
