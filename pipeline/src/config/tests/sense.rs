//! What fits the schema, but not together.

use super::*;

#[test]
fn topics_must_be_such_that_messages_can_be_read() {
    check(&[
        (
            "topics:\n  - pattern: a/{b\n",
            &[
                "2:14: topics[0].pattern: topic pattern \"a/{b\": the level \"{b\" mixes a capture with other text; `{name}` must be a whole level",
            ],
        ),
        (
            "topics:\n  - pattern: a/{device}\n  - pattern: a/{device}\n",
            &["3:14: topics[1].pattern: pattern \"a/{device}\" is that of entry 0 already; join the two"],
        ),
        (
            "topics:\n  - pattern: a/b\n    transform: {time: received}\n",
            &[
                "3:5: topics[0].transform.device: where is the device named? write `{device}` for a level of the pattern, or set `device: { pointer: … }`",
            ],
        ),
    ]);
}

#[test]
fn schemas_must_be_there_and_be_local() {
    let topic = |schema: &str| format!("topics:\n  - pattern: a/{{device}}\n    schema: {schema}\n");
    for schema in ["any.json", "local.json", "./parts/../any.json", "builtin:device_sim"] {
        assert_eq!(mistakes(&topic(schema)), [""; 0], "of {schema}");
    }
    for (schema, said) in [
        ("gone.json", "HERE/gone.json: No such file"),
        ("parts", "HERE/parts: it is a directory"),
        ("broken.json", "HERE/broken.json is not JSON: EOF while parsing an object at line 1"),
        ("wrong.json", "/type: \"strin\" is not valid"),
        ("remote.json", "leads to https://example.com/other.json, and only local files are read"),
        ("dangling.json", "HERE/parts/gone.json: No such file"),
        ("builtin:other", "only builtin:device_sim and builtin:senml are built in"),
    ] {
        let mistakes = mistakes(&topic(schema));
        let [mistake] = mistakes.as_slice() else { panic!("{mistakes:?} of {schema}") };
        assert!(mistake.starts_with("m.yaml:3:13: topics[0].schema: cannot use the schema "), "{mistake}");
        assert!(mistake.contains(schema) && mistake.contains(said), "{mistake}");
    }
}

#[test]
fn tags_from_the_device_table_need_it_and_their_column() {
    let topology = |devices: &str, column: &str| {
        format!(
            "topics:\n  - pattern: a/{{device}}\n    transform: {{time: received, tags: {{site: {{table: {column}}}}}}}\n{devices}"
        )
    };
    let table = "devices: {table: parts/devices.csv}\n";
    check(&[
        (&topology(table, "site"), &[]),
        (
            &topology(table, "sight"),
            &[
                "3:54: topics[0].transform.tags.site.table: the device table has no column \"sight\", but device_id, site",
            ],
        ),
        (
            &topology("", "site"),
            &[
                "3:54: topics[0].transform.tags.site.table: there is no device table; name one with `devices: { table: devices.csv }`",
            ],
        ),
        (
            &topology("devices: {table: ragged.csv}\n", "sight"),
            &[
                "4:18: devices.table: HERE/ragged.csv:3: site: the row has 1 cells, the first line 2; put text with a comma in it into quotes",
                "4:18: devices.table: HERE/ragged.csv:4: device_id: \"a\" has a row on line 2 already; a device has one",
            ],
        ),
        (
            &topology("devices: {table: parts}\n", "site"),
            &[
                "4:18: devices.table: cannot use the device table parts: cannot read HERE/parts: it is a directory, not a file",
            ],
        ),
        (
            &topology("devices: {table: large.csv, table_bytes_max: 1024}\n", "site"),
            &[
                "4:18: devices.table: cannot use the device table large.csv: cannot read HERE/large.csv: it is larger than 1024 bytes",
            ],
        ),
    ]);
}

#[test]
fn rules_must_be_unambiguous() {
    check(&[(
        "alert:\n  rules:\n    - {name: a, metric: m}\n    - {name: b, metric: m, above: 1, below: 0}\n    - {name: b, metric: m, above: 1}\n",
        &[
            "3:7: alert.rules[0]: rule \"a\" needs exactly one of above, at_least, below, at_most, anomaly_score_at_least and absent_secs",
            "4:7: alert.rules[1]: rule \"b\" needs exactly one of above, at_least, below, at_most, anomaly_score_at_least and absent_secs",
            "5:14: alert.rules[2].name: rule \"b\" has the name of an earlier rule; alerts are told apart by it",
        ],
    )]);
}

