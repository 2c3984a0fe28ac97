//! Checks one payload.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

use super::{plain::Seen, schemas::Schema};
use crate::{
    frame::Fault,
    json::Document,
    refused::{Refused, bounded},
};

/// How many faults of a message are kept.
const FAULTS_MAX: usize = 10;

/// Whether `payload` is JSON, and keeps to `schema` if there is one. `document` is room that is used again.
pub(super) fn check<'a>(
    payload: &'a [u8],
    schema: Option<&Schema>,
    document: &mut Document<'a>,
) -> Result<(), Refused> {
    let plain = std::str::from_utf8(payload).is_ok_and(|text| document.read(text));
    let root = if plain { document.value(0) } else { None };
    match (root, schema) {
        (Some(root), Some(schema)) if schema.plain.is_valid(Seen(root)) => Ok(()),
        (Some(_), None) => Ok(()),
        (_, None) => check_parsed(payload),
        (_, Some(schema)) => {
            document.clear();
            check_tree(payload, schema)
        }
    }
}

/// Whether any payload is JSON.
pub(super) fn check_parsed(payload: &[u8]) -> Result<(), Refused> {
    parse::<Sound>(payload).map(|_| ())
}

/// Whether any payload keeps to `schema`, with what is wrong.
pub(super) fn check_tree(payload: &[u8], schema: &Schema) -> Result<(), Refused> {
    let refused = |refused| Refused { schema: Some(schema.against.clone()), ..refused };
    let document: Value = parse(payload).map_err(refused)?;
    // Most messages are in order, and finding that out is faster than collecting faults.
    if schema.validator.is_valid(&document) {
        return Ok(());
    }
    let errors = schema.validator.iter_errors(&document).take(FAULTS_MAX).map(|error| Fault {
        pointer: bounded(error.instance_path()),
        keyword: error.kind().keyword().to_owned(),
        message: bounded(&error),
    });
    Err(refused(Refused { reason: "schema", errors: errors.collect(), schema: None }))
}

fn parse<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, Refused> {
    let text = std::str::from_utf8(payload)
        .map_err(|error| Refused::new("not_utf8", "", "utf8", error.to_string()))?;
    serde_json::from_str(text).map_err(|error| {
        let message = error.to_string();
        // The library has no code for it.
        let reason = if message.starts_with("recursion limit") { "too_deep" } else { "not_json" };
        Refused::new(reason, "", "json", message)
    })
}

/// Any JSON, looked through and forgotten. Unlike [`serde::de::IgnoredAny`] it finds what
/// [`Value`] would: nesting that is too deep and numbers that no float can be.
struct Sound;

impl<'de> Deserialize<'de> for Sound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Sound {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self, A::Error> {
        while entries.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}
