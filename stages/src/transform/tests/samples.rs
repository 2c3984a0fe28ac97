use serde_json::{Value, json};

use super::{Transform, check_refused, rows, stage};

fn samples(samples: Value, more: Value) -> Transform {
    let mut transform = json!({ "samples": samples });
    transform.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    stage("devices/{device}", transform)
}

fn at(pointer: &str) -> Value {
    json!({ "pointer": pointer, "time": { "pointer": "/ts", "format": "epoch_ms" } })
}

/// Readings, their milliseconds after receipt, their sequence numbers.
#[track_caller]
fn check(stage: &Transform, payload: &str, expected: &[(&str, f64, Option<u64>)]) {
    let found = rows(stage, "devices/d", payload).unwrap();
    let found: Vec<_> = found.iter().map(|(reading, ms, seq)| (reading.as_str(), *ms, *seq)).collect();
    assert_eq!(found, expected, "{payload}");
}

#[test]
fn each_sample_has_its_own_time() {
    let payload = r#"{"seq":7,"samples":[
        {"ts":1704067199000,"temperature":21.4,"humidity":40},
        {"ts":1704067200000.5,"temperature":21.5,"open":true}]}"#;
    check(
        &samples(at("/samples"), json!({ "seq": "/seq", "units": { "temperature": "Cel" } })),
        payload,
        &[
            ("d temperature=21.4 Cel", -1_000.0, Some(7)),
            ("d humidity=40.0", -1_000.0, Some(7)),
            ("d temperature=21.5 Cel", 0.5, Some(7)),
            ("d open=1.0", 0.5, Some(7)),
        ],
    );
}

#[test]
fn samples_may_be_the_payload_have_numbers_of_their_own_and_named_fields() {
    let config = json!({
        "pointer": "",
        "time": { "pointer": "/t", "format": "epoch_s" },
        "seq": "/n",
        "readings": { "fields": [{ "metric": "level", "pointer": "/v", "unit": "cm" }] },
    });
    check(
        &samples(config, json!({})),
        r#" [{"t":1704067198,"n":1,"v":3},{"t":1704067199,"n":2,"v":null},{"t":1704067199,"v":4.5}] "#,
        &[("d level=3.0 cm", -2_000.0, Some(1)), ("d level=4.5 cm", -1_000.0, None)],
    );
    let pairs = json!({
        "pointer": "/rows",
        "time": { "pointer": "/0" },
        "readings": { "fields": [{ "metric": "level", "pointer": "/1" }] },
    });
    check(
        &samples(pairs, json!({})),
        r#"{"rows":[["2024-01-01T00:00:00Z",1],["2024-01-01T00:00:01Z",2]]}"#,
        &[("d level=1.0", 0.0, None), ("d level=2.0", 1_000.0, None)],
    );
}

#[test]
fn an_object_in_the_sample_is_taken_without_what_is_no_reading() {
    let config = json!({
        "pointer": "/s",
        "time": { "pointer": "/values/at/ms", "format": "epoch_ms" },
        "seq": "/values/n",
        "readings": { "object": "/values" },
    });
    check(
        &samples(config, json!({})),
        r#"{"s":[{"ts":"x","values":{"at":{"ms":1704067200001},"n":3,"ts":9}}]}"#,
        &[("d ts=9.0", 1.0, Some(3))],
    );
}

#[test]
fn offsets_count_from_the_message() {
    let offset = |format: &str| json!({ "pointer": "/s", "time": { "pointer": "/d", "format": format } });
    let payload = r#"{"at":"2024-01-01T00:00:10Z","s":[{"d":-1.5,"m":1},{"d":0,"m":2},{"d":20,"m":3}]}"#;
    let by = |format: &str, time: Value| samples(offset(format), json!({ "time": time }));
    let expected = |base: f64, unit: f64| {
        [("d m=1.0", base - 1.5 * unit, None), ("d m=2.0", base, None), ("d m=3.0", base + 20.0 * unit, None)]
    };
    check(&by("offset_ms", json!({ "pointer": "/at" })), payload, &expected(10_000.0, 1.0));
    check(&by("offset_s", json!("received")), payload, &expected(0.0, 1_000.0));
}

#[test]
fn the_newest_may_come_first() {
    check(
        &samples(at(""), json!({})),
        r#"[{"ts":1704067199000,"a":3},{"ts":1704067197000,"a":1,"b":9},{"ts":1704067198000,"a":2}]"#,
        &[
            ("d a=1.0", -3_000.0, None),
            ("d b=9.0", -3_000.0, None),
            ("d a=2.0", -2_000.0, None),
            ("d a=3.0", -1_000.0, None),
        ],
    );
}

#[test]
fn one_bad_sample_refuses_the_message_and_is_named() {
    let stage = samples(
        at("/s"),
        json!({ "samples_max": 3, "max_future_secs": 60, "min_time": "2023-01-01T00:00:00Z" }),
    );
    let good = r#"{"ts":1704067200000,"m":1}"#;
    for (bad, reason, pointer) in [
        (r#"{"m":1}"#, "bad_time", "/s/1/ts"),
        (r#"{"ts":"noon","m":1}"#, "bad_time", "/s/1/ts"),
        (r#"{"ts":1704067260001,"m":1}"#, "future_time", "/s/1/ts"),
        (r#"{"ts":1,"m":1}"#, "before_min_time", "/s/1/ts"),
        (r#"{"ts":1704067200000,"m":{}}"#, "bad_value", "/s/1/m"),
        ("null", "bad_time", "/s/1/ts"),
        ("7", "bad_time", "/s/1/ts"),
        (&format!("{good},{good},{good}"), "too_many_samples", "/s"),
    ] {
        check_refused(&stage, &format!(r#"{{"s":[{good},{bad}]}}"#), reason, pointer);
    }
    for payload in ["{}", r#"{"s":[]}"#, r#"{"s":[{"ts":1704067200000,"m":null}]}"#, "[]"] {
        check_refused(&stage, payload, "no_readings", "/s");
    }
    check_refused(&stage, r#"{"s":{"ts":1704067200000,"m":1}}"#, "bad_value", "/s");
    let numbered = json!({ "pointer": "", "time": { "pointer": "/ts", "format": "epoch_ms" }, "seq": "/n" });
    check_refused(&samples(numbered, json!({})), r#"[{"ts":1704067200000,"n":-1,"m":1}]"#, "bad_seq", "/0/n");
}

#[test]
fn a_gap_is_no_reading_and_what_is_dropped_is_filtered() {
    let stage = samples(at(""), json!({ "drop": ["debug"] }));
    check(
        &stage,
        r#"[{"ts":1704067200000,"m":null},{"ts":1704067200000,"debug":1},{"ts":1704067201000,"m":2}]"#,
        &[("d m=2.0", 1_000.0, None)],
    );
    check(&stage, r#"[{"ts":1704067200000,"debug":1}]"#, &[]);
}
