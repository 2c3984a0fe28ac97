//! Reads an Arrow IPC stream as Arrow's own reader does, at less cost: that one unpacks each buffer of each column into
//! memory of its own, by way of more. Here all buffers of a message are unpacked into one, and Arrow reads the columns from it
//! without copying.
//!
//! Format: [encapsulated messages](https://arrow.apache.org/docs/format/Columnar.html#encapsulated-message-format) and
//! [compressed buffers](https://arrow.apache.org/docs/format/Columnar.html#compression).

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use arrow_array::RecordBatch;
use arrow_buffer::{Buffer, MutableBuffer};
use arrow_ipc::{
    CompressionType, Message, MetadataVersion,
    convert::try_fb_to_schema,
    reader::{RecordBatchDecoder, read_dictionary},
    root_as_message,
};
use arrow_schema::{Schema, SchemaRef};

use super::lz4;
use crate::frame::FrameError;

/// Stands before a message's length, where the writer is not older than Arrow 0.15.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// What a compressed buffer begins with: how long it is without compression, or [`NOT_COMPRESSED`].
const PREFIX_BYTES: usize = 8;
const NOT_COMPRESSED: i64 = -1;

/// Columns begin at multiples of this, as Arrow recommends.
const ALIGNMENT: usize = 64;

/// A stream of which something may have been read.
pub(super) struct Stream<'a> {
    rest: &'a [u8],
}

/// A message of a stream.
struct Part<'a> {
    metadata: &'a [u8],
    message: Message<'a>,
    body: &'a [u8],
}

impl<'a> Stream<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The schema, which every stream begins with.
    pub(super) fn schema(&mut self) -> Result<Schema, FrameError> {
        let first = self.next()?.ok_or(FrameError::Damaged)?;
        let schema = first.message.header_as_schema().ok_or(FrameError::Damaged)?;
        Ok(try_fb_to_schema(schema)?)
    }

    /// The one record batch behind the schema.
    pub(super) fn rows(mut self, schema: &SchemaRef) -> Result<RecordBatch, FrameError> {
        let (mut dictionaries, mut rows) = (HashMap::new(), None);
        while let Some(part) = self.next()? {
            let (metadata, body) = part.unpacked()?;
            let message = message_of(&metadata)?;
            let version: MetadataVersion = message.version();
            if let Some(values) = message.header_as_dictionary_batch() {
                read_dictionary(&body, values, schema, &mut dictionaries, &version)?;
            } else if rows.is_some() {
                return Err(FrameError::Batches);
            } else {
                let batch = message.header_as_record_batch().ok_or(FrameError::Damaged)?;
                let decoder =
                    RecordBatchDecoder::try_new(&body, batch, Arc::clone(schema), &dictionaries, &version)?;
                rows = Some(decoder.read_record_batch()?);
            }
        }
        rows.ok_or(FrameError::Batches)
    }

    fn next(&mut self) -> Result<Option<Part<'a>>, FrameError> {
        // A stream may also end without saying so.
        if self.rest.is_empty() {
            return Ok(None);
        }
        let mut length = self.length()?;
        if length == CONTINUATION {
            length = self.length()?;
        }
        let length = i32::from_le_bytes(length);
        if length == 0 {
            return Ok(None);
        }
        let metadata = self.take(i64::from(length))?;
        let message = message_of(metadata)?;
        let body = self.take(message.bodyLength())?;
        Ok(Some(Part { metadata, message, body }))
    }

    fn length(&mut self) -> Result<[u8; 4], FrameError> {
        let (length, rest) = self.rest.split_first_chunk().ok_or(FrameError::Damaged)?;
        self.rest = rest;
        Ok(*length)
    }

    fn take(&mut self, length: i64) -> Result<&'a [u8], FrameError> {
        let (taken, rest) = usize::try_from(length)
            .ok()
            .and_then(|length| self.rest.split_at_checked(length))
            .ok_or(FrameError::Damaged)?;
        self.rest = rest;
        Ok(taken)
    }
}

