//! What the schema library sees of a plain document: no tree of owned values has to be built for it.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use jsonschema::{
    JsonType,
    json::{Array, Json, JsonNumber, Node, NodeIdentity, Object, cmp},
};
use serde_json::{Number, Value as Tree};

use crate::json::{Form, Part, Value, Values};

/// Documents as [`crate::json`] takes them apart.
#[derive(Debug)]
pub(super) struct Plain;

/// A value of a document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a>(pub(super) Value<'a, 'a>);

/// A number as it is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Digits<'a>(&'a str);

impl Json for Plain {
    type Node<'a> = Seen<'a>;
    type PreparedKey = Box<str>;
    /// A lookup goes through the names: going through them once for all lookups is never slower.
    const KEYS_PER_LOOKUP: usize = u16::MAX as usize;
    type StringBuffer = String;

    fn prepare_key(key: &str) -> Box<str> {
        key.into()
    }

    fn with_string_node<T>(buffer: &mut String, string: &str, f: impl FnOnce(Seen<'_>) -> T) -> T {
        buffer.clear();
        buffer.extend(["\"", string, "\""]);
        f(Seen(Value::alone(&Part::string(buffer))))
    }
}

impl<'a> Node<'a, Plain> for Seen<'a> {
    type Object = Self;
    type Array = Self;
    type Number = Digits<'a>;

    fn as_object(&self) -> Option<Self> {
        (self.0.form() == Form::Object).then_some(*self)
    }

    fn as_array(&self) -> Option<Self> {
        (self.0.form() == Form::Array).then_some(*self)
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        self.0.content().map(Cow::Borrowed)
    }

    fn as_number(&self) -> Option<Digits<'a>> {
        (self.0.form() == Form::Number).then(|| Digits(self.0.text()))
    }

    fn as_boolean(&self) -> Option<bool> {
        (self.0.form() == Form::Boolean).then(|| self.0.text() == "true")
    }

    fn is_null(&self) -> bool {
        self.0.form() == Form::Null
    }

    fn json_type(&self) -> JsonType {
        match self.0.form() {
            Form::Null => JsonType::Null,
            Form::Boolean => JsonType::Boolean,
            Form::Number => JsonType::Number,
            Form::Text => JsonType::String,
            Form::Array => JsonType::Array,
            Form::Object => JsonType::Object,
        }
    }

    fn equals_value(&self, expected: &Tree) -> bool {
        match expected {
            Tree::Null => self.is_null(),
            Tree::Bool(expected) => self.as_boolean() == Some(*expected),
            Tree::Number(expected) => {
                self.as_number().is_some_and(|number| cmp::equal_numbers(&number, expected))
            }
            Tree::String(expected) => self.0.content() == Some(expected),
            Tree::Array(values) => {
                self.is(Form::Array, values.len()) && cmp::equal(&self.to_value(), expected)
            }
            Tree::Object(values) => {
                self.is(Form::Object, values.len()) && cmp::equal(&self.to_value(), expected)
            }
        }
    }

    fn to_value(&self) -> Cow<'a, Tree> {
        // Whatever is in a plain document can be read.
        Cow::Owned(serde_json::from_str(self.0.text()).unwrap_or_default())
    }

    fn identity(&self) -> Option<NodeIdentity> {
        Some(NodeIdentity::new(self.0.address()))
    }
}

impl Seen<'_> {
    /// Whether it is an array or an object of so many values.
    fn is(&self, form: Form, length: usize) -> bool {
        self.0.form() == form && self.0.len() == length
    }
}

impl<'a> Object<'a, Plain> for Seen<'a> {
    type Node = Self;
    type MemberName = &'a str;
    type MembersIter = Members<'a>;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, key: &Box<str>) -> Option<Self> {
        self.0.values().find(|value| value.name() == &**key).map(Seen)
    }

    fn members(&self) -> Members<'a> {
        Members(self.0.values())
    }
}

/// The values of an object with their names.
#[derive(Debug)]
pub(super) struct Members<'a>(Values<'a, 'a>);

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, Seen<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|value| (value.name(), Seen(value)))
    }
}

impl<'a> Array<'a, Plain> for Seen<'a> {
    type Node = Self;
    type ElementsIter = std::iter::Map<Values<'a, 'a>, fn(Value<'a, 'a>) -> Seen<'a>>;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn elements(&self) -> Self::ElementsIter {
        self.0.values().map(Seen)
    }
}

impl Digits<'_> {
    /// Whether it is `-0`, which `serde_json` takes for a float.
    fn is_minus_zero(self) -> bool {
        self.0 == "-0"
    }
}

impl JsonNumber for Digits<'_> {
    fn as_u64(&self) -> Option<u64> {
        self.0.parse().ok()
    }

    fn as_i64(&self) -> Option<i64> {
        if self.is_minus_zero() { None } else { self.0.parse().ok() }
    }

    fn as_f64(&self) -> Option<f64> {
        self.0.parse().ok()
    }

    fn as_str(&self) -> Cow<'_, str> {
        Cow::Owned(self.to_number().to_string())
    }

    fn to_number(&self) -> Cow<'_, Number> {
        // A number of a plain document can be read.
        Cow::Owned(serde_json::from_str(self.0).unwrap_or_else(|_| 0.into()))
    }

    fn is_integer(&self) -> bool {
        /// Up to 15 digits with a point among them, no fraction is lost in a float.
        const EXACT: usize = 16;
        let (mut after_point, mut fraction, mut exponent) = (false, false, false);
        for byte in self.0.bytes() {
            match byte {
                b'.' => after_point = true,
                b'e' | b'E' => exponent = true,
                b'0' => {}
                _ => fraction |= after_point,
            }
        }
        if exponent || fraction && self.0.len() > EXACT {
            return self.as_f64().is_some_and(|number| number.fract() == 0.0);
        }
        !fraction
    }

    fn is_written_as_integer(&self) -> bool {
        self.to_number().is_written_as_integer()
    }
}
