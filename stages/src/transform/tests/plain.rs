//! A payload that is not plain is read another way, to the same readings.

use proptest::prelude::*;
use serde_json::json;

use super::{Transform, rows, stage};
use crate::json::tests::texts;

/// A member that says nothing, with an escape, which makes a payload not plain.
const ESCAPE: &str = r#""\u007a\u007a":0"#;

fn check(stage: &Transform, payload: &str) {
    let (start, end) = (payload.find('{').unwrap() + 1, payload.len());
    let (before, after) = (&payload[..start], &payload[start..end]);
    let other = format!("{before}{ESCAPE},{after}");
    assert_eq!(rows(stage, "devices/d1", payload), rows(stage, "devices/d1", &other), "{payload}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn readings_are_the_same(
        values in prop::collection::vec(texts(), 3),
        time in prop_oneof![Just("1704067200".to_owned()), texts()],
    ) {
        let [a, b, c] = values.as_slice() else { unreachable!() };
        let seconds = json!({ "pointer": "/ts", "format": "epoch_s" });
        let single = json!({ "time": seconds, "seq": "/seq", "tags": { "c": { "pointer": "/c" } } });
        let fields = json!({
            "time": "received",
            "readings": { "fields": [{ "metric": "a", "pointer": "/metrics/a" }, { "metric": "b", "pointer": "/metrics/b/0" }] },
        });
        let payload = format!(r#"{{"ts":{time},"seq":{c},"c":{c},"metrics":{{"a":{a},"b":{b}}}}}"#);
        for config in [single, fields] {
            check(&stage("devices/{device}", config), &payload);
        }
        let samples = json!({ "samples": { "pointer": "/all", "time": seconds } });
        let payload = format!(r#"{{"ts":{c},"all":[{{"ts":{time},"a":{a}}},{{"ts":{time},"b":{b}}}]}}"#);
        check(&stage("devices/{device}", samples), &payload);
        let senml = stage("devices/{device}", json!({ "preset": "senml" }));
        check(&senml, &format!(r#"[{{"n":"a","v":{a},"t":{time}}},{{"n":"b","vs":{b},"u":{c}}}]"#));
    }
}