#[test]
fn rules_must_be_such_that_they_can_fire_and_clear() {
    let rule = |rule: &str| format!("alert:\n  rules:\n    - {{name: a, {rule}}}\n");
    for (text, expected) in [
        (
            "metric: m, above: 80, clear: 85",
            "3:46: alert.rules[0].clear: rule \"a\" fires when above 80, so it can clear only at 80 or less, not at 85",
        ),
        (
            "above: 80",
            "3:7: alert.rules[0]: rule \"a\" needs the key metric; only one with absent_secs can do without",
        ),
        (
            "absent_secs: 60, clear: 5",
            "3:41: alert.rules[0].clear: rule \"a\" has absent_secs, beside which clear means nothing; leave it out",
        ),
        (
            "absent_secs: 604800",
            "3:30: alert.rules[0].absent_secs: rule \"a\" would fire after 604800 s, but a silent device is forgotten after alert.idle_secs (604800); make that greater",
        ),
        (
            "metric: m, above: 1, tags: {site: 5}",
            "3:51: alert.rules[0].tags.site: expected text or a list, got 5",
        ),
        (
            "metric: m, above: 1, tags: {site: x}",
            "3:51: alert.rules[0].tags.site: rule \"a\" looks at the tag \"site\", which no topic defines; none defines any",
        ),
    ] {
        check(&[(&rule(text), &[expected])]);
    }
    let topics = "topics:\n  - pattern: a/{site}/{device}\n    transform: {preset: device_sim, tags: {site: {capture: site}, line: {constant: one}}}\n";
    let tags = |tags: &str| format!("{topics}{}", rule(&format!("metric: m, above: 1, tags: {{{tags}}}")));
    check(&[
        (&tags("site: north, line: [one, two]"), &[]),
        (
            &tags("site: []"),
            &[
                "6:45: alert.rules[0].tags.site: rule \"a\" allows no text for the tag \"site\", and could never fire; name one or leave the tag out",
            ],
        ),
        (
            &tags("sit: north"),
            &[
                "6:50: alert.rules[0].tags.sit: rule \"a\" looks at the tag \"sit\", which no topic defines; known here: line, site",
            ],
        ),
    ]);
}

#[test]
fn other_machines_need_leave() {
    check(&[
        (
            "ingest:\n  listener:\n    listen: 0.0.0.0:1883\n",
            &[
                "3:13: ingest.listener.listen: 0.0.0.0:1883 can be reached from other machines, and anyone there could publish; listen on 127.0.0.1, set users_file, or set allow_anonymous: true",
            ],
        ),
        (
            "ingest:\n  listener:\n    listen: '[::]:1883'\n",
            &[
                "3:13: ingest.listener.listen: [::]:1883 can be reached from other machines, and anyone there could publish; listen on 127.0.0.1, set users_file, or set allow_anonymous: true",
            ],
        ),
        ("ingest:\n  listener:\n    listen: '[::1]:1883'\n", &[]),
        ("ingest:\n  listener:\n    listen: 0.0.0.0:1883\n    allow_anonymous: true\n", &[]),
        ("ingest:\n  listener:\n    listen: 0.0.0.0:1883\n    users_file: users\n", &[]),
        (
            "ingest:\n  listener:\n    listen: off\n    listen_websocket: 0.0.0.0:8083\n",
            &[
                "4:23: ingest.listener.listen_websocket: 0.0.0.0:8083 can be reached from other machines, and anyone there could publish; listen on 127.0.0.1, set users_file, or set allow_anonymous: true",
            ],
        ),
        (
            "ingest:\n  listener:\n    listen_tls: 0.0.0.0:8883\n    tls: {cert_file: gone.pem, key_file: gone.key}\n",
            &[
                "3:17: ingest.listener.listen_tls: 0.0.0.0:8883 can be reached from other machines, and anyone there could publish; listen on 127.0.0.1, set users_file or tls.client_ca_file, or set allow_anonymous: true",
            ],
        ),
    ]);
}

#[test]
fn certificates_and_users_must_be_such() {
    check(&[
        (
            "ingest: {listener: {listen_tls: '127.0.0.1:8883'}}\n",
            &[
                "1:33: ingest.listener.listen_tls: TLS needs a certificate; set tls.cert_file and tls.key_file beside it",
            ],
        ),
        (
            "ingest:\n  listener:\n    listen_tls: 127.0.0.1:8883\n    tls: {cert_file: any.json, key_file: gone.key}\n",
            &[
                "4:22: ingest.listener.tls.cert_file: HERE/any.json has no certificate in PEM (-----BEGIN CERTIFICATE-----)",
            ],
        ),
        (
            "ingest:\n  listener: {users_file: any.json}\n",
            &["2:26: ingest.listener.users_file: HERE/any.json:1: expected user:hash"],
        ),
    ]);
}

