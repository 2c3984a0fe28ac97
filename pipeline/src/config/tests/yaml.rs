//! Text that is no config yet.

use super::*;

#[test]
fn text_that_is_no_yaml_is_refused_with_its_place() {
    check(&[
        ("a: [1, 2", &["2:1: not readable as YAML: while parsing a flow sequence, expected ',' or ']'"]),
        (
            "lanes: 4\n  data: x\n",
            &["2:7: not readable as YAML: mapping values are not allowed in this context"],
        ),
        ("data: \"open\nlanes: 4\n", &["1:7: not readable as YAML: invalid indentation in quoted scalar"]),
        (
            "ingest:\n\tlinger_ms: 5\n",
            &["2:2: not readable as YAML: tabs disallowed within this context (block indentation)"],
        ),
        ("a: *gone\n", &["1:4: not readable as YAML: while parsing node, found unknown anchor"]),
        ("a: 1\n---\nb: 2\n", &["2:1: a config is one YAML document, here a second one begins"]),
        ("a: !include other.yaml\n", &["1:4: the tag !include means nothing here; leave it out"]),
        ("a: &x [*x]\n", &["1:8: an alias inside its own anchor"]),
        ("? [a]\n: 1\n", &["1:3: a key must be text"]),
        ("lanes: .inf\n", &["1:8: .inf is no finite number"]),
        (
            "- lanes: 4\n",
            &[
                "1:1: expected a mapping with alert, analyze, compact, console, data, devices, groups, ingest, lanes, notify, queues, shutdown_secs, state, store and topics, got a list",
            ],
        ),
        (
            "lanes\n",
            &[
                "1:1: expected a mapping with alert, analyze, compact, console, data, devices, groups, ingest, lanes, notify, queues, shutdown_secs, state, store and topics, got \"lanes\"",
            ],
        ),
    ]);
}

#[test]
fn every_key_that_is_given_twice_is_refused_with_both_lines() {
    check(&[(
        "lanes: 4\ningest:\n  linger_ms: 5\n  linger_ms: 6\n  linger_ms: 7\nlanes: 8\n",
        &[
            "4:3: linger_ms is given twice, first on line 3; keep one",
            "5:3: linger_ms is given twice, first on line 3; keep one",
            "6:1: lanes is given twice, first on line 1; keep one",
        ],
    )]);
}

#[test]
fn scalars_follow_the_core_schema() {
    let table = [
        ("1e3", Value::from(1000)),
        ("5.0", 5.into()),
        ("-0x10", "-0x10".into()),
        ("0x10", 16.into()),
        ("0o17", 15.into()),
        ("017", 17.into()),
        ("1_000", "1_000".into()),
        ("9007199254740993", 9_007_199_254_740_993_i64.into()),
        ("1e30", 1e30.into()),
        ("0.1", 0.1.into()),
        (".5", 0.5.into()),
        ("-1.5", (-1.5).into()),
        ("nan", "nan".into()),
        ("infinity", "infinity".into()),
        ("yes", "yes".into()),
        ("off", "off".into()),
        ("22:30", "22:30".into()),
        ("True", true.into()),
        ("~", Value::Null),
        ("'5'", "5".into()),
        ("!!str 5", "5".into()),
        ("127.0.0.1:1883", "127.0.0.1:1883".into()),
        ("2020-01-01", "2020-01-01".into()),
        ("|\n  a\n  b", "a\nb\n".into()),
    ];
    for (text, value) in table {
        assert_eq!(Node::read(&format!("k: {text}\n")).unwrap().value()["k"], value, "of {text}");
    }
}

#[test]
fn anchors_are_filled_in_and_do_not_multiply_without_end() {
    let value = Node::read("a: &a {x: 1}\nb: *a\n").unwrap().value();
    assert_eq!(value["b"]["x"], 1);

    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let alias = format!("*a{}", level - 1);
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", [alias.as_str(); 10].join(", ")));
    }
    let misreads = Node::read(&bomb).unwrap_err();
    assert_eq!(misreads[0].message, "aliases make more than 100000 values of this text");

    let deep = format!("a: {}{}", "[".repeat(100), "]".repeat(100));
    assert_eq!(Node::read(&deep).unwrap_err()[0].message, "nested more than 64 levels deep");
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_do_no_harm() {
    assert_eq!(mistakes("\u{feff}lanes: 2\r\nshutdown_secs: 3\r\n"), [""; 0]);
    check(&[("\u{feff}lanes: 2\r\nlane: 3\r\n", &["2:1: lane is not a known key; did you mean lanes?"])]);
}
