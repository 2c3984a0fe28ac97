use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{DEVICE_SIM_SCHEMA, Schemas, Validate};
use crate::{
    frame::{Frame, FrameId, Header, Kind, Lane, Message, Messages, MessagesBuilder, Quarantine},
    payload::PayloadConfig,
    plan::{Counts, Plan, Port},
    topic::TopicConfig,
};

fn frame(messages: &[(&str, &[u8])]) -> Frame {
    let mut rows = MessagesBuilder::default();
    for (number, (topic, payload)) in (0..).zip(messages) {
        let properties = [("unit".to_owned(), "Cel".to_owned())];
        let properties = if number % 2 == 0 { &properties[..] } else { &[] };
        rows.append(&Message {
            message: number,
            topic,
            payload,
            received_at: 7,
            client_id: "c",
            properties,
            replays: number as u32,
        });
    }
    let id = FrameId::ingested(1, 1);
    let trace = Some("00-trace".to_owned());
    rows.finish(Header { id, kind: Kind::Messages, lane: Lane(3), created_at: 9, epoch: 1, trace }).unwrap()
}

fn topic(pattern: &str, schema: Option<&str>) -> TopicConfig {
    TopicConfig {
        pattern: pattern.to_owned(),
        schema: schema.map(str::to_owned),
        payload: PayloadConfig::default(),
        transform: None,
    }
}

fn schemas(files: &[(&str, &str)]) -> Schemas {
    let files: BTreeMap<String, String> =
        files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    Schemas::new("/etc/my pipeline", move |path| {
        files.get(path).cloned().ok_or_else(|| "no such file".to_owned())
    })
}

/// A stage whose every topic has `schema`, the file `s.json`.
fn with_schema(schema: &Value) -> Validate {
    let files = schemas(&[("/etc/my pipeline/s.json", &schema.to_string())]);
    Validate::new(&[topic("#", Some("s.json"))], &files).unwrap()
}

fn port(plan: &Plan, port: Port) -> Option<&Frame> {
    plan.publish.iter().find(|(to, _)| *to == port).map(|(_, frame)| frame)
}

/// The reason that a payload is refused for, and pointer and keyword of each fault.
fn refusal(stage: &Validate, payload: &[u8]) -> Option<(String, Vec<(String, String)>)> {
    let plan = stage.plan(&frame(&[("t", payload)])).unwrap();
    let refused = Quarantine::of(port(&plan, Port::Refused)?).unwrap();
    let faults = refused.errors(0).into_iter().map(|fault| (fault.pointer, fault.keyword)).collect();
    Some((refused.reason(0).to_owned(), faults))
}

#[track_caller]
fn check(stage: &Validate, payload: &str, expected: Option<(&str, &[(&str, &str)])>) {
    let expected = expected.map(|(reason, faults)| {
        let faults = faults.iter().map(|(pointer, keyword)| ((*pointer).to_owned(), (*keyword).to_owned()));
        (reason.to_owned(), faults.collect())
    });
    assert_eq!(refusal(stage, payload.as_bytes()), expected, "{payload}");
}

#[track_caller]
fn check_mistakes(topics: &[TopicConfig], files: &[(&str, &str)], expected: &[(&str, &str)]) {
    let mistakes = Validate::new(topics, &schemas(files)).unwrap_err();
    assert_eq!(mistakes.len(), expected.len(), "{mistakes:#?}");
    for (mistake, (pointer, message)) in mistakes.iter().zip(expected) {
        assert_eq!(mistake.pointer, *pointer);
        assert!(mistake.message.contains(message), "{}", mistake.message);
    }
}