#[test]
fn what_is_lent_to_the_listener_may_be_elsewhere() {
    let warnings = |yaml| {
        let folder = folder();
        let here = folder.path().to_str().unwrap().to_owned();
        let config = read(folder.path(), yaml).unwrap();
        let texts = config.warnings().iter().map(|warning| warning.to_string().replace(&here, "HERE"));
        texts.collect::<Vec<_>>()
    };
    assert_eq!(
        warnings("ingest: {listener: {listen: off}}\n"),
        ["m.yaml:1:29: ingest.listener.listen: no other address is set either, so no device can connect"]
    );
    assert_eq!(
        warnings(
            "ingest:\n  listener:\n    listen: 0.0.0.0:1883\n    users_file: gone\n    tls: {cert_file: gone.pem, key_file: gone.key}\n"
        ),
        [
            "m.yaml:3:13: ingest.listener.listen: passwords can be read on the way here; use listen_tls where the network is not trusted",
            "m.yaml:4:17: ingest.listener.users_file: cannot read the users in HERE/gone: No such file or directory (os error 2); `millstream passwd` makes it",
            "m.yaml:5:5: ingest.listener.tls is for listen_tls and listen_websocket_tls, and neither is set",
            "m.yaml:5:22: ingest.listener.tls.cert_file: cannot read HERE/gone.pem: No such file or directory (os error 2)",
        ]
    );
}

#[test]
fn limits_must_fit_together() {
    check(&[
        (
            "ingest:\n  frame_bytes_max: 16777216\n",
            &[
                "2:20: ingest.frame_bytes_max: 16777216 is more than queues.frame_bytes_max (8388608); the queue would refuse the frames of ingest",
            ],
        ),
        (
            "ingest:\n  buffer_bytes_max: 2048\n",
            &[
                "2:21: ingest.buffer_bytes_max: 2048 is less than ingest.frame_bytes_max (262144); a frame must fit into the buffer",
            ],
        ),
        (
            "queues:\n  frame_bytes_max: 4194304\n  queue_bytes_max: 2097152\n",
            &[
                "2:20: queues.frame_bytes_max: 4194304 is more than queues.queue_bytes_max (2097152); a frame must fit into a queue",
            ],
        ),
        (
            "store:\n  age_secs: 100\n",
            &["2:13: store.age_secs: 100 is more than store.age_secs_max (60); the age grows up to that"],
        ),
        (
            "store:\n  age_secs_max: 5\n",
            &["2:17: store.age_secs_max: 5 is less than store.age_secs (10); the age grows up to that"],
        ),
        ("data: any.json\n", &["1:7: data: HERE/any.json is there, but not a directory; name another"]),
    ]);
}

#[test]
fn open_windows_must_span_the_allowed_lateness() {
    let text = |needed: u64, lateness: u64, window: u64, max: u64| {
        format!(
            "allowed_lateness_secs ({lateness}) keeps {needed} windows of window_secs ({window}) open, more than \
             open_windows_max ({max}); raise that, make windows longer, or allow less lateness"
        )
    };
    let (batches, few) = (text(1441, 86_400, 60, 100), text(4, 30, 10, 3));
    check(&[
        (
            "analyze:\n  dedupe_secs: 86400\n  allowed_lateness_secs: 86400\n",
            &[&format!("3:26: analyze.allowed_lateness_secs: {batches}")],
        ),
        (
            "analyze:\n  allowed_lateness_secs: 30\n  window_secs: 10\n  open_windows_max: 3\n",
            &[&format!("4:21: analyze.open_windows_max: {few}")],
        ),
        ("analyze:\n  allowed_lateness_secs: 30\n  window_secs: 10\n  open_windows_max: 4\n", &[]),
        ("analyze:\n  dedupe_secs: 86400\n  allowed_lateness_secs: 86400\n  window_secs: 0\n", &[]),
        (
            "analyze:\n  window_secs: 86401\n",
            &["2:16: analyze.window_secs: expected at most 86400, got 86401"],
        ),
    ]);
}

