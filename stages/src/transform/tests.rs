mod config;
mod convert;
mod frames;
mod lengths;
mod plain;
mod samples;
mod senml;

use std::sync::Arc;

use arrow_array::{Array, DictionaryArray, StringArray, types::Int32Type};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{DeviceTable, Transform};
use crate::{
    frame::{Frame, FrameId, Header, Kind, Lane, Message, MessagesBuilder, Micros, Quarantine, Readings},
    plan::{Counts, Plan, Port},
    topic::TopicConfig,
};

/// 2024-01-01T00:00:00Z.
const RECEIVED: Micros = 1_704_067_200_000_000;

fn frame(messages: &[(&str, &str)]) -> Frame {
    let mut rows = MessagesBuilder::default();
    for (message, (topic, payload)) in (10..).zip(messages) {
        let payload = payload.as_bytes();
        rows.append(&Message {
            message,
            topic,
            payload,
            received_at: RECEIVED,
            client_id: "c",
            properties: &[],
            replays: 0,
        });
    }
    let id = FrameId::ingested(1, 1);
    rows.finish(Header { id, kind: Kind::Messages, lane: Lane(0), created_at: 9, epoch: 1, trace: None })
        .unwrap()
}

fn topic(pattern: &str, transform: Value) -> TopicConfig {
    serde_json::from_value(json!({ "pattern": pattern, "transform": transform })).unwrap()
}

/// A stage of one topic and one lane.
fn stage(pattern: &str, transform: Value) -> Transform {
    Transform::new(&[topic(pattern, transform)], 1).unwrap()
}

fn port(plan: &Plan, port: Port) -> Option<&Frame> {
    plan.publish.iter().find(|(to, _)| *to == port).map(|(_, frame)| frame)
}

fn column(frame: &Frame, name: &str) -> Vec<Option<String>> {
    let column = frame.rows.column_by_name(name).unwrap();
    let column: &DictionaryArray<Int32Type> = column.as_any().downcast_ref().unwrap();
    let texts = column.downcast_dict::<StringArray>().unwrap();
    texts.into_iter().map(|text| text.map(str::to_owned)).collect()
}

/// Each reading as `device metric=value unit`, a text in quotes; or the reason and the pointer.
fn outcome(stage: &Transform, topic: &str, payload: &str) -> Result<Vec<String>, (String, String)> {
    Ok(rows(stage, topic, payload)?.into_iter().map(|(reading, ..)| reading).collect())
}

/// The same with the time after receipt in milliseconds, and the sequence number.
fn rows(stage: &Transform, topic: &str, payload: &str) -> Result<Vec<Row>, (String, String)> {
    let plan = stage.plan(&frame(&[(topic, payload)])).unwrap();
    if let Some(frame) = port(&plan, Port::Refused) {
        let refused = Quarantine::of(frame).unwrap();
        assert_eq!(refused.payload(0), payload.as_bytes());
        assert_eq!(refused.stage(0), "transform");
        return Err((refused.reason(0).to_owned(), refused.errors(0)[0].pointer.clone()));
    }
    let Some(frame) = port(&plan, Port::Next) else { return Ok(Vec::new()) };
    let (rows, units) = (Readings::of(frame).unwrap(), column(frame, "unit"));
    let shown = |row: usize| {
        let (device, metric) = (rows.devices().get(row).unwrap(), rows.metrics().get(row).unwrap());
        let text = rows.text(row).map(|text| format!("{text:?}"));
        let value = rows.value(row).map(|value| format!("{value:?}"));
        let unit = units[row].as_ref().map(|unit| format!(" {unit}")).unwrap_or_default();
        let reading = format!("{device} {metric}={}{unit}", text.xor(value).unwrap());
        (reading, (rows.ts(row) - RECEIVED) as f64 / 1e3, rows.seq(row))
    };
    Ok((0..rows.len()).map(shown).collect())
}

type Row = (String, f64, Option<u64>);

#[track_caller]
fn check(stage: &Transform, payload: &str, expected: &[&str]) {
    let expected = expected.iter().map(|reading| (*reading).to_owned()).collect();
    assert_eq!(outcome(stage, "devices/d1", payload), Ok(expected), "{payload}");
}

