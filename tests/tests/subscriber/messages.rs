//! What is kept of a message.

use rumqttc::v5::{
    Client, Event, Incoming, MqttOptions,
    mqttbytes::{QoS, v5::PublishProperties},
};
use tests::{Mosquitto, PATIENCE, Site, lake, until};

use crate::{topology, up};

/// Publishes to a topic of no pattern with each QoS, and waits for the acknowledgements.
fn publish(broker: &Mosquitto) {
    let address = broker.address();
    let options = MqttOptions::new("gateway-4", address.ip().to_string(), address.port());
    let (client, mut connection) = Client::new(options, 10);
    let properties = PublishProperties {
        user_properties: vec![("site".into(), "north".into()), ("site".into(), "south".into())],
        content_type: Some("text/plain".into()),
        ..PublishProperties::default()
    };
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let payload = format!("{qos:?}");
        client.publish_with_properties("others/7", qos, false, payload, properties.clone()).unwrap();
    }
    let mut outstanding = 2;
    while outstanding > 0 {
        let event = connection.recv_timeout(PATIENCE).expect("in time").expect("connected");
        let done = matches!(event, Event::Incoming(Incoming::PubAck(_) | Incoming::PubComp(_)));
        outstanding -= usize::from(done);
    }
    client.disconnect().unwrap();
}

/// Of `others/7`, what each message has come as.
fn kept(qos: u8, version: &str) -> Vec<String> {
    let mut broker = Mosquitto::new();
    broker.start();
    let subscriber = format!("topics: ['others/#'], qos: {qos}, version: {version}");
    let site = Site::new(&topology(&broker.url("mqtt"), &subscriber));
    let up = up(&site);
    publish(&broker);
    until("the messages come", || site.queues()["books"]["ingest"]["quarantined"] == 3);
    up.terminate();
    up.ended().well();
    let sql = "SELECT reason, topic, decode(payload) AS payload, client_id, coalesce(properties::VARCHAR, '{}') AS properties
               FROM 'quarantine/**/*.parquet' ORDER BY message";
    let rows = lake::query(&site.lake(), sql);
    rows.iter()
        .map(|row| {
            assert_eq!((&row["reason"], &row["topic"]), (&"no_pattern".into(), &"others/7".into()));
            assert_eq!(row["client_id"], "", "brokers do not tell");
            format!("{} {}", row["payload"].as_str().unwrap(), row["properties"].as_str().unwrap())
        })
        .collect()
}

#[test]
fn properties_are_kept_and_every_quality_of_service_is_taken() {
    for qos in [0, 1] {
        let found = kept(qos, "5");
        for (found, sent) in found.iter().zip(["AtMostOnce", "AtLeastOnce", "ExactlyOnce"]) {
            assert!(found.starts_with(sent), "in order: {found}");
            for kept in ["north", "south", "content-type", "text/plain"] {
                assert!(found.contains(kept), "{found}");
            }
        }
        assert_eq!(found.len(), 3);
    }
}

#[test]
fn mqtt_3_1_1_has_none() {
    let found = kept(1, "'3.1.1'");
    assert_eq!(found, ["AtMostOnce {}", "AtLeastOnce {}", "ExactlyOnce {}"]);
}
