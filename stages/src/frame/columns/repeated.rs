//! Columns of strings that repeat, built.

use std::ops::Range;

use arrow_array::{
    DictionaryArray,
    builder::{Int32Builder, StringDictionaryBuilder},
    types::Int32Type,
};

/// Builds a column of strings that repeat.
///
/// Rows mostly have the string of the row before, or come in rounds, as the metrics of messages do: the last string and
/// the one that followed it the last time are compared before a string is looked up.
#[derive(Default)]
pub(in crate::frame) struct Repeated {
    /// Knows the key of each string. Its own rows are those that had to be looked up, and go nowhere.
    known: StringDictionaryBuilder<Int32Type>,
    keys: Int32Builder,
    /// One for each key.
    strings: Vec<Known>,
    /// What `strings` are ranges of.
    bytes: Vec<u8>,
    last: usize,
}

struct Known {
    key: i32,
    range: Range<usize>,
    /// Which other one came next.
    next: usize,
}

impl Repeated {
    pub(in crate::frame) fn new() -> Self {
        Self::default()
    }

    pub(in crate::frame) fn append_value(&mut self, value: &str) {
        self.append_value_n(value, 1);
    }

    /// Adds so many rows of one string.
    pub(in crate::frame) fn append_value_n(&mut self, value: &str, rows: usize) {
        if rows == 0 {
            return;
        }
        match self.guess(value).or_else(|| self.look_up(value)) {
            Some((number, key)) => {
                if let Some(last) = self.strings.get_mut(self.last).filter(|_| number != self.last) {
                    last.next = number;
                }
                self.last = number;
                self.keys.append_value_n(key, rows);
            }
            None => self.append_nulls(rows),
        }
    }

    pub(in crate::frame) fn append_option(&mut self, value: Option<&str>) {
        match value {
            Some(value) => self.append_value(value),
            None => self.append_null(),
        }
    }

    pub(in crate::frame) fn append_null(&mut self) {
        self.keys.append_null();
    }

    pub(in crate::frame) fn append_nulls(&mut self, count: usize) {
        // None at all leave the column without room for nulls.
        if count > 0 {
            self.keys.append_nulls(count);
        }
    }

    /// The column of all rows so far; the builder is empty again.
    pub(in crate::frame) fn finish(&mut self) -> DictionaryArray<Int32Type> {
        self.strings.clear();
        self.bytes.clear();
        self.last = 0;
        let strings = self.known.finish();
        DictionaryArray::new(self.keys.finish(), strings.values().clone())
    }

    /// `value`, if it is the last one or the one that came after that.
    #[inline]
    fn guess(&self, value: &str) -> Option<(usize, i32)> {
        let same = |number: usize| {
            let known = self.strings.get(number)?;
            (self.bytes.get(known.range.clone())? == value.as_bytes()).then_some((number, known.key))
        };
        same(self.last).or_else(|| same(self.strings.get(self.last)?.next))
    }

    /// The number and key of `value`, which may be new; none where there are more strings than keys.
    fn look_up(&mut self, value: &str) -> Option<(usize, i32)> {
        let key = self.known.append(value).ok()?;
        let number = usize::try_from(key).ok()?;
        if number == self.strings.len() {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(value.as_bytes());
            self.strings.push(Known { key, range: start..self.bytes.len(), next: 0 });
        }
        Some((number, key))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn columns_are_those_of_the_library(
            rows in prop::collection::vec(prop::option::weighted(0.8, "[ab]{0,2}|metric|messages"), 0..60),
            rounds in 1..4_usize,
        ) {
            let mut ours = Repeated::new();
            for _ in 0..2 {
                let mut theirs = StringDictionaryBuilder::<Int32Type>::new();
                for row in std::iter::repeat_n(&rows, rounds).flatten() {
                    ours.append_option(row.as_deref());
                    theirs.append_option(row.as_deref());
                }
                ours.append_nulls(2);
                theirs.append_nulls(2);
                ours.append_value_n("[ab]", rounds);
                theirs.extend(std::iter::repeat_n(Some("[ab]"), rounds));
                ours.append_value_n("none", 0);
                let (ours, theirs) = (ours.finish(), theirs.finish());
                prop_assert_eq!(&ours, &theirs);
                prop_assert_eq!(ours.values(), theirs.values());
            }
        }
    }
}