#[track_caller]
fn check_refused(stage: &Transform, payload: &str, reason: &str, pointer: &str) {
    let expected = Err((reason.to_owned(), pointer.to_owned()));
    assert_eq!(outcome(stage, "devices/d1", payload), expected, "{payload}");
}

fn metrics() -> Transform {
    stage("devices/{device}", json!({ "time": "received" }))
}

#[test]
fn values_by_their_kind() {
    for (json, expected) in [
        ("21.4", "21.4"),
        ("-0", "-0.0"),
        ("1E3", "1000.0"),
        ("true", "1.0"),
        ("false", "0.0"),
        (r#""open""#, r#""open""#),
        (r#""""#, r#""""#),
        (r#""caf\u00e9\n""#, r#""café\n""#),
        ("9007199254740992", "9007199254740992.0"),
        ("9007199254740993", r#""9007199254740993""#),
        ("-9007199254740993", r#""-9007199254740993""#),
        ("18446744073709551616", "1.8446744073709552e19"),
        ("1234567890123456789012345678901234567890", r#""1234567890123456789012345678901234567890""#),
        ("0.1000000000000000055511151231257827", "0.1"),
        ("5e-324", "5e-324"),
        ("1e-999", "0.0"),
    ] {
        check(&metrics(), &format!(r#"{{"metrics":{{"m": {json} }}}}"#), &[&format!("d1 m={expected}")]);
    }
}

#[test]
fn what_is_no_reading_makes_the_message_be_refused() {
    let stage = metrics();
    for (payload, reason, pointer) in [
        (r#"{"metrics":{"ok":1,"a/b":{"c":1}}}"#, "bad_value", "/metrics/a~1b"),
        (r#"{"metrics":{"m":[1]}}"#, "bad_value", "/metrics/m"),
        (r#"{"metrics":{"m":1e999}}"#, "bad_value", "/metrics/m"),
        (r#"{"metrics":{"m":"\ud800"}}"#, "bad_value", "/metrics/m"),
        (r#"{"metrics":[1]}"#, "bad_value", "/metrics"),
        (r#"{"metrics":7}"#, "bad_value", "/metrics"),
        (r#"{"metrics":{}}"#, "no_readings", "/metrics"),
        (r#"{"metrics":{"m":null}}"#, "no_readings", "/metrics"),
        ("{}", "no_readings", "/metrics"),
        ("[]", "no_readings", "/metrics"),
        ("", "not_json", ""),
        (r#"{"metrics":{"m":1}"#, "not_json", ""),
    ] {
        check_refused(&stage, payload, reason, pointer);
    }
}

#[test]
fn nulls_are_no_readings_and_the_last_of_a_repeated_metric_counts() {
    check(&metrics(), r#"{"metrics":{"a":null,"b":1}}"#, &["d1 b=1.0"]);
    check(&metrics(), r#"{"metrics":{"b":1,"a":2,"b":3}}"#, &["d1 a=2.0", "d1 b=3.0"]);
    let many: Vec<String> = (0..40).map(|number| format!(r#""m{}":{number}"#, number % 20)).collect();
    let expected: Vec<String> = (20..40).map(|number| format!("d1 m{}={number}.0", number % 20)).collect();
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    check(&metrics(), &format!(r#"{{"metrics":{{{}}}}}"#, many.join(",")), &expected);
}

#[test]
fn metrics_are_renamed_dropped_and_given_units() {
    let stage = stage(
        "devices/{device}",
        json!({
            "time": "received",
            "rename": { "t": "temperature" },
            "drop": ["debug"],
            "units": { "temperature": "Cel", "t": "K", "debug": "1" },
        }),
    );
    check(&stage, r#"{"metrics":{"t":1,"debug":{"any":1},"h":2}}"#, &["d1 temperature=1.0 Cel", "d1 h=2.0"]);
    check(&stage, r#"{"metrics":{"debug":1}}"#, &[]);
    let plan = stage.plan(&frame(&[("devices/d1", r#"{"metrics":{"debug":1,"x":null}}"#)])).unwrap();
    assert_eq!(plan, Plan { counts: Counts { filtered: 1, ..Counts::default() }, ..Plan::default() });
}

#[test]
fn what_a_flat_payload_says_besides_is_no_reading() {
    let transform = json!({
        "device": { "pointer": "/id" },
        "time": { "pointer": "/at/0", "format": "epoch_s" },
        "seq": "/n",
        "readings": { "object": "" },
        "tags": { "firmware": { "pointer": "/fw~1v" } },
    });
    let stage = stage("devices/{any}", transform);
    check(&stage, r#"{"id":"p","at":[0],"n":1,"fw/v":"2","t":21.4,"h":40}"#, &["p t=21.4", "p h=40.0"]);
    check_refused(&stage, r#"{"id":"p","at":[0],"n":1}"#, "no_readings", "");
    check_refused(&stage, r#"{"id":"p","at":[0],"t":{}}"#, "bad_value", "/t");
}

#[test]
fn fields_are_named_one_by_one() {
    let fields = json!([
        { "metric": "temp", "pointer": "/env/t", "unit": "Cel" },
        { "metric": "hum", "pointer": "/env/h" },
        { "metric": "door", "pointer": "/doors/1" },
    ]);
    let transform =
        json!({ "time": "received", "readings": { "fields": fields }, "units": { "hum": "%", "temp": "K" } });
    let stage = stage("devices/{device}", transform);
    check(
        &stage,
        r#"{"env":{"t":1,"h":2},"doors":[false,true]}"#,
        &["d1 temp=1.0 Cel", "d1 hum=2.0 %", "d1 door=1.0"],
    );
    check(&stage, r#"{"env":{"h":2}}"#, &["d1 hum=2.0 %"]);
    check_refused(&stage, r#"{"env":{"x":2}}"#, "no_readings", "");
    check_refused(&stage, r#"{"env":{"t":{}}}"#, "bad_value", "/env/t");
}

#[test]
fn the_device_is_in_the_topic_or_in_the_payload() {
    let payload = r#"{"id":"p","metrics":{"m":1}}"#;
    let by = |device: Value| stage("{kind}/{device}", json!({ "time": "received", "device": device }));
    check(&by(Value::Null), payload, &["d1 m=1.0"]);
    check(&by(json!({ "capture": "kind" })), payload, &["devices m=1.0"]);
    let stage = by(json!({ "pointer": "/id" }));
    check(&stage, payload, &["p m=1.0"]);
    check(&stage, r#"{"id":42,"metrics":{"m":1}}"#, &["42 m=1.0"]);
    for id in [r#""""#, "null", "1.5", "true", "{}"] {
        check_refused(&stage, &format!(r#"{{"id":{id},"metrics":{{"m":1}}}}"#), "no_device", "/id");
    }
    check_refused(&stage, r#"{"metrics":{"m":1}}"#, "no_device", "/id");
}

#[test]
fn times_are_read_and_bounded() {
    let time = json!({ "pointer": "/ts" });
    let transform = json!({ "time": time, "max_future_secs": 60, "min_time": "2023-01-01T01:00:00+01:00" });
    let text = stage("devices/{device}", transform);
    let number = stage("devices/{device}", json!({ "time": { "pointer": "/ts", "format": "epoch_ms" } }));
    let payload = |ts: &str| format!(r#"{{"ts":{ts},"metrics":{{"m":1}}}}"#);
    let ts = |stage: &Transform, ts: &str| {
        let plan = stage.plan(&frame(&[("devices/d", &payload(ts))])).unwrap();
        Readings::of(port(&plan, Port::Next).unwrap()).unwrap().ts(0)
    };
    assert_eq!(ts(&text, r#""2024-01-01T00:01:00Z""#), RECEIVED + 60_000_000);
    assert_eq!(ts(&text, r#""2023-01-01T00:00:00Z""#), RECEIVED - 365 * 86_400_000_000);
    assert_eq!(ts(&number, "-1.5"), -1_500);
    for (stage, ts, reason) in [
        (&text, r#""2024-01-01T00:01:00.000001Z""#, "future_time"),
        (&text, r#""2022-12-31T23:59:59.999999Z""#, "before_min_time"),
        (&text, r#""noon""#, "bad_time"),
        (&text, "1704067200", "bad_time"),
        (&text, "null", "bad_time"),
        (&number, r#""2024-01-01T00:00:00Z""#, "bad_time"),
        (&number, "1704153600001", "future_time"),
    ] {
        check_refused(stage, &payload(ts), reason, "/ts");
    }
    check_refused(&text, r#"{"metrics":{"m":1}}"#, "bad_time", "/ts");
}

#[test]
fn sequence_numbers_are_integers_or_absent() {
    let stage = stage("devices/{device}", json!({ "time": "received", "seq": "/n" }));
    for (n, expected) in [
        ("0", Some(0)),
        ("18446744073709551615", Some(u64::MAX)),
        ("7.0", Some(7)),
        ("1e3", Some(1_000)),
        ("null", None),
    ] {
        let plan =
            stage.plan(&frame(&[("devices/d", &format!(r#"{{"n":{n},"metrics":{{"m":1}}}}"#))])).unwrap();
        assert_eq!(Readings::of(port(&plan, Port::Next).unwrap()).unwrap().seq(0), expected, "{n}");
    }
    for n in ["-1", "1.5", "18446744073709551616", r#""1""#, "true", "[]"] {
        check_refused(&stage, &format!(r#"{{"n":{n},"metrics":{{"m":1}}}}"#), "bad_seq", "/n");
    }
    check(&stage, r#"{"metrics":{"m":1}}"#, &["d1 m=1.0"]);
}

#[test]
fn tags_are_columns_of_all_patterns() {
    let tags = json!({ "site": { "capture": "site" }, "plant": { "constant": "berlin" }, "fw": { "pointer": "/fw" } });
    let topics = [
        topic("a/{site}/{device}", json!({ "time": "received", "tags": tags })),
        topic("b/{device}", json!({ "time": "received", "tags": { "line": { "constant": "7" } } })),
    ];
    let stage = Transform::new(&topics, 1).unwrap();
    assert_eq!(stage.tags(), ["fw", "line", "plant", "site"]);
    let input = frame(&[
        ("a/hall/d", r#"{"metrics":{"m":1},"fw":"1.2"}"#),
        ("a/roof/d", r#"{"metrics":{"m":1},"fw":3}"#),
        ("b/d", r#"{"metrics":{"m":1},"fw":"1.2"}"#),
    ]);
    let plan = stage.plan(&input).unwrap();
    let tag = |name: &str| column(port(&plan, Port::Next).unwrap(), &format!("tag_{name}"));
    let texts = |texts: [Option<&str>; 3]| texts.map(|text| text.map(str::to_owned));
    assert_eq!(tag("site"), texts([Some("hall"), Some("roof"), None]));
    assert_eq!(tag("plant"), texts([Some("berlin"), Some("berlin"), None]));
    assert_eq!(tag("fw"), texts([Some("1.2"), Some("3"), None]));
    assert_eq!(tag("line"), texts([None, None, Some("7")]));
    let nested = stage.plan(&frame(&[("a/s/d", r#"{"metrics":{"m":1},"fw":{}}"#)])).unwrap();
    assert_eq!(Quarantine::of(port(&nested, Port::Refused).unwrap()).unwrap().reason(0), "bad_value");
}

#[test]
fn tags_come_from_the_device_table() {
    let table = "device_id,site,note\nd1,hall,\nd2,roof,\"by the door, left\"\n";
    let devices = Arc::new(DeviceTable::read(table).unwrap());
    let tags = json!({ "site": { "table": "site" }, "note": { "table": "note" } });
    let topics = [topic("{device}", json!({ "time": "received", "tags": tags }))];
    let stage = Transform::with_devices(&topics, 1, Some(&devices)).unwrap();
    let payload = r#"{"metrics":{"a":1,"b":2}}"#;
    let plan = stage.plan(&frame(&[("d1", payload), ("d2", payload), ("d3", payload)])).unwrap();
    let tag = |name: &str| column(port(&plan, Port::Next).unwrap(), &format!("tag_{name}"));
    let texts = |texts: [Option<&str>; 3]| -> Vec<_> {
        texts.iter().flat_map(|text| [text.map(str::to_owned), text.map(str::to_owned)]).collect()
    };
    assert_eq!(tag("site"), texts([Some("hall"), Some("roof"), None]));
    assert_eq!(tag("note"), texts([None, Some("by the door, left"), None]));
}

#[test]
fn a_topic_without_a_transform_is_that_of_device_sim() {
    let topics = [
        serde_json::from_value(json!({ "pattern": "x/#" })).unwrap(),
        topic("{device}/y", json!({ "preset": "device_sim" })),
    ];
    let stage = Transform::new(&topics, 1).unwrap();
    let payload = r#"{"device_id":"p","ts":"2023-12-31T23:59:59.5Z","seq":4,"metrics":{"t":21.4}}"#;
    let plan = stage.plan(&frame(&[("x", payload), ("d/y", payload)])).unwrap();
    let rows = Readings::of(port(&plan, Port::Next).unwrap()).unwrap();
    for (row, device) in ["p", "d"].into_iter().enumerate() {
        assert_eq!(rows.devices().get(row), Some(device));
        assert_eq!(rows.metrics().get(row), Some("t"));
        assert_eq!((rows.value(row), rows.text(row)), (Some(21.4), None));
        assert_eq!((rows.ts(row), rows.received_at(row)), (RECEIVED - 500_000, RECEIVED));
        assert_eq!((rows.seq(row), rows.message(row)), (Some(4), 10 + row as u64));
    }
}

#[test]
fn each_lane_gets_a_frame_and_the_books_balance() {
    let topics = [topic("t", json!({ "preset": "device_sim", "time": "received" }))];
    let stage = Transform::new(&topics, 4).unwrap();
    let payloads: Vec<String> =
        (0..40).map(|n| format!(r#"{{"device_id":"d{n}","metrics":{{"a":1,"b":2}}}}"#)).collect();
    let mut messages: Vec<(&str, &str)> = payloads.iter().map(|payload| ("t", payload.as_str())).collect();
    messages.extend([("t", "x"), ("unknown", "{}")]);
    let input = frame(&messages);
    let plan = stage.plan(&input).unwrap();
    let counts = Counts { consumed: 40, quarantined: 2, produced: 80, ..Counts::default() };
    assert_eq!(plan.counts, counts);
    let mut rows = 0;
    for (_, frame) in plan.publish.iter().filter(|(to, _)| *to == Port::Next) {
        let readings = Readings::of(frame).unwrap();
        rows += readings.len();
        for row in 0..readings.len() {
            assert_eq!(Lane::of(readings.devices().get(row).unwrap(), 4), frame.header.lane);
        }
    }
    assert_eq!((rows, plan.publish.len()), (80, 5));
    let refused = Quarantine::of(port(&plan, Port::Refused).unwrap()).unwrap();
    assert_eq!([refused.reason(0), refused.reason(1)], ["not_json", "no_pattern"]);
    assert_eq!(stage.plan(&input).unwrap(), plan);
    let mut ids: Vec<_> = plan.publish.iter().map(|(_, frame)| frame.header.id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 5);
}

fn value_of(json: &str) -> (Option<f64>, Option<String>) {
    let plan = metrics().plan(&frame(&[("devices/d", &format!(r#"{{"metrics":{{"m":{json}}}}}"#))])).unwrap();
    let rows = Readings::of(port(&plan, Port::Next).unwrap()).unwrap();
    (rows.value(0), rows.text(0).map(str::to_owned))
}

proptest! {
    #[test]
    fn floats_keep_their_bits(value in any::<f64>().prop_filter("JSON has no others", |value| value.is_finite())) {
        // `{:?}` and serde_json write the shortest digits that give the float back.
        prop_assume!(value.fract() != 0.0 || value.abs() < 1e15);
        for json in [format!("{value:?}"), serde_json::to_string(&value).unwrap()] {
            prop_assert_eq!(value_of(&json).0.map(f64::to_bits), Some(value.to_bits()), "{}", json);
        }
    }

    #[test]
    fn integers_keep_every_digit(number in prop_oneof![any::<i128>(), any::<i64>().prop_map(i128::from), (-1i128 << 54)..(1 << 54)]) {
        match value_of(&number.to_string()) {
            (Some(value), None) => prop_assert_eq!(format!("{value:.0}"), number.to_string()),
            (None, Some(text)) => {
                prop_assert_eq!(&text, &number.to_string());
                prop_assert_ne!(format!("{:.0}", text.parse::<f64>().unwrap()), text);
            }
            both => prop_assert!(false, "{both:?}"),
        }
    }
}
