//! The one pass over a text.

use super::{Form, Part};

/// How many arrays and objects may be in each other; `serde_json` takes 127.
const DEPTH_MAX: usize = 64;

/// How many names an object may have: they are looked for one after the other.
const NAMES_MAX: usize = 256;

/// How many values a text may have: each takes many times its bytes in memory while it is looked at.
const PARTS_MAX: usize = 65_536;

/// What `serde_json` calls a value in an object of its own; to it such an object is not one.
const PRIVATE: &str = "$serde_json::private::";

/// Up to this many names are compared with each other.
const COMPARED_MAX: usize = 16;

/// The longest number, and how many digits its exponent may have: such a number a float can hold.
const NUMBER_BYTES_MAX: usize = 64;
const EXPONENT_DIGITS_MAX: usize = 2;

/// Fills `parts` with what is in `text`; none where it is not plain.
pub(super) fn scan<'a>(text: &'a str, parts: &mut Vec<Part<'a>>, names: &mut Vec<&'a str>) -> Option<()> {
    parts.clear();
    let mut scan = Scan { text, bytes: text.as_bytes(), at: 0, parts, names };
    scan.space();
    scan.value("", 0)?;
    scan.space();
    (scan.at == scan.bytes.len()).then_some(())
}

struct Scan<'a, 'p> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    parts: &'p mut Vec<Part<'a>>,
    names: &'p mut Vec<&'a str>,
}

impl<'a> Scan<'a, '_> {
    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Passes over `byte`, which has to come next.
    #[inline]
    fn pass(&mut self, byte: u8) -> Option<()> {
        if self.peek()? != byte {
            return None;
        }
        self.at += 1;
        Some(())
    }

    #[inline]
    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// The value that begins here.
    fn value(&mut self, name: &'a str, depth: usize) -> Option<()> {
        let start = self.at;
        let form = match self.peek()? {
            b'"' => {
                self.string()?;
                Form::Text
            }
            b'-' | b'0'..=b'9' => {
                self.number()?;
                Form::Number
            }
            b'{' => return self.nested(name, Form::Object, depth),
            b'[' => return self.nested(name, Form::Array, depth),
            b't' => self.word("true", Form::Boolean)?,
            b'f' => self.word("false", Form::Boolean)?,
            b'n' => self.word("null", Form::Null)?,
            _ => return None,
        };
        let text = self.text.get(start..self.at)?;
        self.add(Part { name, text, form, count: 0, end: self.parts.len() + 1 })
    }

    #[inline]
    fn add(&mut self, part: Part<'a>) -> Option<()> {
        if self.parts.len() == PARTS_MAX {
            return None;
        }
        self.parts.push(part);
        Some(())
    }

    fn word(&mut self, word: &str, form: Form) -> Option<Form> {
        let known = self.bytes.get(self.at..)?.starts_with(word.as_bytes());
        self.at += word.len();
        known.then_some(form)
    }

    /// An array or an object.
    fn nested(&mut self, name: &'a str, form: Form, depth: usize) -> Option<()> {
        if depth == DEPTH_MAX {
            return None;
        }
        let (start, number) = (self.at, self.parts.len());
        self.add(Part { name, text: "", form, count: 0, end: 0 })?;
        self.at += 1;
        let close = if form == Form::Object { b'}' } else { b']' };
        let (mut count, mut marks, mut marked) = (0, 0_u64, false);
        self.space();
        if self.peek()? != close {
            loop {
                let name = if form == Form::Object { self.name()? } else { "" };
                self.value(name, depth + 1)?;
                marked |= marks & mark(name) != 0;
                marks |= mark(name);
                count += 1;
                self.space();
                if self.peek()? != b',' {
                    break;
                }
                self.at += 1;
                self.space();
            }
        }
        self.pass(close)?;
        // Where each name has a mark of its own, none is repeated.
        if form == Form::Object && (marked || count > NAMES_MAX) && self.repeated(number, count) {
            return None;
        }
        let (text, end) = (self.text.get(start..self.at)?, self.parts.len());
        *self.parts.get_mut(number)? = Part { name, text, form, count, end };
        Some(())
    }

    /// A name, its colon, and the space around that.
    #[inline]
    fn name(&mut self) -> Option<&'a str> {
        let name = self.string()?;
        self.space();
        self.pass(b':')?;
        self.space();
        (!name.starts_with(PRIVATE)).then_some(name)
    }

    /// What a string without escapes holds.
    #[inline]
    fn string(&mut self) -> Option<&'a str> {
        self.pass(b'"')?;
        let rest = self.text.get(self.at..)?;
        let length = plain_len(rest.as_bytes());
        self.at += length;
        self.pass(b'"')?;
        rest.get(..length)
    }

    #[inline]
    fn number(&mut self) -> Option<()> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            if self.digits()? > EXPONENT_DIGITS_MAX {
                return None;
            }
        }
        (self.at - start <= NUMBER_BYTES_MAX).then_some(())
    }

    /// How many digits come; none where there is none.
    #[inline]
    fn digits(&mut self) -> Option<usize> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        (self.at > start).then(|| self.at - start)
    }

    /// Whether two of the `count` values in part `number` have one name, or there are too many to say.
    fn repeated(&mut self, number: usize, count: usize) -> bool {
        if count > NAMES_MAX {
            return true;
        }
        self.names.clear();
        let (mut next, mut repeated) = (number + 1, false);
        while let Some(part) = self.parts.get(next) {
            // Comparing few names with each other is faster than sorting them.
            repeated |= count <= COMPARED_MAX && self.names.contains(&part.name);
            self.names.push(part.name);
            next = part.end;
        }
        if count > COMPARED_MAX {
            self.names.sort_unstable();
            repeated = self.names.windows(2).any(|pair| pair[0] == pair[1]);
        }
        repeated
    }
}

/// One of 64 bits; names that are alike have the same.
#[inline]
fn mark(name: &str) -> u64 {
    let ends = name.as_bytes().first().zip(name.as_bytes().last());
    let number =
        ends.map_or(0, |(first, last)| name.len() + usize::from(*first) * 5 + usize::from(*last) * 11);
    1 << (number % 64)
}

/// How many bytes of a string come before its end, an escape, or what may not be in it.
#[inline]
fn plain_len(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (number, word) in words.iter().enumerate() {
        let found = ends(u64::from_le_bytes(*word));
        if found != 0 {
            return number * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    let stop = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | ..=0x1f));
    words.len() * 8 + stop.unwrap_or(rest.len())
}

/// The upper bit of the first byte that is a quote, a backslash or a control character; those of later bytes may be wrong.
/// (`x - 0x01…` borrows only beyond a byte that is found: "haszero" of [Bit Twiddling Hacks].)
///
/// [Bit Twiddling Hacks]: https://graphics.stanford.edu/~seander/bithacks.html#ZeroInWord
#[inline]
const fn ends(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const UPPER: u64 = ONES << 7;
    let (quote, escape) = (word ^ (ONES * b'"' as u64), word ^ (ONES * b'\\' as u64));
    let zeros = quote.wrapping_sub(ONES) & !quote | escape.wrapping_sub(ONES) & !escape;
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (zeros | control) & UPPER
}
