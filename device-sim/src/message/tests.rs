use chrono::{DateTime, Utc};

use super::{Batch, Content, Expected, ExpectedRow, Message, Sample, Value};

fn instant(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

#[test]
fn the_payload_has_the_documented_shape() {
    let message = Message {
        device: "pump \"7\"",
        ts: instant("2026-03-01T10:04:00.120Z"),
        seq: 3,
        metrics: &[("temperature", Value::Number(21.4)), ("state", Value::Text("on"))],
    };
    assert_eq!(
        message.to_json(),
        r#"{"device_id":"pump \"7\"","ts":"2026-03-01T10:04:00.120Z","seq":3,"metrics":{"temperature":21.4,"state":"on"}}"#
    );
}

/// A row of the metric m.
fn row(ts_micros: i64, content: Content) -> ExpectedRow {
    ExpectedRow { ts_micros, metric: "m".into(), content }
}

#[test]
fn each_sample_has_its_time_and_its_rows() {
    let ts = ["1970-01-01T00:00:01Z", "1970-01-01T00:00:02.5Z"].map(instant);
    let metrics = [[("m", Value::Number(21.4))], [("m", Value::Text("off"))]];
    let samples = [0, 1].map(|at| Sample { ts: ts[at], metrics: &metrics[at] });
    let payload = Batch { device: "d", seq: 3, samples: &samples }.to_json();
    assert_eq!(
        payload,
        r#"{"device_id":"d","seq":3,"samples":[{"ts":"1970-01-01T00:00:01Z","metrics":{"m":21.4}},{"ts":"1970-01-01T00:00:02.500Z","metrics":{"m":"off"}}]}"#
    );
    let rows = vec![
        row(1_000_000, Content::of_row(Some(21.4), None)),
        row(2_500_000, Content::of_row(None, Some("off"))),
    ];
    assert_eq!(Expected::of(&payload), Some(Expected { device: "d".into(), seq: 3, rows }));
}

#[test]
fn numbers_come_back_with_the_same_bits() {
    for number in [0.1, -0.0, 1e-320, f64::MAX, 1.0 / 3.0, 42.0, 9_007_199_254_740_993.0] {
        let message = Message {
            device: "d",
            ts: DateTime::UNIX_EPOCH,
            seq: 1,
            metrics: &[("m", Value::Number(number))],
        };
        let expected = Expected::of(&message.to_json()).unwrap();
        assert_eq!(expected.rows, [row(0, Content::of_row(Some(number), None))], "{number:e}");
    }
}

#[test]
fn each_kind_of_value_has_its_row() {
    let number = |value| Content::of_row(Some(value), None);
    let text = |text| Content::of_row(None, Some(text));
    for (json, content) in [
        ("1", number(1.0)),
        ("-0.0", number(-0.0)),
        ("true", number(1.0)),
        ("false", number(0.0)),
        ("\"open\"", text("open")),
        ("9007199254740992", number(9_007_199_254_740_992.0)),
        ("9007199254740993", text("9007199254740993")),
        ("9223372036854775807", text("9223372036854775807")),
        ("-9223372036854775808", number(-9_223_372_036_854_775_808.0)),
        ("18446744073709551615", text("18446744073709551615")),
    ] {
        let payload =
            format!(r#"{{"device_id":"d","ts":"2026-01-01T00:00:00Z","seq":1,"metrics":{{"m":{json}}}}}"#);
        assert_eq!(Expected::of(&payload).unwrap().rows, [row(1_767_225_600_000_000, content)], "{json}");
    }
    assert_ne!(number(0.0), number(-0.0));
    assert_ne!(number(1.0), text("1"));
}

#[test]
fn times_are_floored_to_microseconds() {
    for (ts, micros) in [
        ("1970-01-01T00:00:00.0000019Z", 1),
        ("1969-12-31T23:59:59.9999991Z", -1),
        ("1970-01-01T01:00:00+01:00", 0),
    ] {
        let payload = format!(r#"{{"device_id":"d","ts":"{ts}","seq":1,"metrics":{{"m":1}}}}"#);
        assert_eq!(Expected::of(&payload).unwrap().rows[0].ts_micros, micros, "{ts}");
    }
}

#[test]
fn what_breaks_the_shape_leads_to_no_rows() {
    for payload in [
        "",
        "not json",
        r#"{"device_id":"d","seq":1,"metrics":{"m":1}}"#,
        r#"{"device_id":"d","ts":"yesterday","seq":1,"metrics":{"m":1}}"#,
        r#"{"device_id":"d","ts":"2026-01-01T00:00:00Z","seq":1}"#,
        r#"{"device_id":"d","ts":"2026-01-01T00:00:00Z","seq":1,"metrics":[1]}"#,
        r#"{"device_id":"d","ts":"2026-01-01T00:00:00Z","seq":1,"metrics":{"m":[1]}}"#,
        r#"{"device_id":"d","seq":1,"samples":[{"metrics":{"m":1}}]}"#,
        r#"{"device_id":"d","seq":1,"samples":[{"ts":"2026-01-01T00:00:00Z","metrics":{"m":[1]}}]}"#,
    ] {
        assert_eq!(Expected::of(payload), None, "{payload}");
    }
}
