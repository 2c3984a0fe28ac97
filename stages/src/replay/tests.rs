use serde_json::json;

use super::*;
use crate::{
    frame::{Header, Kind, Lane, Message, MessagesBuilder},
    topic::TopicConfig,
    validate::Schemas,
};

fn frame(payloads: &[&str]) -> Frame {
    let mut rows = MessagesBuilder::default();
    for (message, payload) in (1..).zip(payloads) {
        rows.append(&Message {
            message,
            topic: "devices/pump/telemetry",
            payload: payload.as_bytes(),
            received_at: 1_767_225_600_000_000,
            client_id: "c",
            properties: &[],
            replays: 1,
        });
    }
    let id = FrameId([0; 16]);
    rows.finish(Header { id, kind: Kind::Messages, lane: Lane(0), created_at: 0, epoch: 0, trace: None })
        .unwrap()
}

fn numbers(frame: &Frame) -> Vec<(u64, u32)> {
    let rows = Messages::of(frame).unwrap();
    (0..rows.len()).map(|row| (rows.message(row), rows.replays(row))).collect()
}

#[test]
fn both_stages_have_a_say() {
    let topic: TopicConfig =
        serde_json::from_value(json!({ "pattern": "devices/{device}/telemetry", "schema": "/s.json" }))
            .unwrap();
    let schemas = Schemas::new("/", |_: &str| Ok(r#"{ "version": 2, "required": ["metrics"] }"#.to_owned()));
    let topics = [topic];
    let (validate, transform) =
        (Validate::new(&topics, &schemas).unwrap(), Transform::new(&topics, 4).unwrap());
    let good = r#"{"device_id": "pump", "ts": "2026-01-01T00:00:00Z", "metrics": {"t": 1}}"#;
    let no_time = r#"{"device_id": "pump", "metrics": {"t": 1}}"#;
    let messages = frame(&[good, "{}", no_time, "x", good]);

    let trial = Trial::of(&messages, &validate, &transform).unwrap();
    assert_eq!(numbers(&trial.passing.unwrap()), [(1, 1), (5, 1)]);
    let mut refused = Vec::new();
    for frame in &trial.refused {
        let rows = Quarantine::of(frame).unwrap();
        refused.extend((0..rows.len()).map(|row| {
            let version = rows.schema_version(row).unwrap().to_owned();
            (rows.message(row), rows.stage(row).to_owned(), rows.reason(row).to_owned(), version)
        }));
    }
    let expected = [(2, "validate", "schema"), (4, "validate", "not_json"), (3, "transform", "bad_time")];
    let expected = expected
        .map(|(message, stage, reason)| (message, stage.to_owned(), reason.to_owned(), "2".to_owned()));
    assert_eq!(refused, expected);

    let none = Trial::of(&frame(&["x", "y"]), &validate, &transform).unwrap();
    assert_eq!((none.passing, none.refused.len()), (None, 1));
}

#[test]
fn the_same_messages_have_the_same_id_once() {
    let messages = frame(&["1", "2", "3"]);
    let some = |picked: [u64; 2]| keep(&messages, |message, _| picked.contains(&message)).unwrap().unwrap();
    assert_eq!(some([1, 3]).header.id, some([3, 1]).header.id);
    assert_ne!(some([1, 3]).header.id, some([1, 2]).header.id);
    let names = [(1, 1), (3, 1)];
    assert_eq!(some([1, 3]).header.id, FrameId::replayed(names));
    assert_ne!(FrameId::replayed(names), FrameId::replayed(names.map(|(message, _)| (message, 2))));
    assert_eq!(keep(&messages, |_, replays| replays > 1).unwrap(), None);
}

#[test]
fn places_in_arrays_are_one_kind() {
    for (pointer, kind) in [
        ("", ""),
        ("/ts", "/ts"),
        ("/samples/17/ts", "/samples/*/ts"),
        ("/0", "/*"),
        ("/a1/2/3", "/a1/*/*"),
        ("/", "/"),
    ] {
        assert_eq!(kind_of_place(pointer), kind);
    }
}
