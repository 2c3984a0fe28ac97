//! From the bytes of a message to JSON text: what compressed them, and what they are written in.
//!
//! The properties of the message say so (MQTT 5), else the config of its topic. What is JSON already is handed
//! on as it is, without a copy.

mod base;
mod cbor;
mod config;
mod encoding;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

pub use self::config::{Encoding, Format, PayloadConfig};
use crate::{frame::Messages, refused::Refused};

/// The user property that says what a payload is compressed with, as HTTP names it ([RFC 9110, section 8.4]).
///
/// [RFC 9110, section 8.4]: https://www.rfc-editor.org/rfc/rfc9110#section-8.4
const CONTENT_ENCODING: &str = "content-encoding";

/// What ingest keeps the MQTT 5 property *content type* as.
const CONTENT_TYPE: &str = "content-type";

/// The payload of `row` as JSON text, or what it says if it is no text.
///
/// # Errors
/// `bad_encoding` when it is not compressed as it is said to be, or in a way that is not known; `too_large` when
/// it is more than `bytes_max` without compression or as JSON; `not_cbor` and `too_deep` (128 levels) for CBOR.
pub(crate) fn json<'a>(
    config: PayloadConfig,
    messages: &Messages<'a>,
    row: usize,
) -> Result<Cow<'a, [u8]>, Refused> {
    decode(config, messages.property_pairs(row), messages.payload(row))
}

/// Reads `payload` by its properties, and by `config` where they are silent.
fn decode<'a, 'p>(
    config: PayloadConfig,
    properties: impl Iterator<Item = (&'p str, &'p str)>,
    payload: &'a [u8],
) -> Result<Cow<'a, [u8]>, Refused> {
    let said = Said::of(config, properties)?;
    let plain = match said.encoding {
        Encoding::None => Cow::Borrowed(payload),
        encoding => Cow::Owned(encoding::decompressed(encoding, payload, said.bytes_max)?),
    };
    match said.format {
        Format::Json => Ok(plain),
        Format::Cbor => Ok(Cow::Owned(cbor::to_json(&plain, cbor::Labels::Digits, said.bytes_max)?)),
        Format::SenmlCbor => Ok(Cow::Owned(cbor::to_json(&plain, cbor::Labels::Senml, said.bytes_max)?)),
    }
}

/// What a message says of its payload.
struct Said {
    encoding: Encoding,
    format: Format,
    bytes_max: usize,
}

impl Said {
    fn of<'p>(
        config: PayloadConfig,
        properties: impl Iterator<Item = (&'p str, &'p str)>,
    ) -> Result<Self, Refused> {
        let (mut encoding, mut format) = (None, None);
        for (key, value) in properties {
            if key.eq_ignore_ascii_case(CONTENT_ENCODING) {
                let known = Encoding::named(value).filter(|_| encoding.is_none());
                encoding = Some(known.ok_or_else(|| unknown(value, encoding.is_some()))?);
            } else if key.eq_ignore_ascii_case(CONTENT_TYPE) {
                format = format.or_else(|| Format::named(value));
            }
        }
        Ok(Self {
            encoding: encoding.unwrap_or(config.encoding),
            format: format.unwrap_or(config.format),
            bytes_max: usize::try_from(config.bytes_max).unwrap_or(usize::MAX),
        })
    }
}

fn unknown(value: &str, second: bool) -> Refused {
    let shown: String = value.chars().take(60).collect();
    let message = if second {
        format!("{shown:?} is the second encoding; a payload has one")
    } else {
        format!("{shown:?} is no known encoding; known are gzip, zstd and identity")
    };
    Refused::new("bad_encoding", "", CONTENT_ENCODING, message)
}

/// Of a payload that decodes to more than it may.
fn too_large(bytes_max: usize, what: &str) -> Refused {
    let message =
        format!("it is more than {bytes_max} bytes {what}; its topic may allow more with payload.bytes_max");
    Refused::new("too_large", "", "bytes_max", message)
}
