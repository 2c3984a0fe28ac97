//! What the JSON Schema refuses.

use super::*;

#[test]
fn an_unknown_key_names_the_nearest_known_one() {
    check(&[
        ("topic: []\n", &["1:1: topic is not a known key; did you mean topics?"]),
        ("ingest:\n  lingerms: 5\n", &["2:3: ingest.lingerms is not a known key; did you mean linger_ms?"]),
        (
            "ingest:\n  listener:\n    listen: 127.0.0.1:1\n    allow_anonymus: true\n",
            &["4:5: ingest.listener.allow_anonymus is not a known key; did you mean allow_anonymous?"],
        ),
        ("queues: {lease: 3}\n", &["1:10: queues.lease is not a known key; did you mean lease_secs?"]),
        (
            "topics:\n  - patern: a/{device}\n    pattern: b/{device}\n",
            &["2:5: topics[0].patern is not a known key; did you mean pattern?"],
        ),
        (
            "topics:\n  - pattern: b/{device}\n    transform:\n      preset: device_sim\n      tag: {}\n",
            &["5:7: topics[0].transform.tag is not a known key; did you mean tags?"],
        ),
        (
            "topics:\n  - pattern: b/{device}\n    transform:\n      preset: device_sim\n      device: {captur: device}\n",
            &["5:16: topics[0].transform.device.captur is not a known key; did you mean capture?"],
        ),
        (
            "topics:\n  - pattern: b/{device}\n    transform:\n      preset: device_sim\n      time: {pointer: /t, fromat: epoch_s}\n",
            &["5:27: topics[0].transform.time.fromat is not a known key; did you mean format?"],
        ),
        (
            "analyze:\n  dedup_secs: 5\n",
            &["2:3: analyze.dedup_secs is not a known key; did you mean dedupe_secs?"],
        ),
        (
            "alert:\n  rules:\n    - {name: a, metric: m, above: 1, for: 5}\n",
            &["3:38: alert.rules[0].for is not a known key; did you mean for_secs?"],
        ),
        ("store:\n  age: 5\n", &["2:3: store.age is not a known key; did you mean age_secs?"]),
        ("sessions_max: 3\n", &["1:1: sessions_max is not a known key; it belongs under ingest.listener"]),
        (
            "frame_bytes_max: 5\n",
            &["1:1: frame_bytes_max is not a known key; it belongs under ingest or queues"],
        ),
        (
            "zebra: 5\n",
            &[
                "1:1: zebra is not a known key; known here: alert, analyze, compact, console, data, devices, groups, ingest, lanes, notify, queues, shutdown_secs, state, store and topics",
            ],
        ),
        (
            "base: &base {linger_ms: 5}\ningest:\n  <<: *base\n",
            &[
                "1:1: base is not a known key; known here: alert, analyze, compact, console, data, devices, groups, ingest, lanes, notify, queues, shutdown_secs, state, store and topics",
                "3:3: ingest.<< is not a known key; YAML 1.2 has no merging, write the keys out",
            ],
        ),
    ]);
}

#[test]
fn a_wrong_type_is_told_in_plain_words() {
    check(&[
        ("lanes: ten\n", &["1:8: lanes: expected a whole number from 1 to 1024, got \"ten\""]),
        ("lanes: 2.5\n", &["1:8: lanes: expected a whole number from 1 to 1024, got 2.5"]),
        ("lanes: \"4\"\n", &["1:8: lanes: expected a whole number from 1 to 1024, got \"4\""]),
        ("lanes: [4]\n", &["1:1: lanes: expected a whole number from 1 to 1024, got a list"]),
        ("lanes:\n", &["1:1: lanes has no value; give it one or leave it out"]),
        ("ingest:\nlanes: 4\n", &["1:1: ingest has no value; give it one or leave it out"]),
        (
            "ingest: 5\n",
            &[
                "1:9: ingest: expected a mapping with buffer_bytes_max, frame_bytes_max, frame_rows_max, linger_ms, listener and subscriber, got 5",
            ],
        ),
        (
            "ingest:\n  listener:\n    allow_anonymous: yes\n",
            &["3:22: ingest.listener.allow_anonymous: expected true or false, got \"yes\""],
        ),
        (
            "ingest: {listener: {listen: localhost}}\n",
            &[
                "1:29: ingest.listener.listen: expected off or an IP address and port such as 127.0.0.1:1883, got \"localhost\"",
            ],
        ),
        (
            "ingest: {listener: {listen: 1883}}\n",
            &[
                "1:29: ingest.listener.listen: expected off or an IP address and port such as 127.0.0.1:1883, got 1883",
            ],
        ),
        (
            "ingest: {listener: {listen_tls: 8883}}\n",
            &[
                "1:33: ingest.listener.listen_tls: expected an IP address and port such as 127.0.0.1:1883, got 8883",
            ],
        ),
        ("data: 5\n", &["1:7: data: expected text, got 5; put it in quotes"]),
        ("topics: devices\n", &["1:9: topics: expected a list, got \"devices\""]),
        (
            "topics: [devices]\n",
            &[
                "1:10: topics[0]: expected a mapping with pattern, payload, schema and transform, got \"devices\"",
            ],
        ),
        ("topics:\n  - pattern: 5\n", &["2:14: topics[0].pattern: expected text, got 5; put it in quotes"]),
        (
            "alert: {rules: [{name: a, metric: m, above: hot}]}\n",
            &["1:45: alert.rules[0].above: expected a number, got \"hot\""],
        ),
        (
            "topics: [{pattern: 'a/{device}', transform: {preset: device_sim, rename: {a: 5}}}]\n",
            &["1:78: topics[0].transform.rename.a: expected text, got 5; put it in quotes"],
        ),
        (
            "topics: [{pattern: 'a/{device}', transform: {preset: device_sim, tags: {site: north}}}]\n",
            &[
                "1:79: topics[0].transform.tags.site: expected a mapping with one of capture, constant, pointer and table, got \"north\"",
            ],
        ),
        (
            "topics: [{pattern: 'a/{device}', transform: {preset: device_sim, device: {}}}]\n",
            &[
                "1:66: topics[0].transform.device: expected a mapping with one of capture and pointer, got a mapping",
            ],
        ),
        (
            "topics: [{pattern: 'a/{device}', transform: {preset: device_sim, device: {capture: a, pointer: /b}}}]\n",
            &["1:66: topics[0].transform.device: expected only one of capture and pointer"],
        ),
    ]);
}

