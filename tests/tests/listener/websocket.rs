//! MQTT in WebSockets.

use std::net::SocketAddr;

use millstream::{ingest::Scheme, queue::QueueName};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS, TlsConfiguration, Transport};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{
    certificates::Authority,
    doors,
    raw::{CONNACK, Connect, PATIENCE, PUBACK, V3, publish},
    server::{Server, Setup},
    websocket_client::{BINARY, CLOSE, PING, PONG, TEXT, frame, open, receive, request},
};

const TOPIC: &str = "devices/a/telemetry";

async fn server() -> Server {
    let mut setup = Setup::default();
    setup.listener.listen_websocket = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    setup.listener.packet_bytes_max = 1_000;
    Server::with(setup).await
}

/// A WebSocket that a client has said CONNECT in.
async fn enter(server: &Server) -> TcpStream {
    let mut socket = TcpStream::connect(server.door(Scheme::Ws)).await.unwrap();
    let answer = open(&mut socket, &request("mqtt")).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    socket.write_all(&frame(BINARY, true, &Connect::new(V3, "sensor").bytes())).await.unwrap();
    assert_eq!(receive(&mut socket).await, Some((BINARY, vec![CONNACK, 2, 0, 0])));
    socket
}

#[tokio::test]
async fn messages_of_rumqttc_arrive_by_websocket() {
    let authority = Authority::new();
    let server = Server::with(doors::all(&authority)).await;
    let tls = TlsConfiguration::Simple { ca: authority.pem().into(), alpn: None, client_auth: None };
    for (scheme, transport) in [("ws", Transport::Ws), ("wss", Transport::Wss(tls))] {
        let door = server.door(if scheme == "ws" { Scheme::Ws } else { Scheme::Wss });
        let url = format!("{scheme}://localhost:{}/mqtt", door.port());
        let mut options = MqttOptions::new(scheme, url, door.port());
        options.set_transport(transport);
        let (client, mut events) = AsyncClient::new(options, 10);
        let publishing = tokio::spawn(async move {
            for index in 0..100 {
                client.publish(TOPIC, QoS::AtLeastOnce, false, format!("{scheme} {index}")).await.unwrap();
            }
            client
        });
        let mut acknowledged = 0;
        while acknowledged < 100 {
            let event = timeout(PATIENCE, events.poll()).await.expect("an event in time").unwrap();
            acknowledged += usize::from(matches!(event, Event::Incoming(Packet::PubAck(_))));
        }
        publishing.await.unwrap();
        let received = server.drain(QueueName::Validate, 100).await;
        let sent: Vec<_> = (0..100).map(|index| format!("{scheme} {index}").into_bytes()).collect();
        assert_eq!(received.into_iter().map(|message| message.payload).collect::<Vec<_>>(), sent);
    }
}

#[tokio::test]
async fn several_packets_share_a_message_and_control_frames_come_between() {
    let server = server().await;
    let mut socket = enter(&server).await;
    let packets: Vec<u8> = (1..=3).flat_map(|id| publish(V3, id, TOPIC, b"x")).collect();
    let (one, two) = packets.split_at(10);
    let mut bytes = frame(BINARY, false, one);
    bytes.extend(frame(PING, true, b"well?"));
    bytes.extend(frame(0, true, two));
    bytes.extend(frame(BINARY, true, b""));
    socket.write_all(&bytes).await.unwrap();
    let (mut pong, mut answers) = (false, Vec::new());
    while !pong || answers.len() < 12 {
        match timeout(PATIENCE, receive(&mut socket)).await.expect("a frame in time") {
            Some((PONG, payload)) => pong = payload == b"well?",
            Some((BINARY, payload)) => answers.extend(payload),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(answers, [PUBACK, 2, 0, 1, PUBACK, 2, 0, 2, PUBACK, 2, 0, 3]);
}

#[tokio::test]
async fn a_close_is_answered() {
    let server = server().await;
    let mut socket = enter(&server).await;
    socket.write_all(&frame(CLOSE, true, &1000_u16.to_be_bytes())).await.unwrap();
    let (opcode, payload) = receive(&mut socket).await.expect("an answer");
    assert_eq!((opcode, payload), (CLOSE, 1000_u16.to_be_bytes().to_vec()));
    assert_eq!(receive(&mut socket).await, None);
}

#[tokio::test]
async fn what_is_no_mqtt_in_a_websocket_ends_the_connection() {
    let server = server().await;
    let cases = [
        ("text", frame(TEXT, true, &publish(V3, 1, TOPIC, b"x"))),
        ("a frame that is too large", vec![0x82, 0xff, 0, 0, 0, 0, 0, 2, 0, 0, 1, 2, 3, 4]),
        ("a frame that is not masked", vec![0x82, 2, 0xc0, 0]),
        ("a packet that is too large", frame(BINARY, true, &publish(V3, 1, TOPIC, &[0; 1_000]))),
    ];
    for (case, bytes) in cases {
        let mut socket = enter(&server).await;
        socket.write_all(&bytes).await.unwrap();
        loop {
            match timeout(PATIENCE, receive(&mut socket)).await.expect(case) {
                Some((CLOSE, _)) => {}
                Some(other) => panic!("{case}: {other:?}"),
                None => break,
            }
        }
    }
    enter(&server).await;
}

#[tokio::test]
async fn a_request_that_opens_no_websocket_for_mqtt_is_told_why() {
    let server = server().await;
    let cases = [
        (request("chat"), "subprotocol mqtt"),
        ("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), "Connection"),
        (format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(20_000)), "too long"),
        (String::from_utf8_lossy(&Connect::new(V3, "sensor").bytes()).into_owned(), ""),
    ];
    for (request, why) in cases {
        let mut socket = TcpStream::connect(server.door(Scheme::Ws)).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(PATIENCE, socket.read_to_string(&mut answer)).await.expect("hung up").unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains(why), "{why}: {answer}");
    }
}
