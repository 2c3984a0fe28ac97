//! Texts that are part of each reading have a largest length.

use serde_json::json;

use super::{check, check_refused, metrics, outcome, stage};

const BYTES_MAX: usize = 1024;

#[track_caller]
fn check_limit(stage: &super::Transform, payload: impl Fn(&str) -> String, reason: &str, pointer: &str) {
    assert!(outcome(stage, "devices/d1", &payload(&"x".repeat(BYTES_MAX))).is_ok());
    check_refused(stage, &payload(&"x".repeat(BYTES_MAX + 1)), reason, pointer);
}

#[test]
fn devices_and_tags_are_short() {
    let config = json!({ "time": "received", "device": { "pointer": "/d" }, "tags": { "site": { "pointer": "/s" } },
        "readings": { "fields": [{ "metric": "m", "pointer": "/v" }] } });
    let by_payload = stage("devices/{name}", config);
    check_limit(&by_payload, |text| format!(r#"{{"d":"{text}","v":1}}"#), "no_device", "/d");
    check_limit(&by_payload, |text| format!(r#"{{"d":1,"s":"{text}","v":1}}"#), "bad_value", "/s");
    let digits = format!(r#"{{"d":{},"v":1}}"#, "1".repeat(BYTES_MAX + 1));
    check_refused(&by_payload, &digits, "no_device", "/d");
    let tagged = json!({ "time": "received", "device": { "pointer": "/m" }, "tags": { "name": { "capture": "name" } } });
    for (stage, reason) in [(metrics(), "no_device"), (stage("devices/{name}", tagged), "bad_value")] {
        let topic = |bytes: usize| format!("devices/{}", "x".repeat(bytes));
        assert!(outcome(&stage, &topic(BYTES_MAX), r#"{"m":1,"metrics":{"v":2}}"#).is_ok());
        let refused = Err((reason.to_owned(), String::new()));
        assert_eq!(outcome(&stage, &topic(BYTES_MAX + 1), r#"{"m":1,"metrics":{"v":2}}"#), refused);
    }
}

#[test]
fn metrics_are_short_and_texts_of_any_length() {
    let text = "x".repeat(BYTES_MAX + 1);
    check(&metrics(), &format!(r#"{{"metrics":{{"m":"{text}"}}}}"#), &[&format!("d1 m={text:?}")]);
    // Where it stands is told as far as 300 bytes go.
    let pointer = format!("/metrics/{}…", "x".repeat(291));
    check_refused(&metrics(), &format!(r#"{{"metrics":{{"{text}":1}}}}"#), "bad_value", &pointer);
}

#[test]
fn names_and_units_of_senml_are_short_also_joined() {
    let senml = stage("devices/{device}", json!({ "preset": "senml" }));
    for label in ["n", "bn", "u", "bu"] {
        let record = |text: &str| format!(r#"[{{"{label}":"{text}","v":1,"s":2}}]"#);
        check_limit(&senml, record, "bad_value", &format!("/0/{label}"));
    }
    let joined = |text: &str| format!(r#"[{{"bn":"base"}},{{"n":"{}","v":1}}]"#, &text[4..]);
    check_limit(&senml, joined, "bad_value", "/1/n");
}
