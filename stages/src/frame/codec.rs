//! The one codec: an Arrow IPC stream per frame, LZ4-compressed buffers, the header in the schema's
//! metadata.
//!
//! Format: one [Arrow columnar format, IPC streaming](https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format),
//! metadata keys `millstream.version`, `.id`, `.kind`, `.lane`, `.created_at` (µs), `.epoch` and,
//! where there is one, `.traceparent`. Behind the stream's end stands a checksum of all bytes before it:
//! XXH3, 64 bits, little endian. A reader of Arrow stops at the end of the stream and never sees it; a
//! writer in another language may leave it out. So any language with Arrow can read and write frames.

mod lz4;
mod packed;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

use std::{panic, str::FromStr, sync::Arc};

use arrow_array::RecordBatch;
use arrow_schema::{Metadata, Schema};

use xxhash_rust::xxh3::xxh3_64;

pub use self::packed::{Encoded, Packed, Source};
use super::{
    Frame, FrameError, Header, Kind, Lane, columns, messages::schema_of_messages,
    quarantine::schema_of_quarantine,
};

/// The version that [`encode`] writes. [`decode`] also reads version 1, in which *messages* and *quarantine* had neither
/// `schema_version` nor `replays`: queues keep their frames over an upgrade.
pub const FORMAT_VERSION: u32 = 2;

/// How an Arrow IPC stream ends: a continuation marker and a length of 0.
const END_OF_STREAM: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

const VERSION: &str = "millstream.version";
const ID: &str = "millstream.id";
const KIND: &str = "millstream.kind";
const LANE: &str = "millstream.lane";
const CREATED_AT: &str = "millstream.created_at";
const EPOCH: &str = "millstream.epoch";
const TRACE: &str = "millstream.traceparent";

/// The bytes of a frame. The same frame always gives the same bytes.
///
/// # Errors
/// When a column is of a type that Arrow IPC cannot carry, which no documented kind has.
pub fn encode(frame: &Frame) -> Result<Vec<u8>, FrameError> {
    Ok(encode_from(frame, &[])?.bytes)
}

/// Encodes a frame that may have buffers of others, or all of theirs one after the other: what is compressed already is
/// copied. So its bytes hang on how the others were encoded; what they decode to does not.
///
/// # Errors
/// Those of [`encode`].
pub fn encode_from(frame: &Frame, sources: &[Source<'_>]) -> Result<Encoded, FrameError> {
    let schema = frame.rows.schema();
    let schema = Schema::new_with_metadata(schema.fields().clone(), metadata(&frame.header));
    let mut encoded = writer::write(&schema, &frame.rows, sources)?;
    let checksum = xxh3_64(&encoded.bytes);
    encoded.bytes.extend_from_slice(&checksum.to_le_bytes());
    Ok(encoded)
}

/// The frame in `bytes`.
///
/// # Errors
/// When the bytes are damaged or no Arrow IPC stream, a header value is missing or unusable, the version
/// is none of those, or there is not exactly one record batch.
pub fn decode(bytes: &[u8]) -> Result<Frame, FrameError> {
    let stream = checked(bytes)?;
    // Arrow panics on some record batches that no writer of Arrow makes.
    panic::catch_unwind(|| read(stream)).unwrap_or(Err(FrameError::Damaged))
}

/// The stream without its checksum, which must be right where there is one: what a damaged length makes
/// Arrow allocate could end the process.
fn checked(bytes: &[u8]) -> Result<&[u8], FrameError> {
    if bytes.ends_with(&END_OF_STREAM) {
        return Ok(bytes);
    }
    let (stream, checksum) = bytes.split_last_chunk().ok_or(FrameError::Damaged)?;
    if xxh3_64(stream) == u64::from_le_bytes(*checksum) { Ok(stream) } else { Err(FrameError::Damaged) }
}

fn read(bytes: &[u8]) -> Result<Frame, FrameError> {
    let mut stream = reader::Stream::new(bytes);
    let schema = stream.schema()?;
    let (version, header) = header(schema.metadata())?;
    // Rows compare and join by their columns alone: the header stands beside them.
    let rows = stream.rows(&Arc::new(schema.with_metadata(Metadata::default())))?;
    let rows = if version < FORMAT_VERSION { upgraded(header.kind, rows)? } else { rows };
    Ok(Frame { header, rows })
}

/// Rows of version 1 as this version has them.
fn upgraded(kind: Kind, rows: RecordBatch) -> Result<RecordBatch, FrameError> {
    match kind {
        Kind::Messages => columns::complete(&rows, &schema_of_messages()),
        Kind::Quarantine => columns::complete(&rows, &schema_of_quarantine()),
        Kind::Readings | Kind::Aggregates | Kind::Alerts | Kind::Tick => Ok(rows),
    }
}

fn metadata(header: &Header) -> Metadata {
    let mut metadata = Metadata::from([
        (VERSION, FORMAT_VERSION.to_string()),
        (ID, header.id.to_string()),
        (KIND, header.kind.to_string()),
        (LANE, header.lane.to_string()),
        (CREATED_AT, header.created_at.to_string()),
        (EPOCH, header.epoch.to_string()),
    ]);
    if let Some(trace) = &header.trace {
        metadata.insert(TRACE, trace);
    }
    metadata
}

/// The version, and the header.
fn header(metadata: &Metadata) -> Result<(u32, Header), FrameError> {
    let version: u32 = value(metadata, VERSION)?;
    if !(1..=FORMAT_VERSION).contains(&version) {
        return Err(FrameError::Header { key: VERSION, value: version.to_string() });
    }
    let header = Header {
        id: value(metadata, ID)?,
        kind: value(metadata, KIND)?,
        lane: Lane(value(metadata, LANE)?),
        created_at: value(metadata, CREATED_AT)?,
        epoch: value(metadata, EPOCH)?,
        trace: metadata.get(TRACE).cloned(),
    };
    Ok((version, header))
}

fn value<T: FromStr>(metadata: &Metadata, key: &'static str) -> Result<T, FrameError> {
    let text = metadata.get(key).map(String::as_str).unwrap_or_default();
    text.parse().map_err(|_| FrameError::Header { key, value: text.to_owned() })
}
