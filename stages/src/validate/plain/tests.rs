//! The two ways to check a payload decide alike.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::json;

use super::super::{DEVICE_SIM_SCHEMA, Schemas, json as payload, schemas::Schema};
use crate::json::{
    Document,
    tests::{damaged, texts},
};

/// Schemas with what can be asked of the parts of a document.
fn schemas() -> Vec<Schema> {
    let asked = [
        json!(true),
        json!(false),
        json!({ "type": "integer" }),
        json!({ "type": ["number", "null"] }),
        json!({ "type": ["integer", "string", "object"] }),
        json!({ "type": ["boolean", "array"] }),
        json!({ "minimum": 0, "exclusiveMaximum": 9_223_372_036_854_775_807_i64 }),
        json!({ "exclusiveMinimum": -0.5, "maximum": 1e18 }),
        json!({ "multipleOf": 2 }),
        json!({ "multipleOf": 0.1 }),
        json!({ "const": 1.0 }),
        json!({ "const": "a" }),
        json!({ "const": [1, { "a": 0 }] }),
        json!({ "enum": [null, true, 0, "b", {}, [], -1.5] }),
        json!({ "enum": [0, 1, 2, 3, 4, 5] }),
        json!({ "minLength": 2, "maxLength": 9, "pattern": "^[a-m ]" }),
        json!({ "format": "date-time" }),
        json!({ "minItems": 1, "maxItems": 3, "uniqueItems": true }),
        json!({ "prefixItems": [{ "type": "integer" }], "items": { "type": "number" } }),
        json!({ "contains": { "type": "string" }, "maxContains": 2 }),
        json!({ "minProperties": 1, "maxProperties": 3 }),
        json!({ "required": ["a"] }),
        json!({ "required": ["a", "b", "c"], "type": "object" }),
        json!({ "propertyNames": { "pattern": "^[a-c]?$", "maxLength": 5 } }),
        json!({ "propertyNames": { "enum": ["a", "b"] } }),
        json!({ "properties": { "a": { "type": "integer" }, "b": { "minimum": 3 } }, "additionalProperties": { "type": ["number", "boolean"] } }),
        json!({ "patternProperties": { "^[ab]": { "type": "number" } }, "additionalProperties": false }),
        json!({ "dependentRequired": { "a": ["b"] }, "dependentSchemas": { "b": { "required": ["c"] } } }),
        json!({ "properties": { "a": true }, "anyOf": [{ "properties": { "b": true } }], "unevaluatedProperties": false }),
        json!({ "prefixItems": [true], "unevaluatedItems": { "type": "string" } }),
        json!({ "if": { "type": "object" }, "then": { "properties": { "a": { "$ref": "#" } } }, "else": { "type": "number" } }),
        json!({ "oneOf": [{ "type": "number" }, { "minimum": 2 }], "not": { "const": 7 } }),
        json!({ "items": { "$ref": "#" }, "additionalProperties": { "$ref": "#" }, "type": ["array", "object", "number"] }),
        json!({ "$schema": "http://json-schema.org/draft-04/schema#", "type": "integer" }),
    ];
    let texts = asked.iter().map(ToString::to_string);
    // What they ask of a document is asked of its parts, too: those of a generated document are deeper.
    let parts = asked.iter().skip(2).filter(|schema| schema.get("$schema").is_none()).map(|schema| {
        json!({ "$defs": { "part": schema }, "items": { "$ref": "#/$defs/part" }, "additionalProperties": { "$ref": "#/$defs/part" } })
            .to_string()
    });
    let all = texts.chain(parts).chain([DEVICE_SIM_SCHEMA.to_owned()]);
    all.map(|text| Schemas::new("/", move |_| Ok(text.clone())).load("s.json").unwrap()).collect()
}

static SCHEMAS: LazyLock<Vec<Schema>> = LazyLock::new(schemas);

fn check(payload: &[u8]) {
    let mut document = Document::default();
    let shown = String::from_utf8_lossy(payload);
    assert_eq!(payload::check(payload, None, &mut document), payload::check_parsed(payload), "{shown}");
    for schema in SCHEMAS.iter() {
        let mut document = Document::default();
        let (found, expected) =
            (payload::check(payload, Some(schema), &mut document), payload::check_tree(payload, schema));
        assert_eq!(found, expected, "{shown}");
        // A tree would hide it if what is right were found wrong.
        if let Some(root) = document.value(0) {
            assert_eq!(schema.plain.is_valid(super::Seen(root)), expected.is_ok(), "{shown} by {schema:?}");
        }
    }
}

#[test]
fn numbers_on_the_edge() {
    for number in [
        "0",
        "-0",
        "-0.0",
        "0e0",
        "1.0",
        "1e2",
        "1.5E1",
        "10e-1",
        "2.00",
        "0.30",
        "0.30000000000000004",
        "7e0",
        "9007199254740993",
        "9007199254740993.5",
        "123456789012345.0",
        "1234567890123456.5",
        "123456789012345.5",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "-9223372036854775809",
        "18446744073709551615",
        "18446744073709551616",
        "1.00000000000000000001",
        "1e99",
        "1e308",
        "1e309",
        "-1e999",
        "0.1e-99",
        "1e-400",
        "99999999999999999999999999999999999999",
    ] {
        check(number.as_bytes());
        check(format!("[{number}]").as_bytes());
        check(format!(r#"{{"a":{number},"b":[{number},{number}]}}"#).as_bytes());
    }
}

#[test]
fn what_is_no_plain_json() {
    let deep = |levels| [vec![b'['; levels], vec![b']'; levels]].concat();
    for levels in [63, 64, 65, 126, 127, 128, 129, 1_000] {
        check(&deep(levels));
    }
    for payload in [
        &b""[..],
        b"{",
        b"\xff",
        b"\"\xc3\"",
        b"{\"a\":\"\xf0\x9f\xa6\"}",
        b"\xef\xbb\xbf{}",
        b"[1,]",
        b"{}x",
        b"\"\\ud800\"",
        b"{\"a\":1,\"a\":\"b\"}",
        b"{\"a\":\"b\",\"\\u0061\":1}",
        b"\"\x00\"",
        b"\"\\x\"",
    ] {
        check(payload);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn generated_documents(text in prop_oneof![3 => texts(), 1 => damaged()]) {
        check(text.as_bytes());
    }
}
