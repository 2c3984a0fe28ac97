use std::sync::Arc;

use serde_json::{Value, json};

use super::topic;
use crate::{
    topic::TopicConfig,
    transform::{DeviceTable, Transform, TransformConfig},
};

#[track_caller]
fn check_mistakes(pattern: &str, transform: Value, expected: &[(&str, &str)]) {
    let topics = [topic("sound", json!({ "preset": "device_sim" })), topic(pattern, transform)];
    let mistakes = Transform::new(&topics, 4).unwrap_err();
    assert_eq!(mistakes.len(), expected.len(), "{mistakes:#?}");
    for (mistake, (pointer, message)) in mistakes.iter().zip(expected) {
        assert_eq!(mistake.pointer, *pointer);
        assert!(mistake.message.contains(message), "{}", mistake.message);
    }
}

#[track_caller]
fn check_unreadable(transform: Value, message: &str) {
    let error = serde_json::from_value::<TransformConfig>(transform).unwrap_err().to_string();
    assert!(error.contains(message), "{error}");
}

#[test]
fn every_mistake_is_told_at_once_with_its_place() {
    let transform = json!({
        "device": { "capture": "dev" },
        "time": { "pointer": "ts" },
        "readings": { "fields": [
            { "metric": "a", "pointer": "/a" },
            { "metric": "a", "pointer": "/b~" },
        ] },
        "seq": "seq",
        "rename": { "x": "z", "y": "z" },
        "drop": ["y"],
        "tags": { "a/b": { "constant": "x" }, "s": { "capture": "site" }, "t": { "pointer": "t" } },
        "max_future_secs": u64::MAX,
        "min_time": "yesterday",
    });
    let expected = [
        ("/1/transform/device/capture", "{device}/{line} captures no \"dev\", but device, line"),
        ("/1/transform/time/pointer", "\"ts\" is no JSON pointer: it must begin with `/`"),
        ("/1/transform/readings/fields/1/metric", "\"a\" has a field already"),
        ("/1/transform/readings/fields/1/pointer", "\"/b~\" is no JSON pointer"),
        ("/1/transform/seq", "\"seq\" is no JSON pointer"),
        ("/1/transform/tags/a~1b", "\"a/b\" cannot name a tag"),
        ("/1/transform/tags/s/capture", "captures no \"site\""),
        ("/1/transform/tags/t/pointer", "\"t\" is no JSON pointer"),
        ("/1/transform/rename/y", "\"x\" is renamed to \"z\" already"),
        ("/1/transform/rename/y", "\"y\" is also dropped"),
        ("/1/transform/max_future_secs", "18446744073709551615 seconds are too many"),
        ("/1/transform/min_time", "\"yesterday\" is no RFC 3339 time"),
    ];
    check_mistakes("{device}/{line}", transform, &expected);
}

#[test]
fn device_and_time_are_not_guessed() {
    let expected =
        [("/1/transform/device", "where is the device named"), ("/1/transform/time", "where is the time")];
    check_mistakes("a/b", json!({}), &expected);
    check_mistakes("{device}", json!({}), &expected[1..]);
    let capture = [("/1/transform/device/capture", "the pattern a/b captures nothing; write `{d}`")];
    check_mistakes("a/b", json!({ "device": { "capture": "d" }, "time": "received" }), &capture);
    let fields = [("/1/transform/readings/fields", "there are no fields")];
    check_mistakes("{device}", json!({ "time": "received", "readings": { "fields": [] } }), &fields);
}

#[test]
fn a_tag_needs_a_column_of_the_device_table() {
    let tags = |column: &str| json!({ "time": "received", "tags": { "site": { "table": column } } });
    let none = [(
        "/1/transform/tags/site/table",
        "there is no device table; name one with `devices: { table: devices.csv }`",
    )];
    check_mistakes("{device}", tags("site"), &none);
    let devices = Arc::new(DeviceTable::read("device_id,place,line\n").unwrap());
    let made = |column| Transform::with_devices(&[topic("{device}", tags(column))], 1, Some(&devices));
    let mistakes = made("site").unwrap_err();
    assert_eq!(mistakes[0].pointer, "/0/transform/tags/site/table");
    assert_eq!(mistakes[0].message, "the device table has no column \"site\", but device_id, place, line");
    assert!(made("place").is_ok());
}

