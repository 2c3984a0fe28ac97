//! JSON text, taken apart in one pass and without a copy, where it is plain: the way of most payloads.
//!
//! What is not plain is left to `serde_json`, which also knows what to say about text that is no JSON. Whatever this
//! module takes, `serde_json` would take, and find the same in it.

mod scan;
#[cfg(test)]
pub(crate) mod tests;

/// Parts for which room is kept.
const KEPT_PARTS: usize = 4096;

/// Room for the parts of a text, used again for each.
#[derive(Debug, Default)]
pub(crate) struct Document<'a> {
    /// Whatever holds a part before the part; empty where the last text was not plain.
    parts: Vec<Part<'a>>,
    /// Room to look for repeated names.
    names: Vec<&'a str>,
}

/// A value and where it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part<'a> {
    /// What it is called in its object; empty where it is in none.
    name: &'a str,
    /// As it is written, with the quotes of a string, and without space around it.
    text: &'a str,
    form: Form,
    /// How many values an array or object has.
    count: usize,
    /// The number of the first part that is not in it.
    end: usize,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Null,
    Boolean,
    Number,
    Text,
    Array,
    Object,
}

/// A value of a [`Document`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Value<'d, 'a> {
    parts: &'d [Part<'a>],
    part: &'d Part<'a>,
    number: usize,
}

impl<'a> Document<'a> {
    /// Takes `text` apart. False where it is not plain, and the document empty: where it is no JSON, has an escape or
    /// a repeated name, a number that might be beyond what a float holds, a name that `serde_json` has for itself, or is
    /// uncommonly deep, wide or long.
    pub(crate) fn read(&mut self, text: &'a str) -> bool {
        let plain = scan::scan(text, &mut self.parts, &mut self.names).is_some();
        if !plain {
            self.clear();
        }
        plain
    }

    /// Forgets the last text, and most of the room that an uncommon one took.
    pub(crate) fn clear(&mut self) {
        self.parts.clear();
        self.parts.shrink_to(KEPT_PARTS);
    }

    /// The whole, number 0, or the value with another [`Value::number`].
    pub(crate) fn value(&self, number: usize) -> Option<Value<'_, 'a>> {
        Value::at(&self.parts, number)
    }
}

impl<'a> Part<'a> {
    /// A string by itself; `text` has its quotes.
    pub(crate) fn string(text: &'a str) -> Self {
        Self { name: "", text, form: Form::Text, count: 0, end: 1 }
    }
}

impl<'d, 'a> Value<'d, 'a> {
    fn at(parts: &'d [Part<'a>], number: usize) -> Option<Self> {
        parts.get(number).map(|part| Self { parts, part, number })
    }

    /// The value that is `part` and has nothing in it.
    pub(crate) fn alone(part: &'d Part<'a>) -> Self {
        Self { parts: std::slice::from_ref(part), part, number: 0 }
    }

    /// What finds it in its document.
    pub(crate) fn number(self) -> usize {
        self.number
    }

    pub(crate) fn form(self) -> Form {
        self.part.form
    }

    /// Its name in its object.
    pub(crate) fn name(self) -> &'a str {
        self.part.name
    }

    /// As it is written.
    pub(crate) fn text(self) -> &'a str {
        self.part.text
    }

    /// What is between its quotes, if it is a string.
    pub(crate) fn content(self) -> Option<&'a str> {
        let text = self.part.text;
        if self.part.form == Form::Text { text.get(1..text.len().saturating_sub(1)) } else { None }
    }

    /// How many values are in it, not counting those that are in them.
    pub(crate) fn len(self) -> usize {
        self.part.count
    }

    /// The values in it, in their order.
    pub(crate) fn values(self) -> Values<'d, 'a> {
        Values { parts: self.parts, next: self.number + 1, end: self.part.end }
    }

    /// The address of its part, which no other value has.
    pub(crate) fn address(self) -> usize {
        std::ptr::from_ref(self.part).addr()
    }
}

/// What [`Value::values`] gives.
#[derive(Debug, Clone)]
pub(crate) struct Values<'d, 'a> {
    parts: &'d [Part<'a>],
    next: usize,
    end: usize,
}

impl<'d, 'a> Iterator for Values<'d, 'a> {
    type Item = Value<'d, 'a>;

    #[inline]
    fn next(&mut self) -> Option<Value<'d, 'a>> {
        if self.next >= self.end {
            return None;
        }
        let value = Value::at(self.parts, self.next)?;
        self.next = value.part.end;
        Some(value)
    }
}
