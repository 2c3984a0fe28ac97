use proptest::prelude::*;
use serde_json::Value as Tree;

use super::*;

/// The tree of a value; `serde_json` reads what has no values in it.
fn tree(value: Value<'_, '_>) -> Tree {
    match value.form() {
        Form::Array => value.values().map(tree).collect(),
        Form::Object => {
            Tree::Object(value.values().map(|value| (value.name().to_owned(), tree(value))).collect())
        }
        Form::Text => Tree::from(value.content().unwrap()),
        Form::Null | Form::Boolean | Form::Number => serde_json::from_str(value.text()).unwrap(),
    }
}

/// Checks that `text` is read as `serde_json` does, if it is at all.
#[track_caller]
fn check(text: &str) -> bool {
    let mut document = Document::default();
    if !document.read(text) {
        assert!(document.value(0).is_none(), "{text}");
        return false;
    }
    let root = document.value(0).unwrap();
    let expected: Tree = serde_json::from_str(text).unwrap();
    assert_eq!(tree(root), expected, "{text}");
    assert_eq!(root.text(), text.trim_ascii());
    let sizes = |value: Value<'_, '_>| (value.values().count(), value.len());
    let (found, said): (Vec<_>, Vec<_>) =
        document.parts.iter().enumerate().map(|(number, _)| sizes(document.value(number).unwrap())).unzip();
    assert_eq!(found, said, "{text}");
    true
}

#[test]
fn most_texts_are_plain() {
    let wide: Vec<String> = (0..256).map(|name| format!("\"{name}\":{name}")).collect();
    for text in [
        "0",
        "-0",
        "\t-12.50e+07\r\n",
        r#""""#,
        r#""héllo, 🦀, and \#u007f""#.replace("\\#u007f", "\u{7f}").as_str(),
        "[]",
        "{}",
        r#" { "a" : [ true , false , null ] , "b" : { } , "" : "seven b" , "c":"eight by"} "#,
        r#"{"device_id":"d","ts":"2024-01-01T00:00:00Z","metrics":{"t":20.5,"h":40}}"#,
        &format!("{{{}}}", wide.join(",")),
        &format!("{}{}", "[".repeat(64), "]".repeat(64)),
    ] {
        assert!(check(text), "{text}");
    }
}

#[test]
fn the_rest_is_left_alone() {
    let wide: Vec<String> = (0..257).map(|name| format!("\"{name}\":{name}")).collect();
    let twice: Vec<String> = (0..20).chain([7]).map(|name| format!("\"{name}\":{name}")).collect();
    for text in [
        r#""a\n""#,
        r#""eight by\u0041""#,
        r#"{"a":1,"a":1}"#,
        r#"[{"b":{"a":1,"b":2,"a":3}}]"#,
        &format!("{{{}}}", wide.join(",")),
        &format!("{{{}}}", twice.join(",")),
        "1e100",
        "1e-007",
        &"1".repeat(65),
        &format!("{}{}", "[".repeat(65), "]".repeat(65)),
        &format!("[0{}]", ",0".repeat(65_535)),
    ] {
        assert!(!check(text) && serde_json::from_str::<Tree>(text).is_ok(), "{text}");
    }
    // To the library it is a value by itself, and here not even text of one.
    assert!(!Document::default().read(r#"{"$serde_json::private::RawValue":1}"#));
    for text in [
        "",
        " ",
        "-",
        "01",
        "1.",
        ".5",
        "1e",
        "1e+",
        "+1",
        "0x1",
        "tru",
        "nulL",
        "truefalse",
        "1 2",
        "\"a",
        "\"",
        "\"\u{1f}\"",
        "\"1234567\n\"",
        "\u{c}1",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1",
        "[1}",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "{\"a\":1,}",
        "{\"a\":1]",
        "{\"a\"1}",
        "{1:1}",
        "{",
        "{\"a\":1",
        "NaN",
        "'a'",
        "[1]]",
        "\u{feff}1",
    ] {
        assert!(!check(text) && serde_json::from_str::<Tree>(text).is_err(), "{text}");
    }
}

/// JSON texts, most of them plain.
pub(crate) fn texts() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<u64>().prop_map(|number| number.to_string()),
        (-3..9_i32).prop_map(|number| number.to_string()),
        any::<f64>()
            .prop_filter("JSON has none", |number| number.is_finite())
            .prop_map(|number| format!("{number:e}")),
        "-?(0|[1-9][0-9]{0,22})([.][0-9]{1,22})?([eE][-+]?[0-9]{1,3})?",
        "-?[0-9]{1,3}[.][05]{1,3}",
    ];
    let text = prop_oneof![
        "\"(a|b|é|🦀| |[ -!#-~]|\\\\n|\\\\u00e9|\\\\\"){0,20}\"",
        Just("\"2024-01-01T00:00:00Z\"".to_owned()),
    ];
    let leaf = prop_oneof![4 => number, 3 => text, 1 => "null|true|false"];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let names = "[abc]|device|\\\\u0061|[a-z]{0,9}";
        let member = (names, "[ ]?", inner.clone())
            .prop_map(|(name, space, value)| format!("{space}\"{name}\"{space}:{space}{value}{space}"));
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(|values| format!("[{}]", values.join(","))),
            prop::collection::vec(member, 0..6).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
}

/// The same, of which a piece may be damaged.
pub(crate) fn damaged() -> impl Strategy<Value = String> {
    let piece = "|[\\x00-\\x1f]|[]\\[{}:,\"\\\\0-9eE.+-]| |é|nul|\\\\u12|\\\\ud800";
    (texts(), any::<prop::sample::Index>(), 0..3_usize, piece).prop_map(|(text, at, drop, piece)| {
        let chars: Vec<char> = text.chars().collect();
        let at = at.index(chars.len() + 1);
        let (before, after) = (&chars[..at], &chars[(at + drop).min(chars.len())..]);
        before.iter().copied().chain(piece.chars()).chain(after.iter().copied()).collect()
    })
}

proptest! {
    #[test]
    fn what_is_read_is_what_the_library_reads(text in prop_oneof![texts(), damaged()]) {
        check(&text);
    }
}