impl<'a> Part<'a> {
    /// The message with nothing in it compressed with LZ4: it says of each buffer that it is stored as it is, which a message
    /// with compression may, and where it is now.
    fn unpacked(&self) -> Result<(Cow<'a, [u8]>, Buffer), FrameError> {
        let of_dictionary = || self.message.header_as_dictionary_batch().and_then(|values| values.data());
        let batch = self.message.header_as_record_batch().or_else(of_dictionary);
        let batch = batch.filter(|batch| {
            batch.compression().is_some_and(|compression| compression.codec() == CompressionType::LZ4_FRAME)
        });
        let Some(places) = batch.and_then(|batch| batch.buffers()) else {
            return Ok((Cow::Borrowed(self.metadata), Buffer::from(self.body)));
        };
        let packed: Vec<_> = places
            .iter()
            .map(|place| Packed::of(self.body, place.offset(), place.length()))
            .collect::<Result<_, _>>()?;
        let (body, moved) = unpack(&packed, self.body.len())?;
        // The places are of a fixed size, so the others can stand where they stood.
        let mut metadata = self.metadata.to_vec();
        let from = places.bytes().as_ptr().addr().wrapping_sub(self.metadata.as_ptr().addr());
        let stood = metadata.get_mut(from..from.saturating_add(moved.len()));
        stood.ok_or(FrameError::Damaged)?.copy_from_slice(&moved);
        Ok((Cow::Owned(metadata), body))
    }
}

/// A buffer of a compressed message.
enum Packed<'a> {
    Empty,
    Stored(&'a [u8]),
    Lz4 { length: usize, frame: &'a [u8] },
}

impl<'a> Packed<'a> {
    fn of(body: &'a [u8], offset: i64, length: i64) -> Result<Self, FrameError> {
        let (offset, length) = (usize::try_from(offset), usize::try_from(length));
        let bytes = match (offset, length) {
            (Ok(offset), Ok(length)) => body.get(offset..).and_then(|body| body.get(..length)),
            _ => None,
        };
        let bytes = bytes.ok_or(FrameError::Damaged)?;
        if bytes.is_empty() {
            return Ok(Self::Empty);
        }
        let (prefix, bytes) = bytes.split_first_chunk::<PREFIX_BYTES>().ok_or(FrameError::Damaged)?;
        match i64::from_le_bytes(*prefix) {
            0 => Ok(Self::Empty),
            NOT_COMPRESSED => Ok(Self::Stored(bytes)),
            length => {
                let length = usize::try_from(length).map_err(|_| FrameError::Damaged)?;
                // Only the writer says so: it must not be believed before there is memory for it.
                let possible = length <= bytes.len().saturating_mul(lz4::RATIO_MAX);
                if possible { Ok(Self::Lz4 { length, frame: bytes }) } else { Err(FrameError::Damaged) }
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Stored(bytes) => bytes.len(),
            Self::Lz4 { length, .. } => *length,
        }
    }

    fn unpack_into(&self, out: &mut [u8]) -> Result<(), FrameError> {
        match self {
            Self::Empty => {}
            Self::Stored(bytes) => out.copy_from_slice(bytes),
            Self::Lz4 { frame, .. } => lz4::decompress(frame, out)?,
        }
        Ok(())
    }
}

/// The buffers of a body of `body_bytes` one after the other, each behind the prefix that says that it is not compressed, and
/// their places as a message has them.
fn unpack(buffers: &[Packed<'_>], body_bytes: usize) -> Result<(Buffer, Vec<u8>), FrameError> {
    let after =
        |at: usize, buffer: &Packed<'_>| (at + buffer.len() + PREFIX_BYTES).next_multiple_of(ALIGNMENT);
    let total = buffers.iter().fold(ALIGNMENT, after);
    // Buffers that lie over each other could each be as large as they may.
    if total > body_bytes.saturating_mul(lz4::RATIO_MAX).saturating_add((buffers.len() + 1) * 2 * ALIGNMENT) {
        return Err(FrameError::Damaged);
    }
    let mut body = MutableBuffer::try_from_len_zeroed(total).map_err(|_| FrameError::Damaged)?;
    let mut places = Vec::with_capacity(buffers.len() * 16);
    let mut at = ALIGNMENT;
    for buffer in buffers {
        let (prefix, length) = (at - PREFIX_BYTES, PREFIX_BYTES + buffer.len());
        let (head, bytes) = body[prefix..prefix + length].split_at_mut(PREFIX_BYTES);
        head.copy_from_slice(&NOT_COMPRESSED.to_le_bytes());
        buffer.unpack_into(bytes)?;
        for place in [prefix, length] {
            places.extend_from_slice(&u64::try_from(place).unwrap_or(u64::MAX).to_le_bytes());
        }
        at = after(at, buffer);
    }
    Ok((body.into(), places))
}

fn message_of(metadata: &[u8]) -> Result<Message<'_>, FrameError> {
    root_as_message(metadata).map_err(|_| FrameError::Damaged)
}
