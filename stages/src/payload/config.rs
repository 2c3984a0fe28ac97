//! What the config says about the payloads of a topic.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How payloads are compressed and written where the message does not say so itself: messages of MQTT 5 do, by the
/// user property `content-encoding` and by their content type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PayloadConfig {
    /// What they are compressed with.
    pub encoding: Encoding,
    /// What they are written in.
    pub format: Format,
    /// How large a payload may be once it is decompressed, and as JSON once it is read from CBOR, in bytes; a
    /// larger one is refused.
    #[schemars(range(min = 1024, max = 268_435_456))]
    pub bytes_max: u64,
}

impl Default for PayloadConfig {
    fn default() -> Self {
        Self { encoding: Encoding::None, format: Format::Json, bytes_max: 4 << 20 }
    }
}

impl PayloadConfig {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What a payload is compressed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// It is as it is.
    None,
    /// gzip ([RFC 1952](https://www.rfc-editor.org/rfc/rfc1952)).
    Gzip,
    /// Zstandard ([RFC 8878](https://www.rfc-editor.org/rfc/rfc8878)), with a window of at most 8 MiB.
    Zstd,
}

impl Encoding {
    /// The one that HTTP calls `name` ([RFC 9110, section 8.4.1]).
    ///
    /// [RFC 9110, section 8.4.1]: https://www.rfc-editor.org/rfc/rfc9110#section-8.4.1
    pub(super) fn named(name: &str) -> Option<Self> {
        let known =
            [("gzip", Self::Gzip), ("x-gzip", Self::Gzip), ("zstd", Self::Zstd), ("identity", Self::None)];
        let name = name.trim();
        known.into_iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|(_, encoding)| encoding)
    }
}

/// What a payload is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// JSON.
    Json,
    /// CBOR ([RFC 8949](https://www.rfc-editor.org/rfc/rfc8949)), read as the JSON that its section 6.1 makes of it.
    Cbor,
    /// SenML in CBOR: the same, and the labels that are numbers become the names that SenML has for them
    /// ([RFC 8428, section 6](https://www.rfc-editor.org/rfc/rfc8428#section-6)).
    SenmlCbor,
}

impl Format {
    /// That of a media type, by its suffix ([RFC 6839], [RFC 8949, section 9.5]): `application/cbor` as well as
    /// `application/vnd.example+cbor`. None for another.
    ///
    /// [RFC 6839]: https://www.rfc-editor.org/rfc/rfc6839#section-3.1
    /// [RFC 8949, section 9.5]: https://www.rfc-editor.org/rfc/rfc8949#section-9.5
    pub(super) fn named(content_type: &str) -> Option<Self> {
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        let (_, subtype) = media_type.split_once('/')?;
        let suffix = subtype.rsplit('+').next().unwrap_or_default();
        if subtype.eq_ignore_ascii_case("senml+cbor") {
            Some(Self::SenmlCbor)
        } else if suffix.eq_ignore_ascii_case("cbor") {
            Some(Self::Cbor)
        } else {
            suffix.eq_ignore_ascii_case("json").then_some(Self::Json)
        }
    }
}
