//! JSON text, looked into only as far as a reading needs it.
//!
//! Values stay the text they were sent as, which costs less than building a tree, and lets a number
//! keep digits that no float holds. A plain payload is gone through once, and what was found is looked up from then on
//! ([`Document`]); of any other the text is read again at each step.

use std::{borrow::Cow, collections::HashSet, fmt};

use serde::{
    Deserialize, Deserializer as _,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Deserializer, Error, value::RawValue};

use crate::json::Document;

/// One JSON value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Json<'a> {
    /// Its text, without space around it.
    pub(super) text: &'a str,
    /// Its number in the document, if that is plain.
    number: Option<usize>,
}

/// The whole of `text`, which `document` takes up.
pub(super) fn whole<'a>(text: &'a str, document: &mut Document<'a>) -> Json<'a> {
    let number = document.read(text).then_some(0);
    Json { text: text.trim_ascii(), number }
}

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
#[inline]
pub(super) fn kind(json: Json<'_>) -> Result<Kind<'_>, Error> {
    Ok(match json.text.as_bytes().first() {
        Some(b'n') => Kind::Null,
        Some(b't') => Kind::Boolean(true),
        Some(b'f') => Kind::Boolean(false),
        Some(b'"') => Kind::Text(match json.text.get(1..json.text.len() - 1) {
            // No string of a plain document has an escape.
            Some(content) if json.number.is_some() || !content.contains('\\') => Cow::Borrowed(content),
            _ => serde_json::from_str::<Text<'_>>(json.text)?.0,
        }),
        Some(b'{' | b'[') => Kind::Nested,
        _ => Kind::Number(json.text),
    })
}

/// Calls `each` with every key and value of `json`, an object, or with every number and value of it,
/// an array; never with those of anything else. A repeated key comes each time.
///
/// # Errors
/// When `json`, which is of `document`, is none.
pub(super) fn for_each<'a>(
    json: Json<'a>,
    document: &Document<'a>,
    mut each: impl FnMut(Key<'a>, Json<'a>),
) -> Result<(), Error> {
    if let Some(values) = plain(json, document) {
        let named = json.text.starts_with('{');
        for (number, (name, part)) in values.enumerate() {
            each(if named { Key::Name(Cow::Borrowed(name)) } else { Key::Number(number) }, part);
        }
        return Ok(());
    }
    let mut deserializer = Deserializer::from_str(json.text);
    match json.text.as_bytes().first() {
        Some(b'{') => deserializer.deserialize_map(Parts(&mut each))?,
        Some(b'[') => deserializer.deserialize_seq(Parts(&mut each))?,
        _ => drop(<&RawValue>::deserialize(&mut deserializer)?),
    }
    deserializer.end()
}

/// The values in `json`, with their names where it is an object; none where it is of no plain document. No name is
/// repeated.
pub(super) fn plain<'d, 'a>(
    json: Json<'a>,
    document: &'d Document<'a>,
) -> Option<impl Iterator<Item = (&'a str, Json<'a>)> + use<'d, 'a>> {
    let value = document.value(json.number?)?;
    Some(value.values().map(|part| (part.name(), Json { text: part.text(), number: Some(part.number()) })))
}

/// Where a value is in what it is part of.
pub(super) enum Key<'a> {
    Name(Cow<'a, str>),
    Number(usize),
}

/// Collects the entries of `json` into `entries`, in their order; of a repeated key the last counts.
///
/// # Errors
/// When `json`, which is of `document`, is none.
pub(super) fn entries<'a>(
    json: Json<'a>,
    document: &Document<'a>,
    entries: &mut Vec<(Cow<'a, str>, Json<'a>)>,
) -> Result<(), Error> {
    entries.clear();
    for_each(json, document, |key, value| match key {
        Key::Name(name) => entries.push((name, value)),
        Key::Number(_) => {}
    })?;
    // No name of a plain document is repeated.
    if json.number.is_none() && any_repeated(entries) {
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
            (self.0)(Key::Name(name.0), Json { text: value.get(), number: None });
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut number = 0;
        while let Some(value) = items.next_element::<&RawValue>()? {
            (self.0)(Key::Number(number), Json { text: value.get(), number: None });
            number += 1;
        }
        Ok(())
    }
}
