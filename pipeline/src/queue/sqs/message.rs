//! A frame as a message, and what it takes as one.

use std::{collections::BTreeMap, collections::HashMap};

use aws_sdk_sqs::{
    error::BuildError,
    types::{Message, MessageAttributeValue, MessageSystemAttributeName},
};
use base64::prelude::{BASE64_STANDARD, Engine};
use stages::frame::{FrameId, Lane, Micros};

use super::digest;
use crate::queue::EncodedFrame;

/// What SQS takes as one message, and as all messages of a request; its attributes count.
pub(super) const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// What is paid for as one request.
const CHUNK_BYTES: usize = 64 << 10;
/// What the attributes of a frame take at the most.
const ATTRIBUTE_BYTES: usize = 112;
/// Room for what a dead letter says beside that.
const LETTER_BYTES: usize = 2048;
/// The largest frame that is one message, also as a dead letter.
pub const FRAME_BYTES_MAX: usize = (MESSAGE_BYTES_MAX - ATTRIBUTE_BYTES - LETTER_BYTES) / 4 * 3;

/// The attributes of a message by name, all of them text.
pub(super) type Attributes = BTreeMap<&'static str, String>;
pub(super) const DATA_TYPE: &str = "String";

pub(super) const FRAME: &str = "frame";
pub(super) const LANE: &str = "lane";
pub(super) const ROWS: &str = "rows";
pub(super) const PUBLISHED_AT: &str = "published_at";

/// How many requests are paid for one that carries so many bytes.
pub(super) fn chunks(bytes: usize) -> u64 {
    bytes.div_ceil(CHUNK_BYTES).max(1) as u64
}

/// The largest frame that is paid for as so many requests: frames are best packed to just below it.
fn frame_bytes_in(chunks: usize) -> usize {
    let bytes = (chunks.max(1) * CHUNK_BYTES - ATTRIBUTE_BYTES) / 4 * 3;
    bytes.min(FRAME_BYTES_MAX)
}

/// The end of the last chunk that is paid for with frames of up to so many bytes: where to close them.
pub fn chunk_end(frame_bytes: usize) -> usize {
    let fits = |chunks: &usize| frame_bytes_in(*chunks) <= frame_bytes;
    (1..=MESSAGE_BYTES_MAX / CHUNK_BYTES).rev().find(fits).map_or(frame_bytes, frame_bytes_in)
}

/// A message on its way.
#[derive(Debug, Clone)]
pub(super) struct Outgoing {
    pub(super) frame: FrameId,
    pub(super) body: String,
    pub(super) attributes: Attributes,
    /// Group and deduplication id, for a FIFO queue.
    pub(super) place: Option<(String, String)>,
}

impl Outgoing {
    /// A frame on its way into its queue.
    pub(super) fn of(frame: &EncodedFrame, published_at: Micros, fifo: bool) -> Self {
        Self {
            frame: frame.id,
            body: BASE64_STANDARD.encode(&frame.bytes[..]),
            attributes: attributes(frame, published_at),
            place: fifo.then(|| (frame.lane.to_string(), frame.id.to_string())),
        }
    }

    /// What it takes of a request.
    pub(super) fn bytes(&self) -> usize {
        let attributes = self.attributes.iter();
        let attributes = attributes.map(|(name, value)| name.len() + DATA_TYPE.len() + value.len());
        self.body.len() + attributes.sum::<usize>()
    }

    /// The attributes as SQS takes them.
    pub(super) fn values(&self) -> Result<Option<HashMap<String, MessageAttributeValue>>, BuildError> {
        if self.attributes.is_empty() {
            return Ok(None);
        }
        let value = |(name, value): (&&str, &String)| {
            let value = MessageAttributeValue::builder().data_type(DATA_TYPE).string_value(value).build()?;
            Ok(((*name).to_owned(), value))
        };
        self.attributes.iter().map(value).collect::<Result<_, _>>().map(Some)
    }
}

/// What a message says of its frame beside the bytes.
pub(super) fn attributes(frame: &EncodedFrame, published_at: Micros) -> Attributes {
    Attributes::from([
        (FRAME, frame.id.to_string()),
        (LANE, frame.lane.to_string()),
        (ROWS, frame.rows.to_string()),
        (PUBLISHED_AT, published_at.to_string()),
    ])
}

/// A message as it came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Incoming<'a>(pub(super) &'a Message);

