//! JSON text, looked into only as far as a reading needs it.
//!
//! Values stay the text they were sent as, which costs less than building a tree, and lets a number
//! keep digits that no float holds.

use std::{borrow::Cow, collections::HashSet, fmt};

use serde::{
    Deserialize, Deserializer as _,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Deserializer, Error, value::RawValue};

/// One JSON value as its text, without space around it.
pub(super) type Json<'a> = &'a str;

/// What a JSON value is.
#[derive(Debug, PartialEq)]
pub(super) enum Kind<'a> {
    Null,
    Boolean(bool),
    /// The number as it is written.
    Number(&'a str),
    /// The string without quotes and escapes.
    Text(Cow<'a, str>),
    /// An object or an array.
    Nested,
}

/// What `json` is.
///
/// # Errors
/// When a string has an escape for half a character.
pub(super) fn kind(json: Json<'_>) -> Result<Kind<'_>, Error> {
    Ok(match json.as_bytes().first() {
        Some(b'n') => Kind::Null,
        Some(b't') => Kind::Boolean(true),
        Some(b'f') => Kind::Boolean(false),
        Some(b'"') => Kind::Text(serde_json::from_str::<Text<'_>>(json)?.0),
        Some(b'{' | b'[') => Kind::Nested,
        _ => Kind::Number(json),
    })
}

/// Calls `each` with every key and value of `json`, an object, or with every number and value of it,
/// an array; never with those of anything else. A repeated key comes each time.
///
/// # Errors
/// When `json` is none.
pub(super) fn for_each<'a>(json: Json<'a>, mut each: impl FnMut(Key<'a>, Json<'a>)) -> Result<(), Error> {
    let mut deserializer = Deserializer::from_str(json);
    match json.trim_ascii_start().as_bytes().first() {
        Some(b'{') => deserializer.deserialize_map(Parts(&mut each))?,
        Some(b'[') => deserializer.deserialize_seq(Parts(&mut each))?,
        _ => drop(<&RawValue>::deserialize(&mut deserializer)?),
    }
    deserializer.end()
}

/// Where a value is in what it is part of.
pub(super) enum Key<'a> {
    Name(Cow<'a, str>),
    Number(usize),
}

/// Collects the entries of `json` into `entries`, in their order; of a repeated key the last counts.
///
/// # Errors
/// When `json` is none.
pub(super) fn entries<'a>(json: Json<'a>, entries: &mut Vec<(Cow<'a, str>, Json<'a>)>) -> Result<(), Error> {
    entries.clear();
    for_each(json, |key, value| match key {
        Key::Name(name) => entries.push((name, value)),
        Key::Number(_) => {}
    })?;
    if any_repeated(entries) {
        let mut seen = HashSet::new();
        let mut last: Vec<_> =
            entries.drain(..).rev().filter(|(name, _)| seen.insert(name.clone())).collect();
        last.reverse();
        *entries = last;
    }
    Ok(())
}

fn any_repeated(entries: &[(Cow<'_, str>, Json<'_>)]) -> bool {
    // Comparing few names with each other is faster than hashing them.
    if entries.len() <= 16 {
        let repeated = |(number, (name, _)): (usize, &(Cow<'_, str>, _))| {
            entries[..number].iter().any(|(other, _)| other == name)
        };
        return entries.iter().enumerate().any(repeated);
    }
    let mut seen = HashSet::with_capacity(entries.len());
    !entries.iter().all(|(name, _)| seen.insert(name.as_ref()))
}

/// A string, borrowed where it has no escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrow;

        impl<'de> Visitor<'de> for Borrow {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(Borrow)
    }
}

struct Parts<'f, F>(&'f mut F);

impl<'de, F: FnMut(Key<'de>, Json<'de>)> Visitor<'de> for Parts<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some((name, value)) = entries.next_entry::<Text<'de>, &RawValue>()? {
            (self.0)(Key::Name(name.0), value.get());
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut number = 0;
        while let Some(value) = items.next_element::<&RawValue>()? {
            (self.0)(Key::Number(number), value.get());
            number += 1;
        }
        Ok(())
    }
}
