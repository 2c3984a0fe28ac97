use std::{net::SocketAddr, time::Duration};

use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use tests::{PATIENCE, Site, lake};

use crate::QUICK;

const TOPIC: &str = "devices/pump/telemetry";

/// Publishes each message and waits until all are acknowledged.
pub(crate) fn publish(site: &Site, messages: &[(&str, Vec<u8>)]) {
    publish_to(site.address(), messages);
}

/// The same, to any address.
pub(crate) fn publish_to(address: SocketAddr, messages: &[(&str, Vec<u8>)]) {
    let mut options = MqttOptions::new("odd", address.ip().to_string(), address.port());
    options.set_keep_alive(Duration::from_secs(30)).set_max_packet_size(1 << 20, 1 << 20);
    let (client, mut connection) = Client::new(options, messages.len());
    for (topic, payload) in messages {
        client.publish(*topic, QoS::AtLeastOnce, false, payload.as_slice()).unwrap();
    }
    let mut acknowledged = 0;
    while acknowledged < messages.len() {
        let event = connection.recv_timeout(PATIENCE).expect("in time").expect("connected");
        acknowledged += usize::from(matches!(event, Event::Incoming(Packet::PubAck(_))));
    }
    client.disconnect().unwrap();
}

#[test]
fn what_is_refused_is_kept_with_its_bytes_and_the_reason() {
    let nested = "[".repeat(1000) + &"]".repeat(1000);
    let cases: [(&str, &str, Vec<u8>); 7] = [
        ("no_pattern", "somewhere/else", b"{}".into()),
        ("not_json", TOPIC, b"21.5 degrees\0".into()),
        ("not_json", TOPIC, Vec::new()),
        ("not_utf8", TOPIC, b"{\"device_id\": \"\xff\xfe\"}".into()),
        ("too_deep", TOPIC, nested.into()),
        ("schema", TOPIC, br#"{"device_id": "pump", "ts": "yesterday", "metrics": {"t": 1}}"#.into()),
        (
            "future_time",
            TOPIC,
            br#"{"device_id": "pump", "ts": "9999-01-01T00:00:00Z", "metrics": {"t": 1}}"#.into(),
        ),
    ];
    let site = Site::new(QUICK);
    let up = site.up();
    publish(&site, &cases.clone().map(|(_, topic, payload)| (topic, payload)));
    up.terminate();
    up.ended().well();

    let rows = lake::query(
        &site.lake(),
        "SELECT reason, topic, hex(payload) AS payload, client_id, len(errors) AS errors
         FROM 'quarantine/**/*.parquet' ORDER BY message",
    );
    let kept: Vec<_> = rows
        .iter()
        .map(|row| {
            ["reason", "topic", "payload"].map(|column| row[column].as_str().expect("text").to_owned())
        })
        .collect();
    assert_eq!(kept, cases.map(|(reason, topic, payload)| [reason.into(), topic.into(), hex(&payload)]));
    for row in &rows {
        assert_eq!(row["client_id"], "odd");
        assert_eq!(row["errors"] == 0, row["reason"] == "no_pattern", "{row}");
    }
    assert!(!site.lake().join("readings").exists(), "refused whole");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}