impl<'a> Incoming<'a> {
    pub(super) fn handle(self) -> &'a str {
        self.0.receipt_handle().unwrap_or_default()
    }

    pub(super) fn id(self) -> &'a str {
        self.0.message_id().unwrap_or_default()
    }

    pub(super) fn body(self) -> &'a str {
        self.0.body().unwrap_or_default()
    }

    /// An attribute that was sent with it.
    pub(super) fn attribute(self, name: &str) -> Option<&'a str> {
        self.0.message_attributes()?.get(name)?.string_value()
    }

    /// A number that was sent with it.
    pub(super) fn number<T: std::str::FromStr>(self, name: &'static str) -> Result<T, String> {
        let text = self.attribute(name).unwrap_or_default();
        text.parse().map_err(|_| format!("its attribute {name} cannot be {text:?}"))
    }

    /// When it came into the queue, as SQS knows it.
    pub(super) fn sent_at(self) -> Micros {
        self.told(&MessageSystemAttributeName::SentTimestamp).saturating_mul(1000)
    }

    /// How often it was handed out before.
    pub(super) fn attempts(self) -> u32 {
        let times = self.told(&MessageSystemAttributeName::ApproximateReceiveCount);
        u32::try_from(times.saturating_sub(1)).unwrap_or_default()
    }

    fn told(self, name: &MessageSystemAttributeName) -> i64 {
        let told = self.0.attributes().and_then(|all| all.get(name));
        told.and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    /// Whether SQS says that it sent something else than what is here.
    pub(super) fn is_altered(self) -> bool {
        let attributes = || self.0.message_attributes().map(digest::of_received).unwrap_or_default();
        self.0.md5_of_body().is_some_and(|told| told != digest::of_body(self.body()))
            || self.0.md5_of_message_attributes().is_some_and(|told| told != attributes())
    }

    /// Whether it is one of ours; any other has no such attribute.
    pub(super) fn is_frame(self) -> bool {
        self.attribute(FRAME).is_some()
    }

    /// What it takes of the request that it came with.
    pub(super) fn bytes(self) -> usize {
        let attributes = self.0.message_attributes().into_iter().flatten();
        let attributes = attributes.map(|(name, value)| {
            name.len() + value.data_type().len() + value.string_value().unwrap_or_default().len()
        });
        self.body().len() + attributes.sum::<usize>()
    }

    /// Its frame, and when that was published.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn frame(self) -> Result<(EncodedFrame, Micros), String> {
        let id = self.attribute(FRAME).unwrap_or_default();
        let id: FrameId = id.parse().map_err(|_| format!("its attribute {FRAME} cannot be {id:?}"))?;
        let bytes = BASE64_STANDARD
            .decode(self.body())
            .map_err(|error| format!("its body is not base64: {error}"))?;
        let (lane, rows) = (Lane(self.number(LANE)?), self.number(ROWS)?);
        Ok((EncodedFrame { id, lane, rows, bytes: bytes.into() }, self.number(PUBLISHED_AT)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many bytes a frame of so many takes as a message.
    fn message_bytes(frame_bytes: usize) -> usize {
        frame_bytes.div_ceil(3) * 4 + ATTRIBUTE_BYTES
    }

    fn largest(bytes: usize) -> Outgoing {
        let bytes = vec![255; bytes].into();
        let frame = EncodedFrame { id: FrameId([255; 16]), lane: Lane(u16::MAX), rows: u32::MAX, bytes };
        Outgoing::of(&frame, 9_999_999_999_999_999, true)
    }

    #[test]
    fn a_message_takes_no_more_than_is_said() {
        for bytes in [1, 2, 3, 4, 1000, 65_536, FRAME_BYTES_MAX] {
            assert_eq!(largest(bytes).bytes(), message_bytes(bytes), "{bytes}");
        }
        assert!(message_bytes(FRAME_BYTES_MAX) + LETTER_BYTES <= MESSAGE_BYTES_MAX);
    }

    #[test]
    fn a_message_whose_body_or_attributes_are_others_than_sqs_says_is_altered() {
        let sent = largest(10);
        let (body, attributes) = (digest::of_body(&sent.body), digest::of_attributes(&sent.attributes));
        let message = |body: &str, attributes: &str| {
            let message = Message::builder().body(&sent.body).md5_of_body(body);
            let values = sent.values().expect("whole");
            message.set_message_attributes(values).md5_of_message_attributes(attributes).build()
        };
        for (body, attributes, is_altered) in
            [(&body, &attributes, false), (&attributes, &attributes, true), (&body, &body, true)]
        {
            assert_eq!(Incoming(&message(body, attributes)).is_altered(), is_altered);
        }
        // What says nothing of itself is taken as it is.
        assert!(!Incoming(&Message::builder().body("a").build()).is_altered());
    }

    #[test]
    fn a_frame_is_packed_to_just_below_what_is_paid_for() {
        for paid in 1..12 {
            let bytes = frame_bytes_in(paid);
            assert_eq!(chunks(message_bytes(bytes)), paid as u64);
            assert_eq!(chunks(message_bytes(bytes + 3)), paid as u64 + 1);
        }
        assert_eq!(frame_bytes_in(1000), FRAME_BYTES_MAX);
        assert_eq!(chunk_end(FRAME_BYTES_MAX), FRAME_BYTES_MAX);
        assert_eq!(chunk_end(FRAME_BYTES_MAX - 1), frame_bytes_in(15));
        assert_eq!((chunk_end(frame_bytes_in(1)), chunk_end(1000)), (frame_bytes_in(1), 1000));
        assert_eq!((chunks(0), chunks(65_536), chunks(65_537)), (1, 1, 2));
    }
}
