//! What is compressed already: of a frame that a stage sends on, many columns are mostly those of the frames it was given,
//! or theirs joined.
//!
//! A buffer is taken for what frames have in the same column, one after the other, if it is the same memory or has the same
//! bytes: to compare them costs a small part of compressing them. The blocks of LZ4 that [`lz4`] writes stand alone, so
//! those of several buffers also stand behind each other.

#[cfg(test)]
mod tests;

use std::ops::Range;

use arrow_buffer::Buffer;
use arrow_schema::{Schema, SchemaRef};

use super::lz4;

/// Bytes that a block must stand for where there are several: what is compressed in small pieces takes more.
const BLOCK_BYTES_MIN: usize = 1 << 10;

/// A frame in the one codec.
#[derive(Debug)]
pub struct Encoded {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// How its buffers stand in them.
    pub packed: Packed,
}

/// How the buffers of a frame stand in its bytes.
#[derive(Debug)]
pub struct Packed {
    schema: SchemaRef,
    /// Where the body of each message begins.
    bodies: Vec<usize>,
    /// The buffers of each column, in the order in which they are written.
    columns: Vec<Vec<Piece>>,
}

/// A frame that was encoded before.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// How its buffers stand in them.
    pub packed: &'a Packed,
}

/// A buffer and its blocks.
#[derive(Debug)]
struct Piece {
    /// Without compression: memory of the frame's columns.
    bytes: Buffer,
    message: usize,
    /// Where the blocks are in the body of the message; nowhere if it is stored as it is.
    blocks: Range<usize>,
    count: usize,
}

/// A piece that is a part of a buffer.
pub(super) struct Found<'a> {
    bytes: &'a [u8],
    pub(super) blocks: &'a [u8],
    count: usize,
}

impl Default for Packed {
    fn default() -> Self {
        Self::of(Schema::empty().into())
    }
}

impl Packed {
    pub(super) fn of(schema: SchemaRef) -> Self {
        let columns = schema.fields().iter().map(|_| Vec::new()).collect();
        Self { schema, bodies: Vec::new(), columns }
    }

    /// What it takes in memory beside the frame and its bytes.
    pub fn memory_bytes(&self) -> usize {
        let pieces: usize = self.columns.iter().map(Vec::capacity).sum();
        pieces * size_of::<Piece>() + self.columns.len() * size_of::<Vec<Piece>>() + self.bodies.len() * 8
    }

    /// The column of `other` that has the name of a column here.
    pub(super) fn same_column(&self, column: usize, other: &Self) -> Option<usize> {
        other.schema.index_of(self.schema.field(column).name()).ok()
    }

    /// How many buffers of a column there are so far.
    pub(super) fn count(&self, column: usize) -> usize {
        self.columns[column].len()
    }

    pub(super) fn add(&mut self, column: usize, bytes: &Buffer, blocks: Range<usize>, count: usize) {
        let piece = Piece { bytes: bytes.clone(), message: self.bodies.len(), blocks, count };
        self.columns[column].push(piece);
    }

    /// Keeps nothing of the last buffer of a column: it was only made to be written.
    pub(super) fn forget_last(&mut self, column: usize) {
        if let Some(last) = self.columns[column].last_mut() {
            *last = Piece { bytes: Buffer::default(), message: last.message, blocks: 0..0, count: 0 };
        }
    }

    /// The body of a message begins at `place`; what is added from now on is of the next one.
    pub(super) fn end_message(&mut self, place: usize) {
        self.bodies.push(place);
    }
}

impl Source<'_> {
    fn find(&self, column: usize, number: usize) -> Option<Found<'_>> {
        let piece = self.packed.columns.get(column)?.get(number)?;
        let body = self.bytes.get(*self.packed.bodies.get(piece.message)?..)?;
        Some(Found { bytes: &piece.bytes, blocks: body.get(piece.blocks.clone())?, count: piece.count })
    }
}

impl Found<'_> {
    /// Adds the blocks to a frame of LZ4, and says how many.
    pub(super) fn add_to(&self, out: &mut Vec<u8>) -> usize {
        if self.blocks.is_empty() {
            return lz4::store(self.bytes, out);
        }
        out.extend_from_slice(self.blocks);
        self.count
    }
}

/// The pieces that `bytes` is made of, if they are those that all `sources` have in `number`-th place of a column.
pub(super) fn pieces<'a>(
    sources: &'a [Source<'a>],
    column: usize,
    number: usize,
    bytes: &[u8],
) -> Option<Vec<Found<'a>>> {
    let pieces: Vec<_> = sources.iter().map(|source| source.find(column, number)).collect::<Option<_>>()?;
    let length: usize = pieces.iter().map(|piece| piece.bytes.len()).sum();
    let blocks: usize = pieces.iter().map(|piece| piece.count.max(1)).sum();
    if length != bytes.len() || (blocks > 1 && length < blocks * BLOCK_BYTES_MIN) {
        return None;
    }
    let mut rest = bytes;
    let same = pieces.iter().all(|piece| {
        let (here, after) = rest.split_at(piece.bytes.len());
        rest = after;
        here.as_ptr() == piece.bytes.as_ptr() || here == piece.bytes
    });
    same.then_some(pieces)
}
