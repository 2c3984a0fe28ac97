//! Clients that others wrote, in both versions and with every QoS.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    net::SocketAddr,
    process::{Command, Stdio},
    time::Duration,
};

use millstream::queue::QueueName;
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS, v5};
use tests::{
    Child,
    clients::{mosquitto_pub, paho_publish},
};

use super::{
    raw::PATIENCE,
    server::{Received, Server},
};

const MESSAGES: usize = 1000;

fn topic(index: usize) -> String {
    format!("devices/{}/telemetry", index % 20)
}

/// The payloads that `client` sends, in no order.
fn payloads(client: &str, count: usize) -> BTreeSet<Vec<u8>> {
    (0..count).map(|index| format!("{client} {index}").into_bytes()).collect()
}

/// Asserts that just these messages of a client are in the queue, each once.
async fn holds(server: &Server, client: &str, count: usize) -> Vec<Received> {
    let received = server.drain(QueueName::Validate, count).await;
    assert_eq!(server.rows(QueueName::Validate).await, 0, "no more than {count} of {client}");
    let taken: BTreeSet<Vec<u8>> = received.iter().map(|message| message.payload.clone()).collect();
    assert_eq!(taken, payloads(client, count), "{client}");
    received
}

async fn publish_v3(addr: SocketAddr, client_id: &str, qos: QoS) {
    let mut options = MqttOptions::new(client_id, addr.ip().to_string(), addr.port());
    options.set_inflight(20).set_clean_session(false);
    let (client, mut events) = AsyncClient::new(options, 10);
    let name = client_id.to_owned();
    let publishing = tokio::spawn(async move {
        for index in 0..MESSAGES {
            client.publish(topic(index), qos, false, format!("{name} {index}")).await.unwrap();
        }
        client
    });
    let mut acknowledged = 0;
    while acknowledged < MESSAGES {
        if let Event::Incoming(Packet::PubAck(_) | Packet::PubComp(_)) = events.poll().await.unwrap() {
            acknowledged += 1;
        }
    }
    publishing.await.unwrap();
}

async fn publish_v5(addr: SocketAddr, client_id: &str, qos: v5::mqttbytes::QoS) {
    let mut options = v5::MqttOptions::new(client_id, addr.ip().to_string(), addr.port());
    options.set_keep_alive(Duration::from_secs(5));
    let (client, mut events) = v5::AsyncClient::new(options, 10);
    let name = client_id.to_owned();
    let publishing = tokio::spawn(async move {
        for index in 0..MESSAGES {
            client.publish(topic(index), qos, false, format!("{name} {index}")).await.unwrap();
        }
        client
    });
    let mut acknowledged = 0;
    while acknowledged < MESSAGES {
        let event = events.poll().await.unwrap();
        if let v5::Event::Incoming(v5::Incoming::PubAck(_) | v5::Incoming::PubComp(_)) = event {
            acknowledged += 1;
        }
    }
    publishing.await.unwrap();
}

#[tokio::test]
async fn every_message_of_rumqttc_arrives_once() {
    for (name, v3, v5) in [
        ("one", QoS::AtLeastOnce, v5::mqttbytes::QoS::AtLeastOnce),
        ("two", QoS::ExactlyOnce, v5::mqttbytes::QoS::ExactlyOnce),
    ] {
        let server = Server::start().await;
        let (first, second) = (format!("v3-{name}"), format!("v5-{name}"));
        let both = async {
            tokio::join!(publish_v3(server.addr(), &first, v3), publish_v5(server.addr(), &second, v5))
        };
        tokio::time::timeout(3 * PATIENCE, both).await.expect("all acknowledged");
        assert_eq!(server.rows(QueueName::Validate).await, 2 * MESSAGES as u64);
        let received = server.drain(QueueName::Validate, 2 * MESSAGES).await;
        let taken: BTreeSet<Vec<u8>> = received.into_iter().map(|message| message.payload).collect();
        assert_eq!(taken, &payloads(&first, MESSAGES) | &payloads(&second, MESSAGES));
    }
}

/// Runs a program to its good end, while the server serves it.
async fn run(command: Command, input: Stdio) -> tests::Ended {
    let running = tokio::task::spawn_blocking(move || Child::start_reading(command, input).ended().well());
    running.await.unwrap()
}

/// What is kept of the properties given to each message.
fn properties(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn every_message_of_mosquitto_pub_arrives_once_with_its_properties() {
    let server = Server::start().await;
    let dir = tempfile::tempdir().unwrap();
    for version in ["mqttv311", "mqttv5"] {
        for qos in ["0", "1", "2"] {
            let client = format!("{version}-{qos}");
            let lines = dir.path().join(&client);
            let text: String = (0..MESSAGES).map(|index| format!("{client} {index}\n")).collect();
            fs::write(&lines, text).unwrap();
            let mut command = mosquitto_pub(server.addr());
            command.args(["-V", version, "-q", qos, "-i", &client, "-t", "devices/a/telemetry", "-l"]);
            if version == "mqttv5" {
                command.args(["-D", "publish", "content-type", "text/plain"]);
                command.args(["-D", "publish", "user-property", "site", "A1"]);
                command.args(["-D", "publish", "user-property", "site", "B2"]);
            }
            run(command, File::open(&lines).unwrap().into()).await;
            let kept: &[_] = match version {
                "mqttv5" => &[("content-type", "text/plain"), ("site", "A1"), ("site", "B2")],
                _ => &[],
            };
            for message in holds(&server, &client, MESSAGES).await {
                assert_eq!(message.client_id, client);
                assert_eq!(message.properties, properties(kept));
            }
        }
    }
}

#[tokio::test]
async fn every_message_of_paho_arrives_once_with_its_properties() {
    let server = Server::start().await;
    for version in ["3", "5"] {
        for qos in ["0", "1", "2"] {
            let client = format!("paho-{version}-{qos}");
            let mut command = paho_publish(server.addr());
            command.args([version, qos, &client, &MESSAGES.to_string()]);
            let said = run(command, Stdio::null()).await.json();
            assert_eq!(said["published"], MESSAGES);
            let kept: &[_] = match version {
                "5" => &[("content-type", "text/plain"), ("site", "A1")],
                _ => &[],
            };
            for message in holds(&server, &client, MESSAGES).await {
                assert_eq!(message.client_id, client);
                assert_eq!(message.properties, properties(kept));
            }
        }
    }
}

#[tokio::test]
async fn a_paho_that_loses_its_connection_goes_on_where_it_was() {
    let server = Server::start().await;
    for version in ["3", "5"] {
        let client = format!("paho-{version}-cut");
        let mut command = paho_publish(server.addr());
        command.args([version, "2", &client, &MESSAGES.to_string(), "--cut"]);
        let said = run(command, Stdio::null()).await.json();
        let present: Vec<_> = said["sessions"].as_array().unwrap().iter().map(|it| it[0].clone()).collect();
        assert_eq!(present, [false, true, true], "{said}");
        holds(&server, &client, MESSAGES).await;
    }
}
