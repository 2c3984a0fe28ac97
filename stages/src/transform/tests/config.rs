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
fn samples_have_one_place_for_everything() {
    let samples = |samples: Value| json!({ "samples": samples });
    let with = |more: Value| {
        let mut transform = samples(json!({ "pointer": "/s", "time": { "pointer": "/t" } }));
        transform.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        transform
    };
    for (more, pointer, message) in [
        (json!({ "readings": { "object": "" } }), "readings", "write it in there"),
        (json!({ "time": "received" }), "time", "every sample has its own time"),
        (json!({ "preset": "device_sim" }), "samples", "the preset says"),
    ] {
        check_mistakes("{device}", with(more), &[(&format!("/1/transform/{pointer}"), message)]);
    }
    let both = json!({ "pointer": "", "time": { "pointer": "/t" }, "seq": "/n" });
    check_mistakes(
        "{device}",
        json!({ "samples": both, "seq": "/seq" }),
        &[("/1/transform/samples/seq", "take out one of the two")],
    );
    let bad = json!({ "pointer": "s", "time": { "pointer": "t" }, "seq": "n", "readings": { "fields": [] } });
    check_mistakes(
        "{device}",
        samples(bad),
        &[
            ("/1/transform/samples/pointer", "\"s\" is no JSON pointer"),
            ("/1/transform/samples/time/pointer", "\"t\" is no JSON pointer"),
            ("/1/transform/samples/seq", "\"n\" is no JSON pointer"),
            ("/1/transform/samples/readings/fields", "there are no fields"),
        ],
    );
    let offset = json!({ "pointer": "", "time": { "pointer": "/t", "format": "offset_ms" } });
    check_mistakes("{device}", samples(offset), &[("/1/transform/time", "where is the time")]);
    let message = json!({ "time": { "pointer": "/t", "format": "offset_s" } });
    check_mistakes("{device}", message, &[("/1/transform/time/format", "only the time of `samples`")]);
    check_unreadable(samples(json!({ "pointer": "" })), "missing field `time`");
    check_unreadable(samples(json!("/samples")), "expected struct SamplesConfig");
}

#[test]
fn senml_says_everything_itself() {
    let transform = json!({
        "preset": "senml",
        "device": { "pointer": "/0/bn" },
        "time": "received",
        "readings": { "object": "" },
        "samples": { "pointer": "", "time": { "pointer": "/t" } },
    });
    let mistakes = ["device/pointer", "time", "readings", "samples"];
    let mistakes = mistakes.map(|key| format!("/1/transform/{key}"));
    let expected: Vec<_> = mistakes.iter().map(|pointer| (pointer.as_str(), "SenML")).collect();
    check_mistakes("{device}", transform, &expected);
}

#[test]
fn conversions_are_checked_before_anything_comes() {
    let check = |more: Value, expected: &[(&str, &str)]| {
        let mut transform = json!({ "time": "received" });
        transform.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let expected: Vec<_> =
            expected.iter().map(|(key, text)| (format!("/1/transform/convert/t{key}"), *text)).collect();
        let expected: Vec<_> = expected.iter().map(|(pointer, text)| (pointer.as_str(), *text)).collect();
        check_mistakes("{device}", transform, &expected);
    };
    let entry = |entry: Value| json!({ "convert": { "t": entry } });
    let both = "write either `to`, and `from`";
    for (wrong, key, message) in [
        (json!({}), "", both),
        (json!({ "from": "K" }), "", both),
        (json!({ "unit": "K" }), "", both),
        (json!({ "from": "K", "to": "Cel", "scale": 2 }), "", both),
        (json!({ "scale": 2, "from": "K" }), "", both),
        (
            json!({ "from": "F", "to": "Cel" }),
            "/from",
            "\"F\" is no unit that can be converted; did you mean \"[degF]\"?",
        ),
        (json!({ "from": "K", "to": "celsius" }), "/to", "did you mean \"Cel\"?"),
        (
            json!({ "from": "kPa", "to": "Cel" }),
            "/from",
            "\"kPa\" is a unit of pressure, and \"Cel\" one of temperature",
        ),
        (json!({ "to": "Cel" }), "", "nothing says which unit the device sends"),
        (json!({ "scale": 0 }), "/scale", "0 would make all values the same"),
    ] {
        check(entry(wrong), &[(key, message)]);
    }
    let with_units =
        |units: &str, wrong: Value| json!({ "units": { "t": units }, "convert": { "t": wrong } });
    check(
        with_units("K", json!({ "from": "K", "to": "Cel" })),
        &[("/from", "take the metric out of `units`")],
    );
    check(with_units("m", json!({ "to": "Cel" })), &[("", "\"m\" is a unit of length")]);
    check(
        with_units("m", json!({ "scale": 2, "unit": "cm" })),
        &[("/unit", "take the metric out of `units`")],
    );
    let fields = json!({ "fields": [{ "metric": "a", "pointer": "/a", "unit": "K" }] });
    let from = json!({ "t": { "from": "[degF]", "to": "Cel" } });
    check(
        json!({ "readings": fields, "rename": { "a": "t" }, "convert": from }),
        &[("/from", "its field says \"K\" and this \"[degF]\"")],
    );
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
    check_unreadable(
        json!({ "preset": "other" }),
        "unknown variant `other`, expected `device_sim` or `senml`",
    );
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
            "samples": {
                "pointer": "/samples",
                "time": { "pointer": "/dt", "format": "offset_ms" },
                "readings": { "object": "/values" },
                "seq": "/n",
            },
            "samples_max": 100,
            "seq": "/seq",
            "rename": { "t": "temperature" },
            "drop": ["debug"],
            "units": { "temperature": "Cel" },
            "convert": {
                "temperature": { "from": "[degF]", "to": "Cel" },
                "level": { "scale": 0.1, "offset": -40.0, "unit": "cm" },
            },
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
        json!({ "time": "received", "samples_max": 10_000, "max_future_secs": 86_400 })
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
        json!({ "samples_max": 0 }),
        json!({ "samples": { "pointer": "" } }),
        json!({ "convert": { "t": { "factor": 2 } } }),
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
