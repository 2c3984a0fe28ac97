//! CBOR as the JSON text that [RFC 8949, section 6.1] makes of it.
//!
//! Integers keep every digit. Floats of 16 and 32 bits are those of 64 bits that are equal to them, written with as
//! few digits as give them back. Decimal fractions, of which the section says nothing, are numbers that keep every digit,
//! as SenML has them (RFC 8428, section 6).
//!
//! [RFC 8949, section 6.1]: https://www.rfc-editor.org/rfc/rfc8949#section-6.1

use std::{borrow::Cow, collections::HashSet, ops::Range};

use minicbor::{
    Decoder,
    data::{Tag, Token},
};

use super::{base::Base, too_large};
use crate::refused::Refused;

/// How deep arrays and maps may nest: as deep as validate takes JSON.
const DEPTH_MAX: usize = 127;

/// Positive and negative bignums: RFC 8949, section 3.4.3.
const BIGNUMS: [Tag; 2] = [Tag::new(2), Tag::new(3)];

/// Decimal fractions: RFC 8949, section 3.4.4.
const DECIMAL: Tag = Tag::new(4);

/// How far the exponent of a decimal fraction may lie from 0: up to here a float holds it with any 64-bit mantissa.
const EXPONENT_MAX: u128 = 288;

/// What becomes of map keys that are integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Labels {
    /// Their digits.
    Digits,
    /// The names that SenML has for them ([RFC 8428, section 6]), and digits for any other.
    ///
    /// [RFC 8428, section 6]: https://www.rfc-editor.org/rfc/rfc8428#section-6
    Senml,
}

/// The JSON text of the one data item that `payload` is.
///
/// # Errors
/// `not_cbor` when it is none, has a key twice or one that is neither text nor an integer, or does not end with
/// the item; `too_deep`; `too_large` when the text is more than `bytes_max` bytes.
pub(super) fn to_json(payload: &[u8], labels: Labels, bytes_max: usize) -> Result<Vec<u8>, Refused> {
    let (decoder, out) = (Decoder::new(payload), Vec::with_capacity(payload.len().min(bytes_max)));
    let mut writer = Writer { decoder, out, keys: Vec::new(), labels, bytes_max };
    let first = writer.token()?;
    writer.item(first, DEPTH_MAX, Base::Base64Url)?;
    match writer.decoder.position() {
        end if end < payload.len() => Err(writer.refused(format!("it goes on after its end at byte {end}"))),
        _ => Ok(writer.out),
    }
}

struct Writer<'b> {
    decoder: Decoder<'b>,
    out: Vec<u8>,
    /// Where in `out` the keys of the maps stand that are not at their end.
    keys: Vec<Range<usize>>,
    labels: Labels,
    bytes_max: usize,
}

impl<'b> Writer<'b> {
    /// Writes the item that begins with `token`. Byte strings are written in `base` unless a tag says otherwise.
    fn item(&mut self, mut token: Token<'b>, levels: usize, mut base: Base) -> Result<(), Refused> {
        while let Token::Tag(tag) = token {
            token = self.token()?;
            if BIGNUMS.contains(&tag) {
                return self.bignum(tag == BIGNUMS[1], token);
            }
            if tag == DECIMAL {
                return self.decimal(&token);
            }
            // Section 3.4.5.2. Of any other tag the number is ignored.
            base = match tag.as_u64() {
                21 => Base::Base64Url,
                22 => Base::Base64,
                23 => Base::Base16,
                _ => base,
            };
        }
        match token {
            Token::Array(_) | Token::BeginArray | Token::Map(_) | Token::BeginMap if levels == 0 => {
                let message = format!("arrays and maps nest deeper than {DEPTH_MAX} levels");
                return Err(Refused::new("too_deep", "", "cbor", message));
            }
            Token::Array(length) => self.array(Some(length), levels - 1, base)?,
            Token::BeginArray => self.array(None, levels - 1, base)?,
            Token::Map(length) => self.map(Some(length), levels - 1, base)?,
            Token::BeginMap => self.map(None, levels - 1, base)?,
            Token::Bytes(_) | Token::BeginBytes => {
                let bytes = self.bytes(token)?;
                self.quoted(|out| base.write(&bytes, out));
            }
            Token::String(text) => self.json(text)?,
            Token::BeginString => {
                let text = self.chunks()?;
                self.json(&text)?;
            }
            Token::F16(value) | Token::F32(value) => self.float(value.into())?,
            Token::F64(value) => self.float(value)?,
            Token::Bool(value) => self.json(&value)?,
            Token::Null | Token::Undefined | Token::Simple(_) => self.out.extend_from_slice(b"null"),
            Token::Break => return Err(self.refused("a break code stands where a value is due".to_owned())),
            _ => match integer(&token) {
                Some(number) => self.json(&number)?,
                None => return Err(self.refused(format!("{token} is no value"))),
            },
        }
        if self.out.len() > self.bytes_max {
            return Err(too_large(self.bytes_max, "as JSON"));
        }
        Ok(())
    }

