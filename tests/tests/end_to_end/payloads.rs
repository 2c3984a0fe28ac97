//! Payloads that are not plain JSON, from a client of MQTT 5 to the lake.

use std::{io::Write, time::Duration};

use flate2::{Compression, write::GzEncoder};
use minicbor::Encoder;
use rumqttc::v5::{
    Client, Event, Incoming, MqttOptions,
    mqttbytes::{QoS, v5::PublishProperties},
};
use tests::{PATIENCE, Site, lake};

use crate::QUICK;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn cbor(value: f64) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    encoder.map(3).unwrap().str("device_id").unwrap().str("pump").unwrap();
    encoder.str("ts").unwrap().str("2024-01-01T00:00:00Z").unwrap();
    encoder.str("metrics").unwrap().map(1).unwrap().str("pressure").unwrap().f64(value).unwrap();
    encoder.into_writer()
}

/// Publishes each message with its content type and encoding, and waits until all are acknowledged.
fn publish(site: &Site, messages: &[(Option<&str>, Option<&str>, Vec<u8>)]) {
    let address = site.address();
    let mut options = MqttOptions::new("compact", address.ip().to_string(), address.port());
    options.set_keep_alive(Duration::from_secs(30));
    let (client, mut connection) = Client::new(options, messages.len());
    for (kind, encoding, payload) in messages {
        let properties = PublishProperties {
            content_type: kind.map(str::to_owned),
            user_properties: encoding
                .map(|name| ("Content-Encoding".to_owned(), name.to_owned()))
                .into_iter()
                .collect(),
            ..PublishProperties::default()
        };
        let topic = "devices/pump/telemetry";
        client.publish_with_properties(topic, QoS::AtLeastOnce, false, payload.clone(), properties).unwrap();
    }
    let mut acknowledged = 0;
    while acknowledged < messages.len() {
        let event = connection.recv_timeout(PATIENCE).expect("in time").expect("connected");
        acknowledged += usize::from(matches!(event, Event::Incoming(Incoming::PubAck(_))));
    }
    client.disconnect().unwrap();
}

#[test]
fn compressed_and_binary_payloads_reach_the_lake_or_the_quarantine() {
    let (cbor_type, gzip_encoding) = (Some("application/cbor"), Some("gzip"));
    let site = Site::new(QUICK);
    let up = site.up();
    publish(
        &site,
        &[
            (cbor_type, gzip_encoding, gzip(&cbor(1.5))),
            (cbor_type, None, cbor(2.5)),
            (cbor_type, gzip_encoding, cbor(3.5)),
            (cbor_type, None, cbor(4.5)[..20].to_vec()),
            (None, Some("br"), cbor(5.5)),
        ],
    );
    up.terminate();
    up.ended().well();

    let rows = lake::query(
        &site.lake(),
        "SELECT device_id, metric, value FROM 'readings/**/*.parquet' ORDER BY value",
    );
    let found: Vec<_> = rows.iter().map(|row| row["value"].as_f64().unwrap()).collect();
    assert_eq!(found, [1.5, 2.5], "{rows:?}");
    assert_eq!((&rows[0]["device_id"], &rows[0]["metric"]), (&"pump".into(), &"pressure".into()));

    let refused = lake::query(
        &site.lake(),
        "SELECT reason, stage, octet_length(payload) AS bytes FROM 'quarantine/**/*.parquet' ORDER BY message",
    );
    let reasons: Vec<_> = refused.iter().map(|row| row["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["bad_encoding", "not_cbor", "bad_encoding"]);
    assert!(refused.iter().all(|row| row["stage"] == "validate"), "{refused:?}");
    assert_eq!(refused[0]["bytes"], cbor(3.5).len(), "as it came");
}