#[test]
fn any_json_passes_without_a_schema() {
    let stage = Validate::new(&[topic("#", None)], &schemas(&[])).unwrap();
    for json in
        ["{}", " [1, 2.5e3, null, true] ", "\"text\"", "0", r#"{"a":1,"a":2}"#, r#""\u00e9\ud83d\ude00""#]
    {
        check(&stage, json, None);
    }
}

#[test]
fn what_is_no_json_is_refused_with_or_without_a_schema() {
    let bare = Validate::new(&[topic("#", None)], &schemas(&[])).unwrap();
    for stage in [bare, with_schema(&json!(true))] {
        for text in ["", "{", "{}x", "{'a':1}", "NaN", "01", "1e999", "\u{feff}{}", "{\"a\":1,}", "\"\u{1}\""]
        {
            check(&stage, text, Some(("not_json", &[("", "json")])));
        }
        check(&stage, &"[".repeat(200), Some(("too_deep", &[("", "json")])));
        check(&stage, &format!("{}{}", "[".repeat(127), "]".repeat(127)), None);
        let utf8 = refusal(&stage, b"{\"a\":\"\xff\"}").unwrap();
        assert_eq!(utf8, ("not_utf8".to_owned(), vec![(String::new(), "utf8".to_owned())]));
    }
}

#[test]
fn faults_name_place_and_keyword() {
    let schema = json!({
        "type": "object",
        "required": ["ts"],
        "properties": {
            "ts": { "type": "string", "format": "date-time" },
            "m": { "additionalProperties": { "type": "number", "maximum": 100 } },
        },
    });
    let stage = with_schema(&schema);
    check(&stage, r#"{"ts":"2024-01-01T00:00:00Z","m":{"t":1}}"#, None);
    check(&stage, "[]", Some(("schema", &[("", "type")])));
    check(&stage, "{}", Some(("schema", &[("", "required")])));
    check(&stage, r#"{"ts":"yesterday"}"#, Some(("schema", &[("/ts", "format")])));
    check(
        &stage,
        r#"{"ts":"2024-01-01T00:00:00Z","m":{"a/b":"x","t":101}}"#,
        Some(("schema", &[("/m/a~1b", "type"), ("/m/t", "maximum")])),
    );
}

#[test]
fn faults_are_bounded() {
    let stage = with_schema(&json!({ "additionalProperties": { "type": "number" } }));
    let long = "ü".repeat(5_000);
    let entries = (0..30).map(|number| (format!("{long}{number}"), json!(long)));
    let payload = Value::Object(entries.collect()).to_string();
    let plan = stage.plan(&frame(&[("t", payload.as_bytes())])).unwrap();
    let refused = Quarantine::of(port(&plan, Port::Refused).unwrap()).unwrap();
    let faults = refused.errors(0);
    assert_eq!(faults.len(), 10);
    for fault in faults {
        for text in [fault.pointer, fault.message] {
            assert!(text.len() <= 303 && text.ends_with('…'), "{text}");
        }
    }
    assert_eq!(refused.payload(0), payload.as_bytes());
}

#[test]
fn drafts_go_by_their_schema_keyword() {
    let old = json!({ "$schema": "http://json-schema.org/draft-04/schema#", "maximum": 5, "exclusiveMaximum": true });
    check(&with_schema(&old), "5", Some(("schema", &[("", "exclusiveMaximum")])));
    let seven =
        json!({ "$schema": "http://json-schema.org/draft-07/schema#", "items": [{ "type": "null" }] });
    check(&with_schema(&seven), "[1]", Some(("schema", &[("/0", "type")])));
    let newest = json!({ "prefixItems": [{ "type": "null" }] });
    check(&with_schema(&newest), "[1]", Some(("schema", &[("/0", "type")])));
}

#[test]
fn formats_are_asserted_in_every_draft() {
    for draft in ["http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2020-12/schema"] {
        let stage = with_schema(&json!({ "$schema": draft, "format": "ipv4" }));
        check(&stage, "\"10.0.0.1\"", None);
        check(&stage, "\"10.0.0\"", Some(("schema", &[("", "format")])));
    }
}

#[test]
fn a_regular_expression_cannot_keep_a_worker_busy() {
    let stage = with_schema(&json!({ "pattern": r"^(a+)+\1c$" }));
    let hostile = format!("\"{}b\"", "a".repeat(40));
    check(&stage, &hostile, Some(("schema", &[("", "pattern")])));
}

#[test]
fn a_ref_leads_to_files_beside_the_schema() {
    let files = [
        ("/etc/my pipeline/schemas/t.json", r##"{"$ref":"parts/metrics.json#/$defs/celsius"}"##),
        (
            "/etc/my pipeline/schemas/parts/metrics.json",
            r#"{"$defs":{"celsius":{"$ref":"../../number.json"}}}"#,
        ),
        ("/etc/my pipeline/number.json", r#"{"type":"number"}"#),
    ];
    let stage = Validate::new(&[topic("#", Some("schemas/t.json"))], &schemas(&files)).unwrap();
    check(&stage, "1", None);
    check(&stage, "\"1\"", Some(("schema", &[("", "type")])));
}

#[test]
fn a_ref_beside_an_id_is_looked_for_beside_the_file() {
    let files = [
        ("/s/t.json", r#"{"$id":"https://example.com/v1/t.json","$ref":"number.json"}"#),
        ("/s/number.json", r#"{"type":"number"}"#),
    ];
    let stage = Validate::new(&[topic("#", Some("/s/t.json"))], &schemas(&files)).unwrap();
    check(&stage, "\"1\"", Some(("schema", &[("", "type")])));
    let plan = stage.plan(&frame(&[("t", b"1")])).unwrap();
    let passed = Messages::of(port(&plan, Port::Next).unwrap()).unwrap();
    assert_eq!(passed.schema(0), Some("https://example.com/v1/t.json"));
}

/// The version of `schema`, as messages have it that pass and that are refused.
#[track_caller]
fn check_version(schema: &Value, expected: impl Fn(&str) -> bool) {
    let plan = with_schema(schema).plan(&frame(&[("t", b"{}"), ("t", b"1")])).unwrap();
    let passed = Messages::of(port(&plan, Port::Next).unwrap()).unwrap();
    let refused = Quarantine::of(port(&plan, Port::Refused).unwrap()).unwrap();
    let versions = [passed.schema_version(0), refused.schema_version(0)].map(Option::unwrap);
    assert!(versions.iter().all(|version| expected(version)), "{versions:?}");
}

#[test]
fn messages_carry_the_version_of_their_schema() {
    check_version(&json!({ "type": "object", "version": "2.1-rc" }), |version| version == "2.1-rc");
    check_version(&json!({ "type": "object", "version": 7 }), |version| version == "7");
    // It may mean anything there.
    let hashed = |version: &str| version.len() == 8 && version.bytes().all(|byte| byte.is_ascii_hexdigit());
    check_version(&json!({ "type": "object", "version": { "const": 1 } }), hashed);
    check_version(&json!({ "type": "object" }), hashed);
}

#[test]
fn every_mistake_is_told_at_once() {
    let topics = [
        topic("a/{b", None),
        topic("b/#", Some("absent.json")),
        topic("c/#", Some("broken.json")),
        topic("d/#", Some("remote.json")),
        topic("e/#", Some("wrong.json")),
        topic("f/#", Some("dangling.json")),
        topic("f/#", Some("good.json")),
        topic("g/#", Some("builtin:other")),
    ];
    let files = [
        ("/etc/my pipeline/broken.json", "{\n  nope"),
        ("/etc/my pipeline/remote.json", r#"{"properties":{"a":{"$ref":"https://example.com/a.json"}}}"#),
        ("/etc/my pipeline/wrong.json", r#"{"properties":{"a":{"type":"float"}}}"#),
        ("/etc/my pipeline/dangling.json", r#"{"$ref":"gone.json"}"#),
        ("/etc/my pipeline/good.json", "true"),
    ];
    let expected = [
        ("/0/pattern", "mixes a capture"),
        ("/6/pattern", "is that of entry 5 already"),
        (
            "/1/schema",
            "cannot use the schema absent.json: cannot read /etc/my pipeline/absent.json: no such file",
        ),
        ("/2/schema", "/etc/my pipeline/broken.json is not JSON: key must be a string at line 2"),
        ("/3/schema", "its $ref leads to https://example.com/a.json, and only local files are read"),
        ("/4/schema", "cannot use the schema wrong.json: at /properties/a/type: "),
        ("/5/schema", "cannot read /etc/my pipeline/gone.json: no such file"),
        ("/7/schema", "only builtin:device_sim and builtin:senml are built in"),
    ];
    check_mistakes(&topics, &files, &expected);
}

#[test]
fn a_schema_that_refers_to_itself_ends() {
    let list = json!({ "properties": { "next": { "$ref": "#" }, "v": { "type": "number" } } });
    check(
        &with_schema(&list),
        r#"{"next":{"next":{"v":"x"}}}"#,
        Some(("schema", &[("/next/next/v", "type")])),
    );
    check(&with_schema(&json!({ "$ref": "#" })), "{}", None);
}

#[test]
fn the_schema_of_device_sim_fits_what_it_sends() {
    let stage = Validate::new(&[topic("#", Some("builtin:device_sim"))], &schemas(&[])).unwrap();
    let whole = r#"{"device_id":"d","ts":"2024-01-01T00:00:00.5+02:00","seq":1,"metrics":{"t":1.5,"on":true,"s":"x"},"x":0}"#;
    check(&stage, whole, None);
    check(&stage, r#"{"device_id":"d","ts":"2024-01-01T00:00:00Z","metrics":{}}"#, None);
    let wrong = r#"{"device_id":"","ts":"2024-01-01","seq":-1,"metrics":{"t":null}}"#;
    let mut faults = refusal(&stage, wrong.as_bytes()).unwrap().1;
    faults.sort();
    let expected =
        [("/device_id", "minLength"), ("/metrics/t", "type"), ("/seq", "minimum"), ("/ts", "format")];
    assert_eq!(faults, expected.map(|(pointer, keyword)| (pointer.to_owned(), keyword.to_owned())));
    assert!(serde_json::from_str::<Value>(DEVICE_SIM_SCHEMA).is_ok());
}

#[test]
fn the_schema_of_senml_fits_packs() {
    let stage = Validate::new(&[topic("#", Some("builtin:senml"))], &schemas(&[])).unwrap();
    let pack = r#"[{"bn":"d:","bt":1.276020076001e+09,"bu":"A","bver":5,"n":"a","u":"V","v":120.1},{"t":-5,"vs":"x","more":{}}]"#;
    check(&stage, pack, None);
    let wrong = r#"[{"n":1,"v":"1","bver":1.5},7,{"x_":1}]"#;
    let mut faults = refusal(&stage, wrong.as_bytes()).unwrap().1;
    faults.sort();
    let expected =
        [("/0/bver", "type"), ("/0/n", "type"), ("/0/v", "type"), ("/1", "type"), ("/2/x_", "falseSchema")];
    assert_eq!(faults, expected.map(|(pointer, keyword)| (pointer.to_owned(), keyword.to_owned())));
    check(&stage, "[]", Some(("schema", &[("", "minItems")])));
}

#[test]
fn passed_messages_go_on_as_they_came() {
    let topics = [topic("n/#", Some("n.json")), topic("m/#", None)];
    let stage =
        Validate::new(&topics, &schemas(&[("/etc/my pipeline/n.json", r#"{"type":"number"}"#)])).unwrap();
    let input = frame(&[("m/a", b" {} "), ("n/a", b"1"), ("n/b", b"{}"), ("o", b"1"), ("n/a", b"2.50")]);
    let plan = stage.plan(&input).unwrap();
    let counts = Counts { consumed: 3, quarantined: 2, produced: 3, ..Counts::default() };
    assert_eq!(plan.counts, counts);

    let frame = port(&plan, Port::Next).unwrap();
    assert_eq!(frame.header, Header { id: frame.header.id, ..input.header.clone() });
    let passed = Messages::of(frame).unwrap();
    let (before, expected) =
        (Messages::of(&input).unwrap(), [(0, None), (1, Some("n.json")), (4, Some("n.json"))]);
    assert_eq!(passed.len(), expected.len());
    for (row, (origin, schema)) in expected.into_iter().enumerate() {
        assert_eq!(passed.payload(row), before.payload(origin));
        assert_eq!(passed.message(row), before.message(origin));
        assert_eq!(passed.topics().get(row), before.topics().get(origin));
        assert_eq!(passed.properties(row), before.properties(origin));
        assert_eq!(passed.schema(row), schema);
        assert_eq!(passed.schema_version(row).is_some(), schema.is_some());
        assert_eq!(passed.replays(row), before.replays(origin));
    }

    let refused = Quarantine::of(port(&plan, Port::Refused).unwrap()).unwrap();
    let row = |row| (refused.message(row), refused.topic(row), refused.reason(row), refused.schema(row));
    assert_eq!(row(0), (2, "n/b", "schema", Some("n.json")));
    assert_eq!(row(1), (3, "o", "no_pattern", None));
    assert_eq!(refused.payload(0), b"{}");
    assert_eq!((refused.replays(0), refused.replays(1)), (2, 3), "a message keeps how often it came back");
    let properties = |frame: &Frame, row| frame.rows.column_by_name("properties").unwrap().slice(row, 1);
    assert_eq!(&properties(port(&plan, Port::Refused).unwrap(), 0), &properties(&input, 2));
}

#[test]
fn what_is_empty_is_not_published() {
    let stage = Validate::new(&[topic("#", None)], &schemas(&[])).unwrap();
    let ports = |messages: &[(&str, &[u8])]| {
        let plan = stage.plan(&frame(messages)).unwrap();
        plan.publish.iter().map(|(port, _)| *port).collect::<Vec<_>>()
    };
    assert_eq!(ports(&[]), []);
    assert_eq!(ports(&[("t", b"1")]), [Port::Next]);
    assert_eq!(ports(&[("t", b"x")]), [Port::Refused]);
}

#[test]
fn the_same_frame_gives_the_same_plan() {
    let input = frame(&[("t", b"1"), ("t", b"x")]);
    let (first, second) = (with_schema(&json!(true)), with_schema(&json!(true)));
    assert_eq!(first.plan(&input).unwrap(), second.plan(&input).unwrap());
    let plan = first.plan(&input).unwrap();
    let ids: Vec<_> = plan.publish.iter().map(|(_, frame)| frame.header.id).collect();
    assert_ne!(ids[0], ids[1]);
    assert!(!ids.contains(&input.header.id));
}

#[test]
fn the_config_hash_follows_the_text_of_schemas() {
    let hash = |pattern: &str, part: &str| {
        let files =
            [("/etc/my pipeline/s.json", r#"{"$ref":"part.json"}"#), ("/etc/my pipeline/part.json", part)];
        Validate::new(&[topic(pattern, Some("s.json"))], &schemas(&files)).unwrap().config_hash()
    };
    assert_eq!(hash("a", "true"), hash("a", "true"));
    assert_ne!(hash("a", "true"), hash("b", "true"));
    assert_ne!(hash("a", "true"), hash("a", "false"));
}