    fn array(&mut self, length: Option<u64>, levels: usize, base: Base) -> Result<(), Refused> {
        self.out.push(b'[');
        let mut count = 0;
        while let Some(token) = self.next_of(length, count)? {
            if count > 0 {
                self.out.push(b',');
            }
            self.item(token, levels, base)?;
            count += 1;
        }
        self.out.push(b']');
        Ok(())
    }

    fn map(&mut self, length: Option<u64>, levels: usize, base: Base) -> Result<(), Refused> {
        self.out.push(b'{');
        let (outer, mut count) = (self.keys.len(), 0);
        while let Some(token) = self.next_of(length, count)? {
            if count > 0 {
                self.out.push(b',');
            }
            let start = self.out.len();
            self.key(token)?;
            self.keys.push(start..self.out.len());
            self.out.push(b':');
            let value = self.token()?;
            self.item(value, levels, base)?;
            count += 1;
        }
        self.out.push(b'}');
        if let Some(key) = repeated(&self.out, &self.keys[outer..]) {
            return Err(self.refused(format!("a map has the key {key} twice")));
        }
        self.keys.truncate(outer);
        Ok(())
    }

    /// The next token of an array or a map, of which there have been `count` entries; none at its end. The length
    /// is only what is claimed: each entry has to be there.
    fn next_of(&mut self, length: Option<u64>, count: u64) -> Result<Option<Token<'b>>, Refused> {
        match length {
            Some(length) if count >= length => Ok(None),
            Some(_) => self.token().map(Some),
            None => self.token().map(|token| Some(token).filter(|token| *token != Token::Break)),
        }
    }

    /// Writes a map key. Tags of keys are ignored as those of values are.
    fn key(&mut self, mut token: Token<'b>) -> Result<(), Refused> {
        while let Token::Tag(tag) = token
            && !BIGNUMS.contains(&tag)
        {
            token = self.token()?;
        }
        match token {
            Token::String(text) => self.json(text),
            Token::BeginString => {
                let text = self.chunks()?;
                self.json(&text)
            }
            _ => match integer(&token) {
                Some(number) => {
                    let name = senml_name(number).filter(|_| self.labels == Labels::Senml);
                    self.json(&name.map_or_else(|| number.to_string(), str::to_owned))
                }
                None => {
                    Err(self.refused("a map has a key that is neither text nor a 64-bit integer".to_owned()))
                }
            },
        }
    }

    fn bignum(&mut self, negative: bool, token: Token<'b>) -> Result<(), Refused> {
        if !matches!(token, Token::Bytes(_) | Token::BeginBytes) {
            return Err(self.refused("a bignum is no byte string".to_owned()));
        }
        let bytes = self.bytes(token)?;
        self.quoted(|out| {
            if negative {
                out.push(b'~');
            }
            Base::Base64Url.write(&bytes, out);
        });
        Ok(())
    }

    /// Writes the decimal fraction whose array of exponent and mantissa begins with `token`.
    fn decimal(&mut self, token: &Token<'b>) -> Result<(), Refused> {
        let wrong = |writer: &Self| {
            writer.refused("a decimal fraction is no array of two 64-bit integers".to_owned())
        };
        let length = match *token {
            Token::Array(length) => Some(length),
            Token::BeginArray => None,
            _ => return Err(wrong(self)),
        };
        let mut numbers = Vec::with_capacity(2);
        while let Some(token) = self.next_of(length, numbers.len() as u64)? {
            match integer(&token) {
                Some(number) if numbers.len() < 2 => numbers.push(number),
                _ => return Err(wrong(self)),
            }
        }
        let &[exponent, mantissa] = numbers.as_slice() else { return Err(wrong(self)) };
        if exponent.unsigned_abs() > EXPONENT_MAX {
            let message = format!(
                "a decimal fraction has the exponent {exponent}; -{EXPONENT_MAX} to {EXPONENT_MAX} are allowed"
            );
            return Err(self.refused(message));
        }
        self.json(&mantissa)?;
        if exponent != 0 {
            self.out.push(b'e');
            self.json(&exponent)?;
        }
        Ok(())
    }

    /// The byte string that begins with `token`, its chunks joined.
    fn bytes(&mut self, token: Token<'b>) -> Result<Cow<'b, [u8]>, Refused> {
        if let Token::Bytes(bytes) = token {
            return Ok(bytes.into());
        }
        let mut joined = Vec::new();
        loop {
            match self.token()? {
                Token::Bytes(chunk) => joined.extend_from_slice(chunk),
                Token::Break => return Ok(joined.into()),
                _ => return Err(self.refused("a chunk of a byte string is none".to_owned())),
            }
        }
    }

    /// The chunks of a text of indefinite length, joined.
    fn chunks(&mut self) -> Result<String, Refused> {
        let mut joined = String::new();
        loop {
            match self.token()? {
                Token::String(chunk) => joined.push_str(chunk),
                Token::Break => return Ok(joined),
                _ => return Err(self.refused("a chunk of a text is none".to_owned())),
            }
        }
    }

    fn token(&mut self) -> Result<Token<'b>, Refused> {
        let start = self.decoder.position();
        let token = match self.decoder.decode() {
            Ok(token) => token,
            Err(error) if error.is_end_of_input() => {
                return Err(self.refused("it ends before its time".to_owned()));
            }
            Err(error) => return Err(self.refused(format!("at byte {start}: {error}"))),
        };
        // Section 3.3: values below 32 have no form of two bytes.
        let long = self.decoder.position() - start > 1;
        match token {
            Token::Simple(value) if value < 32 && long => {
                Err(self.refused(format!("at byte {start}: the simple value {value} is not well-formed")))
            }
            _ => Ok(token),
        }
    }

    fn float(&mut self, value: f64) -> Result<(), Refused> {
        // JSON has neither NaN nor infinities: serde_json writes null for them, as section 6.1 wants it.
        self.json(&value)
    }

    fn quoted(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.out.push(b'"');
        write(&mut self.out);
        self.out.push(b'"');
    }

    fn json<T: serde::Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
        // Numbers, texts and booleans into memory: there is nothing that could go wrong.
        serde_json::to_writer(&mut self.out, value).map_err(|error| self.refused(error.to_string()))
    }

    fn refused(&self, message: String) -> Refused {
        Refused::new("not_cbor", "", "cbor", message)
    }
}

