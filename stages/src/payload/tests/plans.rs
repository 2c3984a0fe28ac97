//! Through the stages that read payloads.

use crate::{
    frame::{Frame, FrameId, Header, Kind, Lane, Message, Messages, MessagesBuilder, Quarantine, Readings},
    plan::{Plan, Port},
    topic::TopicConfig,
    transform::Transform,
    validate::{Schemas, Validate},
};

use super::*;

const TEXT: &[u8] = br#"{"device_id":"d","ts":"2024-01-01T00:00:00Z","metrics":{"t":21.5}}"#;

type Sent = (&'static str, Vec<(&'static str, &'static str)>, Vec<u8>);

fn cbor() -> Vec<u8> {
    let mut encoder = minicbor::Encoder::new(Vec::new());
    encoder.begin_map().unwrap().str("device_id").unwrap().str("d").unwrap();
    encoder.str("ts").unwrap().tag(minicbor::data::Tag::new(0)).unwrap().str("2024-01-01T00:00:00Z").unwrap();
    encoder.str("metrics").unwrap().map(1).unwrap().str("t").unwrap().f16(21.5).unwrap().end().unwrap();
    encoder.into_writer()
}

fn frame(messages: &[Sent]) -> Frame {
    let mut rows = MessagesBuilder::default();
    for (message, (topic, properties, payload)) in (0..).zip(messages) {
        let properties: Vec<_> =
            properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let received_at = 1_704_067_200_000_000;
        rows.append(&Message {
            message,
            topic,
            payload,
            received_at,
            client_id: "c",
            properties: &properties,
            replays: 0,
        });
    }
    let id = FrameId::ingested(1, 1);
    rows.finish(Header { id, kind: Kind::Messages, lane: Lane(0), created_at: 9, epoch: 1, trace: None })
        .unwrap()
}

fn topics() -> [TopicConfig; 2] {
    [
        json!({ "pattern": "plain", "schema": "builtin:device_sim" }),
        json!({ "pattern": "gzip", "schema": "builtin:device_sim", "payload": { "encoding": "gzip", "bytes_max": 1024 } }),
    ]
    .map(|topic| serde_json::from_value(topic).unwrap())
}

fn validate() -> Validate {
    Validate::new(&topics(), &Schemas::new("/", |path| Err(format!("{path} is not needed")))).unwrap()
}

fn port(plan: &Plan, port: Port) -> Option<&Frame> {
    plan.publish.iter().find(|(to, _)| *to == port).map(|(_, frame)| frame)
}

fn good() -> Vec<Sent> {
    vec![
        ("plain", vec![], TEXT.to_vec()),
        ("plain", vec![("Content-Encoding", "gzip")], gzip(TEXT)),
        ("plain", vec![("content-encoding", "zstd"), ("content-type", "application/cbor")], zstd(&cbor())),
        ("plain", vec![("content-type", "application/cbor")], cbor()),
        ("gzip", vec![], gzip(TEXT)),
        ("gzip", vec![("content-type", "application/cbor")], gzip(&cbor())),
        ("gzip", vec![("content-encoding", "identity")], TEXT.to_vec()),
    ]
}

#[test]
fn bytes_pass_validate_unchanged_and_transform_reads_them() {
    let (messages, input) = (good(), frame(&good()));
    let plan = validate().plan(&input).unwrap();
    assert_eq!((plan.counts.consumed, plan.counts.quarantined), (messages.len() as u64, 0));
    let passed = port(&plan, Port::Next).unwrap();
    let rows = Messages::of(passed).unwrap();
    for (row, (_, properties, payload)) in messages.iter().enumerate() {
        assert_eq!(rows.payload(row), payload);
        assert_eq!(rows.properties(row).len(), properties.len());
    }

    let plan = Transform::new(&topics(), 1).unwrap().plan(passed).unwrap();
    assert_eq!((plan.counts.consumed, plan.counts.produced), (messages.len() as u64, messages.len() as u64));
    let readings = Readings::of(port(&plan, Port::Next).unwrap()).unwrap();
    for row in 0..messages.len() {
        assert_eq!((readings.value(row), readings.message(row)), (Some(21.5), row as u64));
        assert_eq!((readings.devices().get(row), readings.metrics().get(row)), (Some("d"), Some("t")));
    }
}

#[test]
fn what_cannot_be_decoded_is_quarantined_as_it_came() {
    let large = gzip(&[TEXT, &[b' '; 1000]].concat());
    let bad: Vec<(&str, Sent)> = vec![
        ("bad_encoding", ("plain", vec![("content-encoding", "br")], TEXT.to_vec())),
        ("bad_encoding", ("gzip", vec![], TEXT.to_vec())),
        ("bad_encoding", ("gzip", vec![], gzip(TEXT)[..40].to_vec())),
        ("too_large", ("gzip", vec![], large)),
        ("not_cbor", ("plain", vec![("content-type", "application/cbor")], TEXT.to_vec())),
        ("not_utf8", ("plain", vec![], cbor())),
    ];
    let sent = bad.iter().map(|(_, sent)| sent.clone()).chain(good()).collect::<Vec<_>>();
    let input = frame(&sent);
    for plan in
        [validate().plan(&input).unwrap(), Transform::new(&topics(), 1).unwrap().plan(&input).unwrap()]
    {
        let counts = (plan.counts.consumed, plan.counts.quarantined);
        assert_eq!(counts, (good().len() as u64, bad.len() as u64));
        let refused = Quarantine::of(port(&plan, Port::Refused).unwrap()).unwrap();
        for (row, (reason, (topic, _, payload))) in bad.iter().enumerate() {
            assert_eq!((refused.reason(row), refused.topic(row)), (*reason, *topic));
            assert_eq!(refused.payload(row), payload);
            assert_ne!(refused.errors(row)[0].message, "");
        }
    }
}

#[test]
fn the_schema_is_held_against_what_was_decoded() {
    let wrong = br#"{"device_id":"","ts":"2024-01-01T00:00:00Z","metrics":{}}"#;
    let plan = validate().plan(&frame(&[("gzip", vec![], gzip(wrong))])).unwrap();
    let refused = Quarantine::of(port(&plan, Port::Refused).unwrap()).unwrap();
    assert_eq!((refused.reason(0), refused.errors(0)[0].pointer.as_str()), ("schema", "/device_id"));
}

#[test]
fn the_config_hashes_follow_what_the_config_says_of_payloads() {
    let hashes = |payload: Value| {
        let topic = serde_json::from_value(json!({ "pattern": "plain", "payload": payload })).unwrap();
        let files = Schemas::new("/", |path| Err(format!("{path} is not needed")));
        let topics = [topic];
        (
            Validate::new(&topics, &files).unwrap().config_hash(),
            Transform::new(&topics, 1).unwrap().config_hash(),
        )
    };
    let (validate, transform) = hashes(json!({}));
    assert_eq!(hashes(json!({ "encoding": "none" })), (validate, transform));
    let other = hashes(json!({ "encoding": "gzip" }));
    assert_ne!(other.0, validate);
    assert_ne!(other.1, transform);
}
