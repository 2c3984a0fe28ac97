//! Some rows of a device that came after each other.

use std::{collections::HashSet, hash::BuildHasher};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use xxhash_rust::xxh3::Xxh3Builder;

use super::{code::Context, row::Row};
use crate::frame::Micros;

/// A chunk of this size is full …
const BYTES_MAX: usize = 2048;
/// … and so is one of this size that spans so much event time: rows are forgotten by the chunk.
const BYTES_MIN: usize = 256;
const SPAN_MAX: Micros = 60_000_000;
/// What a chunk takes beside its bytes, about.
const COST: usize = size_of::<Chunk>() + 16;
/// In so many bytes a row is looked for without an index.
const SCANNED_MAX: usize = 96;

/// Rows, as bytes.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    /// The time of its oldest and of its newest row.
    oldest: Micros,
    pub(super) newest: Micros,
    pub(super) rows: u32,
    /// How many of its bytes and rows the deltas hold.
    saved: (usize, u32),
    bytes: Vec<u8>,
    index: Option<Box<Index>>,
}

/// What an index takes for a row and beside its rows, about.
const INDEX_COST: (usize, usize) = (size_of::<u64>() + 2, size_of::<Index>() + 128);

/// The rows of a chunk that was looked into, until nobody does any more.
#[derive(Debug, Default)]
struct Index {
    context: Context,
    read: usize,
    /// Hashes of them.
    rows: HashSet<u64>,
    used: bool,
}

impl Chunk {
    pub(super) fn push(&mut self, row: &Row, context: &mut Context) {
        let first = self.bytes.is_empty();
        context.write(row, &mut self.bytes);
        self.rows += 1;
        self.oldest = if first { row.ts } else { self.oldest.min(row.ts) };
        self.newest = if first { row.ts } else { self.newest.max(row.ts) };
    }

    pub(super) fn is_full(&self) -> bool {
        let spans = self.newest.saturating_sub(self.oldest) > SPAN_MAX;
        self.bytes.len() >= BYTES_MAX || (spans && self.bytes.len() >= BYTES_MIN)
    }

    /// Nothing will be added.
    pub(super) fn close(&mut self) {
        self.bytes.shrink_to_fit();
    }

    /// What it takes of memory.
    pub(super) fn size(&self) -> usize {
        COST + self.bytes.len()
    }

    /// What a reader knows at its end.
    pub(super) fn context(&self) -> Context {
        let (mut context, mut rest) = (Context::default(), &self.bytes[..]);
        while context.read(&mut rest).is_some() {}
        context
    }

    pub(super) fn contains(&mut self, row: &Row) -> bool {
        if row.ts < self.oldest || row.ts > self.newest {
            return false;
        }
        if self.bytes.len() <= SCANNED_MAX {
            let (mut context, mut rest) = (Context::default(), &self.bytes[..]);
            return std::iter::from_fn(|| context.read(&mut rest)).any(|known| known == *row);
        }
        let index = self.index.get_or_insert_default();
        let mut rest = self.bytes.get(index.read..).unwrap_or_default();
        while let Some(known) = index.context.read(&mut rest) {
            index.rows.insert(hash(&known));
        }
        (index.read, index.used) = (self.bytes.len(), true);
        index.rows.contains(&hash(row))
    }

    /// Lets go of an index that was not used since the last time.
    pub(super) fn rest(&mut self) {
        if !self.index.as_mut().is_some_and(|index| std::mem::take(&mut index.used)) {
            self.index = None;
        }
    }

    /// Lets go of the index in any case.
    pub(super) fn drop_index(&mut self) {
        self.index = None;
    }

    /// What the index takes of memory.
    pub(super) fn index_size(&self) -> usize {
        let (row, rest) = INDEX_COST;
        self.index.as_ref().map_or(0, |index| index.rows.capacity() * row + rest)
    }

    pub(super) fn is_saved(&self) -> bool {
        self.saved.0 == self.bytes.len()
    }

    /// What no delta holds of it, or all.
    pub(super) fn entry(&mut self, all: bool) -> ChunkEntry {
        let (from, rows) = if all { (0, 0) } else { self.saved };
        self.saved = (self.bytes.len(), self.rows);
        let Self { oldest, newest, .. } = *self;
        let bytes = Bytes(self.bytes[from..].to_vec());
        ChunkEntry { goes_on: from > 0, oldest, newest, rows: self.rows - rows, bytes }
    }

    pub(super) fn apply(&mut self, entry: ChunkEntry) {
        (self.oldest, self.newest) = (entry.oldest, entry.newest);
        self.rows += entry.rows;
        match self.bytes.is_empty() {
            true => self.bytes = entry.bytes.0,
            false => self.bytes.extend(entry.bytes.0),
        }
        self.saved = (self.bytes.len(), self.rows);
    }
}

fn hash(row: &Row) -> u64 {
    Xxh3Builder::new().hash_one(row)
}

/// Rows to add to a chunk, or to a new one.
#[derive(Serialize, Deserialize)]
pub(in crate::analyze) struct ChunkEntry {
    /// Whether they go on in the last chunk there is.
    pub(super) goes_on: bool,
    oldest: Micros,
    newest: Micros,
    rows: u32,
    bytes: Bytes,
}

/// Written in one piece, not as numbers.
struct Bytes(Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_byte_buf(BytesVisitor)
    }
}

struct BytesVisitor;

impl de::Visitor<'_> for BytesVisitor {
    type Value = Bytes;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
        Ok(Bytes(bytes.to_vec()))
    }

    fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
        Ok(Bytes(bytes))
    }
}