fn integer(token: &Token<'_>) -> Option<i128> {
    Some(match *token {
        Token::U8(number) => number.into(),
        Token::U16(number) => number.into(),
        Token::U32(number) => number.into(),
        Token::U64(number) => number.into(),
        Token::I8(number) => number.into(),
        Token::I16(number) => number.into(),
        Token::I32(number) => number.into(),
        Token::I64(number) => number.into(),
        Token::Int(number) => number.into(),
        _ => return None,
    })
}

/// A key that stands twice among `keys`, places in `out`.
fn repeated<'o>(out: &'o [u8], keys: &[Range<usize>]) -> Option<Cow<'o, str>> {
    let mut texts = keys.iter().filter_map(|key| out.get(key.clone()));
    let key = if keys.len() <= 16 {
        // Comparing few keys with each other is faster than hashing them.
        texts
            .clone()
            .enumerate()
            .find(|(number, text)| texts.clone().take(*number).any(|other| other == *text))?
            .1
    } else {
        let mut seen = HashSet::with_capacity(keys.len());
        texts.find(|text| !seen.insert(*text))?
    };
    Some(String::from_utf8_lossy(key))
}

/// RFC 8428, section 6.
fn senml_name(label: i128) -> Option<&'static str> {
    Some(match label {
        -6 => "bs",
        -5 => "bv",
        -4 => "bu",
        -3 => "bt",
        -2 => "bn",
        -1 => "bver",
        0 => "n",
        1 => "u",
        2 => "v",
        3 => "vs",
        4 => "vb",
        5 => "s",
        6 => "t",
        7 => "ut",
        8 => "vd",
        _ => return None,
    })
}