#[test]
fn a_bad_pattern_is_told_alone() {
    let topics = [topic("a/#/b", json!({})), topic("{x}", json!({}))];
    let mistakes = Transform::new(&topics, 4).unwrap_err();
    assert_eq!(mistakes.len(), 1);
    assert_eq!(mistakes[0].pointer, "/0/pattern");
    assert!(mistakes[0].to_string().starts_with("topics/0/pattern: "), "{}", mistakes[0]);
}

#[test]
fn what_cannot_be_read_says_what_could() {
    check_unreadable(json!({ "tme": "received" }), "unknown field `tme`, expected one of");
    check_unreadable(
        json!({ "time": "recieved" }),
        "expected `received`, or a mapping of `pointer` and `format`",
    );
    check_unreadable(json!({ "time": { "pointer": "/t", "fmt": "x" } }), "unknown field `fmt`");
    check_unreadable(json!({ "time": { "format": "epoch_s" } }), "missing field `pointer`");
    check_unreadable(json!({ "time": { "pointer": "/t", "format": "epoch" } }), "unknown variant `epoch`");
    check_unreadable(json!({ "device": { "topic": "x" } }), "unknown variant `topic`");
    check_unreadable(json!({ "preset": "other" }), "unknown variant `other`, expected `device_sim`");
}

#[test]
fn a_config_is_written_as_it_is_read() {
    let text = json!({
        "pattern": "{site}/{device}/#",
        "schema": "schemas/t.json",
        "transform": {
            "device": { "capture": "device" },
            "time": { "pointer": "/ts", "format": "epoch_us" },
            "readings": { "fields": [{ "metric": "temp", "pointer": "/t", "unit": "Cel" }] },
            "seq": "/seq",
            "rename": { "t": "temperature" },
            "drop": ["debug"],
            "units": { "temperature": "Cel" },
            "tags": { "site": { "capture": "site" }, "plant": { "constant": "berlin" } },
            "max_future_secs": 60,
            "min_time": "2000-01-01T00:00:00Z",
        },
    });
    let config: TopicConfig = serde_json::from_value(text.clone()).unwrap();
    assert_eq!(serde_json::to_value(&config).unwrap(), text);
    let received: TransformConfig = serde_json::from_value(json!({ "time": "received" })).unwrap();
    assert_eq!(
        serde_json::to_value(&received).unwrap(),
        json!({ "time": "received", "max_future_secs": 86_400 })
    );
}

#[test]
fn the_published_schema_takes_what_is_read() {
    let schema = schemars::schema_for!(TopicConfig);
    let validator = jsonschema::validator_for(schema.as_value()).unwrap();
    let entry = |transform: Value| json!({ "pattern": "{device}", "transform": transform });
    for transform in
        [json!({ "time": "received" }), json!({ "time": { "pointer": "/t" }, "drop": ["a"] }), json!(null)]
    {
        assert!(validator.is_valid(&entry(transform.clone())), "{transform}");
    }
    for transform in [
        json!({ "time": "now" }),
        json!({ "tme": 1 }),
        json!({ "device": {} }),
        json!({ "max_future_secs": -1 }),
    ] {
        assert!(!validator.is_valid(&entry(transform.clone())), "{transform}");
    }
}

#[test]
fn the_config_hash_follows_what_is_decided() {
    let hash = |transform: Value, lanes| {
        Transform::new(&[topic("{device}", transform)], lanes).unwrap().config_hash()
    };
    let received = || json!({ "time": "received" });
    assert_eq!(hash(received(), 4), hash(received(), 4));
    assert_ne!(hash(received(), 4), hash(received(), 5));
    assert_ne!(hash(received(), 4), hash(json!({ "time": { "pointer": "/t" } }), 4));

    let with = |tags: Value, table: &str| {
        let topics = [topic("{device}", json!({ "time": "received", "tags": tags }))];
        let devices = Arc::new(DeviceTable::read(table).unwrap());
        Transform::with_devices(&topics, 4, Some(&devices)).unwrap().config_hash()
    };
    let site = || json!({ "site": { "table": "site" } });
    assert_ne!(with(site(), "device_id,site\nd,a\n"), with(site(), "device_id,site\nd,b\n"));
    assert_eq!(
        with(json!({}), "device_id,site\nd,a\n"),
        hash(received(), 4),
        "a table that no tag is taken from"
    );
}