#[test]
fn webhooks_must_be_such_that_alerts_can_be_sent() {
    check(&[
        (
            "notify:\n  webhooks:\n    - {name: a, url: 'http://h'}\n    - {name: a, url: 'https://h'}\n",
            &[
                "4:14: notify.webhooks[1].name: webhook \"a\" has the name of an earlier webhook; alerts are queued by it",
            ],
        ),
        (
            "notify:\n  webhooks:\n    - {name: a, url: 'ftp://me:swordfish@h'}\n",
            &["3:22: notify.webhooks[0].url: expected an address such as https://host/path"],
        ),
        (
            "notify:\n  webhooks:\n    - {name: a, url: {fil: url}}\n",
            &["3:23: notify.webhooks[0].url.fil is not a known key; did you mean file?"],
        ),
        (
            "notify:\n  webhooks:\n    - {name: a, url: 'http://h', backoff_secs_min: 90, states: []}\n",
            &[
                "3:52: notify.webhooks[0].backoff_secs_min: 90 is more than backoff_secs_max (60); the wait grows up to that",
                "3:56: notify.webhooks[0].states: expected at least one entry, got an empty list",
            ],
        ),
        (
            "notify:\n  webhooks:\n    - name: a\n      url: http://h\n      authorization: {file: any.json}\n      headers: {'a b': x, Host: x, Authorization: x, X-A: x, x-a: y, X-B: \"a\\nb\"}\n",
            &[
                "6:24: notify.webhooks[0].headers.a b: \"a b\" is no name of an HTTP header",
                "6:33: notify.webhooks[0].headers.Host: this header is set by millstream; leave it out",
                "6:51: notify.webhooks[0].headers.Authorization: authorization is given beside headers already; leave one of them out",
                "6:59: notify.webhooks[0].headers.X-A: this header is given twice; the case of letters makes no difference",
                "6:67: notify.webhooks[0].headers.x-a: this header is given twice; the case of letters makes no difference",
                "6:75: notify.webhooks[0].headers.X-B: the value of a header is one line without control characters",
            ],
        ),
    ]);
}

#[test]
fn secrets_of_webhooks_may_be_elsewhere() {
    let folder = folder();
    let yaml = "notify:\n  webhooks:\n    - name: a\n      url: {file: gone}\n      headers: {X-A: {env: MILLSTREAM_TEST_UNSET}}\n      ca_file: ca.pem\n    - name: b\n      url: http://example.org\n      authorization: {file: any.json}\n";
    let config = read(folder.path(), yaml).unwrap();
    let here = folder.path().display().to_string();
    let warnings: Vec<_> =
        config.warnings().iter().map(|warning| warning.to_string().replace(&here, "HERE")).collect();
    assert_eq!(
        warnings,
        [
            "m.yaml:4:7: notify.webhooks[0].url: cannot read the secret in HERE/gone: No such file or directory (os error 2)",
            "m.yaml:5:17: notify.webhooks[0].headers.X-A: the environment variable MILLSTREAM_TEST_UNSET with the secret is not set, or no UTF-8",
            "m.yaml:6:16: notify.webhooks[0].ca_file: cannot read HERE/ca.pem: No such file or directory (os error 2)",
            "m.yaml:9:7: notify.webhooks[1].authorization: http:// shows the secret to everybody on the way; use https://",
        ]
    );
}

#[test]
fn every_mistake_of_a_file_is_shown_at_once_in_its_order() {
    check(&[(
        "lanes: none\n\
         ingest:\n\
         \x20 listener: {listen: 0.0.0.0:1883, conections_max: 5}\n\
         topics:\n\
         \x20 - pattern: 5\n\
         \x20 - pattern: a/{device}\n\
         \x20   schema: gone.json\n\
         \x20 - schema: any.json\n\
         \x20 - pattern: b/{device\n\
         alert:\n\
         \x20 rules:\n\
         \x20   - {name: a, metric: m, above: 1, severty: info}\n\
         \x20   - {name: a, metric: m, below: 1}\n\
         store: {partition: week}\n",
        &[
            "1:8: lanes: expected a whole number from 1 to 1024, got \"none\"",
            "3:22: ingest.listener.listen: 0.0.0.0:1883 can be reached from other machines, and anyone there could publish; listen on 127.0.0.1, set users_file, or set allow_anonymous: true",
            "3:36: ingest.listener.conections_max is not a known key; did you mean connections_max?",
            "5:14: topics[0].pattern: expected text, got 5; put it in quotes",
            "7:13: topics[1].schema: cannot use the schema gone.json: cannot read HERE/gone.json: No such file or directory (os error 2)",
            "8:5: topics[2] needs the key pattern",
            "9:14: topics[3].pattern: topic pattern \"b/{device\": the level \"{device\" mixes a capture with other text; `{name}` must be a whole level",
            "12:38: alert.rules[0].severty is not a known key; did you mean severity?",
            "13:14: alert.rules[1].name: rule \"a\" has the name of an earlier rule; alerts are told apart by it",
            "14:20: store.partition: expected one of month, day and hour, got \"week\"",
        ],
    )]);
}

#[test]
fn a_warning_is_no_mistake() {
    let folder = folder();
    let config = read(folder.path(), "lanes: 2\nanalyze:\n  dedupe_secs: 30\n").unwrap();
    let warnings: Vec<_> = config.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "m.yaml:3:16: analyze.dedupe_secs: 30 is less than allowed_lateness_secs (60); repeats older than 30 s are stored again"
        ]
    );
}
