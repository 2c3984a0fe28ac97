//! JSON Schemas in plain words.

use serde_json::Value;

use super::{shape::INTEGER_MAX, topology::ADDRESS};

/// Longer texts than this, in characters, are cut when they are quoted.
const QUOTED_MAX: usize = 60;
/// How alike two words must be, from 0 to 1, that one may be meant with the other.
const ALIKE: f64 = 0.8;

/// What `rule` expects and what there is instead.
pub(super) fn misfit(rule: &Value, value: &Value) -> String {
    let hint = match value {
        Value::String(text) => {
            nearest(text, &words(rule)).map(|near| format!("; did you mean {near}?")).unwrap_or_default()
        }
        Value::Number(_) | Value::Bool(_) if takes(rule, "string") && rule.get("format").is_none() => {
            "; put it in quotes".to_owned()
        }
        _ => String::new(),
    };
    format!("expected {}, got {}{hint}", describe(rule), quote(value))
}

/// What `rule` takes: "a whole number from 1 to 1024", "one of month, day and hour".
fn describe(rule: &Value) -> String {
    let branches = branches(rule);
    let words = words(rule);
    let mut expected = match words.as_slice() {
        [] => Vec::new(),
        [word] => vec![(*word).to_owned()],
        _ => vec![format!("one of {}", list(&words, "and"))],
    };
    let mappings = branches.iter().filter(|branch| takes(branch, "object")).count();
    if mappings > 1 {
        expected.push(format!("a mapping with one of {}", list(&known_keys(rule), "and")));
    }
    for branch in branches {
        let text = if words_of(branch).next().is_some() || (mappings > 1 && takes(branch, "object")) {
            continue;
        } else if takes(branch, "object") {
            match known_keys(branch).as_slice() {
                [] => "a mapping".to_owned(),
                keys => format!("a mapping with {}", list(keys, "and")),
            }
        } else {
            describe_plain(branch)
        };
        expected.push(text);
    }
    list(&expected.iter().map(String::as_str).collect::<Vec<_>>(), "or")
}

fn describe_plain(rule: &Value) -> String {
    if let Some(format) = rule.get("format").and_then(Value::as_str).filter(|_| takes(rule, "string")) {
        return match format {
            ADDRESS => "an IP address and port such as 127.0.0.1:1883".to_owned(),
            _ => format!("text in the format {format}"),
        };
    }
    let bound = |key| rule.get(key).filter(|bound| bound.as_u64().is_none_or(|bound| bound < INTEGER_MAX));
    let range = match (bound("minimum"), bound("maximum")) {
        (Some(minimum), Some(maximum)) => format!(" from {minimum} to {maximum}"),
        (Some(minimum), None) => format!(" of at least {minimum}"),
        (None, Some(maximum)) => format!(" of at most {maximum}"),
        (None, None) => String::new(),
    };
    let names = [
        ("integer", format!("a whole number{range}")),
        ("number", format!("a number{range}")),
        ("string", "text".to_owned()),
        ("boolean", "true or false".to_owned()),
        ("array", "a list".to_owned()),
    ];
    names.into_iter().find(|(name, _)| takes(rule, name)).map_or("another value".to_owned(), |(_, text)| text)
}

/// Whether `rule` names the JSON type `name`.
fn takes(rule: &Value, name: &str) -> bool {
    match rule.get("type") {
        Some(Value::String(only)) => only == name,
        Some(Value::Array(several)) => several.iter().any(|one| one == name),
        _ => false,
    }
}

/// The alternatives of a rule, unfolded and without "nothing"; of a rule without any, itself.
pub(super) fn branches(rule: &Value) -> Vec<&Value> {
    let alternatives = ["anyOf", "oneOf"].into_iter().find_map(|key| rule.get(key)?.as_array());
    match alternatives {
        Some(alternatives) => alternatives.iter().flat_map(branches).collect(),
        None if rule.get("type").is_some_and(|only| only == "null") => Vec::new(),
        None => vec![rule],
    }
}

/// The keys that mappings of this rule know.
pub(super) fn known_keys(rule: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = Vec::new();
    for branch in branches(rule) {
        let properties = branch.get("properties").and_then(Value::as_object);
        for key in properties.into_iter().flat_map(|properties| properties.keys()) {
            if !keys.contains(&key.as_str()) {
                keys.push(key);
            }
        }
    }
    keys
}

/// The words that a rule takes as values.
fn words(rule: &Value) -> Vec<&str> {
    branches(rule).into_iter().flat_map(words_of).collect()
}

fn words_of(branch: &Value) -> impl Iterator<Item = &str> {
    let several = branch.get("enum").and_then(Value::as_array).into_iter().flatten();
    several.chain(branch.get("const")).filter_map(Value::as_str)
}

/// Of `known`, the word that is most probably meant with `word`.
pub(super) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let likeness = |near: &str| strsim::jaro_winkler(&word.to_lowercase(), near);
    let best = known.iter().map(|near| (likeness(near), *near)).max_by(|(a, _), (b, _)| a.total_cmp(b));
    best.filter(|(likeness, _)| *likeness >= ALIKE).map(|(_, near)| near)
}

/// "a, b and c".
pub(super) fn list(words: &[&str], last: &str) -> String {
    match words {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [most @ .., end] => format!("{} {last} {end}", most.join(", ")),
    }
}

fn quote(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
        Value::String(text) if text.chars().count() > QUOTED_MAX => {
            format!("{:?}…", text.chars().take(QUOTED_MAX).collect::<String>())
        }
        Value::String(text) => format!("{text:?}"),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
    }
}
