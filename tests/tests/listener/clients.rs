//! A client library that others use, in both versions.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use millstream::queue::QueueName;
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS, v5};

use super::{raw::PATIENCE, server::Server};

const MESSAGES: usize = 1000;

fn topic(index: usize) -> String {
    format!("devices/{}/telemetry", index % 20)
}

async fn publish_v3(addr: SocketAddr) {
    let mut options = MqttOptions::new("v3", addr.ip().to_string(), addr.port());
    options.set_inflight(20).set_clean_session(false);
    let (client, mut events) = AsyncClient::new(options, 10);
    let publishing = tokio::spawn(async move {
        for index in 0..MESSAGES {
            client.publish(topic(index), QoS::AtLeastOnce, false, format!("v3 {index}")).await.unwrap();
        }
        client
    });
    let mut acknowledged = 0;
    while acknowledged < MESSAGES {
        if let Event::Incoming(Packet::PubAck(_)) = events.poll().await.unwrap() {
            acknowledged += 1;
        }
    }
    publishing.await.unwrap();
}

async fn publish_v5(addr: SocketAddr) {
    let mut options = v5::MqttOptions::new("v5", addr.ip().to_string(), addr.port());
    options.set_keep_alive(Duration::from_secs(5));
    let (client, mut events) = v5::AsyncClient::new(options, 10);
    let publishing = tokio::spawn(async move {
        for index in 0..MESSAGES {
            let payload = format!("v5 {index}");
            client.publish(topic(index), v5::mqttbytes::QoS::AtLeastOnce, false, payload).await.unwrap();
        }
        client
    });
    let mut acknowledged = 0;
    while acknowledged < MESSAGES {
        if let v5::Event::Incoming(v5::Incoming::PubAck(_)) = events.poll().await.unwrap() {
            acknowledged += 1;
        }
    }
    publishing.await.unwrap();
}

#[tokio::test]
async fn every_message_of_rumqttc_arrives_once() {
    let server = Server::start().await;
    let both = async { tokio::join!(publish_v3(server.addr()), publish_v5(server.addr())) };
    tokio::time::timeout(3 * PATIENCE, both).await.expect("all acknowledged");
    assert_eq!(server.rows(QueueName::Validate).await, 2 * MESSAGES as u64);
    let received = server.drain(QueueName::Validate, 2 * MESSAGES).await;
    let payloads: BTreeSet<Vec<u8>> = received.into_iter().map(|message| message.payload).collect();
    let sent = ["v3", "v5"]
        .into_iter()
        .flat_map(|version| (0..MESSAGES).map(move |index| format!("{version} {index}")));
    assert_eq!(payloads, sent.map(String::into_bytes).collect());
}