#[test]
fn a_word_that_is_not_known_names_those_that_are() {
    check(&[
        (
            "store:\n  partition: dya\n",
            &["2:14: store.partition: expected one of month, day and hour, got \"dya\""],
        ),
        (
            "store:\n  partition: week\n",
            &["2:14: store.partition: expected one of month, day and hour, got \"week\""],
        ),
        (
            "queues: {engine: kafka}\n",
            &["1:18: queues.engine: expected one of sqlite and sqs, got \"kafka\""],
        ),
        (
            "alert: {rules: [{name: a, metric: m, above: 5, severity: crit}]}\n",
            &[
                "1:58: alert.rules[0].severity: expected one of info, warning and critical, got \"crit\"; did you mean critical?",
            ],
        ),
        (
            "topics: [{pattern: 'a/{device}', transform: {preset: device_sims}}]\n",
            &[
                "1:54: topics[0].transform.preset: expected one of device_sim and senml, got \"device_sims\"; did you mean device_sim?",
            ],
        ),
        (
            "topics: [{pattern: 'a/{device}', transform: {preset: device_sim, time: recieved}}]\n",
            &[
                "1:72: topics[0].transform.time: expected received or a mapping with format and pointer, got \"recieved\"; did you mean received?",
            ],
        ),
        (
            "topics: [{pattern: 'a/{device}', transform: {preset: device_sim, time: {pointer: /t, format: epoch}}}]\n",
            &[
                "1:94: topics[0].transform.time.format: expected one of rfc3339, epoch_s, epoch_ms, epoch_us, epoch_ns, offset_s and offset_ms, got \"epoch\"; did you mean epoch_s?",
            ],
        ),
    ]);
}

#[test]
fn limits_have_a_range() {
    check(&[
        ("lanes: 0\n", &["1:8: lanes: expected at least 1, got 0"]),
        ("lanes: 1e6\n", &["1:8: lanes: expected at most 1024, got 1000000"]),
        ("shutdown_secs: -1\n", &["1:16: shutdown_secs: expected at least 0, got -1"]),
        (
            "queues: {queue_bytes_max: 1e30}\n",
            &["1:27: queues.queue_bytes_max: expected at most 9007199254740992, got 1e+30"],
        ),
        (
            "ingest: {listener: {session_expiry_secs_max: 5000000000}}\n",
            &["1:46: ingest.listener.session_expiry_secs_max: expected at most 4294967295, got 5000000000"],
        ),
        (
            "analyze: {anomaly_threshold: 1.5}\n",
            &["1:30: analyze.anomaly_threshold: expected at most 1.0, got 1.5"],
        ),
        ("topics: []\n", &["1:1: topics: expected at least one entry, got an empty list"]),
    ]);
}

#[test]
fn what_is_missing_is_named() {
    check(&[
        ("topics:\n  - schema: any.json\n", &["2:5: topics[0] needs the key pattern"]),
        ("alert:\n  rules:\n    - above: 5\n", &["3:7: alert.rules[0] needs the key name"]),
    ]);
}

#[test]
fn the_schema_for_editors_describes_every_key() {
    fn assert_described(schema: &Value, name: &str) {
        for (key, below) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            assert!(below.get("description").is_some(), "{name}.{key} has no description");
            assert_described(below, &format!("{name}.{key}"));
        }
        if let Some(items) = schema.get("items") {
            assert_described(items, &format!("{name}[]"));
        }
    }
    let schema = Config::json_schema();
    assert_described(&schema, "");
    assert!(jsonschema::meta::is_valid(&schema));
}
