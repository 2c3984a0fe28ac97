//! Holds a config against its JSON Schema: what has the wrong type, is out of range, missing or unknown.

use std::net::SocketAddr;

use jsonschema::{ValidationError, error::ValidationErrorKind};
use schemars::{generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::{Map, Value};

use super::{
    finding::Finding,
    pointer::{join, split},
    topology::{ADDRESS, Topology},
    words::{branches, known_keys, list, misfit, nearest},
};

/// Larger integers than this, 2^53, not every JSON reader tells apart.
pub(super) const INTEGER_MAX: u64 = 1 << 53;

/// The JSON Schema of a topology file, without references: each part is written out in its place.
pub(super) fn json_schema() -> Value {
    let settings = SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .with_transform(RecursiveTransform(bounded));
    settings.into_generator().into_root_schema_for::<Topology>().to_value()
}

/// Gives the integers without a maximum that of their type.
fn bounded(schema: &mut schemars::Schema) {
    let maximum = match schema.get("format").and_then(Value::as_str) {
        Some("uint32") => u64::from(u32::MAX),
        Some("uint64" | "uint") => INTEGER_MAX,
        _ => return,
    };
    schema.ensure_object().entry("maximum").or_insert(maximum.into());
}

/// Everything about `config` that `schema` does not allow.
pub(super) fn findings(schema: &Value, config: &Value) -> Vec<Finding> {
    Shape { whole: schema }.findings(schema, config, "")
}

struct Shape<'a> {
    whole: &'a Value,
}

impl Shape<'_> {
    /// What `schema`, a part of the whole, says to `value`, which stands at `base`.
    fn findings(&self, schema: &Value, value: &Value, base: &str) -> Vec<Finding> {
        let validator = jsonschema::options()
            .with_format(ADDRESS, |text| text.parse::<SocketAddr>().is_ok())
            .should_validate_formats(true)
            .build(schema);
        let validator = match validator {
            Ok(validator) => validator,
            Err(error) => return vec![Finding::of_value(base, format!("cannot be checked: {error}"))],
        };
        validator
            .iter_errors(value)
            .flat_map(|error| {
                let rule = split(error.schema_path().as_str()).and_then(|(rule, _)| schema.pointer(rule));
                self.explain(&error, rule.unwrap_or(schema), &format!("{base}{}", error.instance_path()))
            })
            .collect()
    }

    /// What one error means: `rule` is the part of the schema that the value at `pointer` breaks.
    fn explain(&self, error: &ValidationError<'_>, rule: &Value, pointer: &str) -> Vec<Finding> {
        use ValidationErrorKind as Kind;
        let value = error.instance().as_ref();
        let text = match (error.kind(), value) {
            (Kind::AdditionalProperties { unexpected }, _) => {
                return unexpected.iter().map(|key| self.unknown(&known_keys(rule), pointer, key)).collect();
            }
            (Kind::Required { property }, _) => {
                let key = property.as_str().unwrap_or_default();
                return vec![Finding::of_key(pointer, format!("needs the key {key}"))];
            }
            (_, Value::Null) if !pointer.is_empty() => {
                return vec![Finding::of_key(
                    pointer,
                    "has no value; give it one or leave it out".to_owned(),
                )];
            }
            (Kind::AnyOf { .. } | Kind::OneOfNotValid { .. }, Value::Object(object)) => {
                return self.choice(rule, object, pointer);
            }
            (Kind::Minimum { limit }, _) => format!("expected at least {limit}, got {value}"),
            (Kind::Maximum { limit }, _) => format!("expected at most {limit}, got {value}"),
            (Kind::MinItems { .. }, _) => "expected at least one entry, got an empty list".to_owned(),
            (Kind::UniqueItems, _) => "the same entry is there twice".to_owned(),
            _ => misfit(rule, value),
        };
        vec![Finding::of_value(pointer, text)]
    }

    /// A mapping that is none of several: tells of the one it comes closest to.
    fn choice(&self, rule: &Value, object: &Map<String, Value>, pointer: &str) -> Vec<Finding> {
        let known = known_keys(rule);
        let unknown: Vec<_> = object.keys().filter(|key| !known.contains(&key.as_str())).collect();
        if !unknown.is_empty() {
            return unknown.into_iter().map(|key| self.unknown(&known, pointer, key)).collect();
        }
        let value = Value::Object(object.clone());
        let mut candidates = branches(rule)
            .into_iter()
            .filter(|branch| known_keys(branch).iter().any(|key| object.contains_key(*key)));
        match (candidates.next(), candidates.next()) {
            (Some(branch), None) => self.findings(branch, &value, pointer),
            (Some(_), Some(_)) => {
                let given: Vec<_> = object.keys().map(String::as_str).collect();
                vec![Finding::of_value(pointer, format!("expected only one of {}", list(&given, "and")))]
            }
            (None, _) => vec![Finding::of_value(pointer, misfit(rule, &value))],
        }
    }

    fn unknown(&self, known: &[&str], pointer: &str, key: &str) -> Finding {
        let place = join(pointer, key);
        let mut homes = Vec::new();
        homes_of(key, self.whole, String::new(), &mut homes);
        let homes: Vec<_> = homes.iter().map(String::as_str).collect();
        let way_out = match (homes.as_slice(), nearest(key, known)) {
            _ if key == "<<" => "; YAML 1.2 has no merging, write the keys out".to_owned(),
            (_, Some(near)) => format!("; did you mean {near}?"),
            ([_] | [_, _], None) => format!("; it belongs under {}", list(&homes, "or")),
            _ if known.is_empty() => String::new(),
            _ => format!("; known here: {}", list(known, "and")),
        };
        Finding::of_key(&place, format!("is not a known key{way_out}"))
    }
}

/// The mappings below `schema`, as people name them, that know `key`.
fn homes_of(key: &str, schema: &Value, home: String, found: &mut Vec<String>) {
    for branch in branches(schema) {
        if let Some(properties) = branch.get("properties").and_then(Value::as_object) {
            if properties.contains_key(key) && !home.is_empty() && !found.contains(&home) {
                found.push(home.clone());
            }
            for (name, below) in properties {
                let dot = if home.is_empty() { "" } else { "." };
                homes_of(key, below, format!("{home}{dot}{name}"), found);
            }
        }
        if let Some(items) = branch.get("items") {
            homes_of(key, items, format!("{home}[]"), found);
        }
    }
}
