//! The recent rows of a device: what tells a repeat.
//!
//! A row that is newer than all others of its metric cannot be a repeat, so rows are mostly written down and never looked
//! for. Hence they are kept as they came, as the difference of each to the one before it: two to three bytes for a
//! reading of a device that sends some metrics together, at even times or with numbers. Nothing is left out of device, metric,
//! time, and sequence number, nor of a value with up to three decimals that has at most twelve digits, so rows of these are told apart for
//! certain. Of other values, of −0 and of texts 40 bits of a hash are kept: of two rows that differ in nothing else one is lost once in 10¹².
//!
//! Rows are forgotten by the *chunk*, a few hundred at once. One that is looked into gets an index, for as long as it is used, within a
//! bound for the lane. A row is looked for in each chunk whose span of time it lies in: of a device that sends in order, or a backlog
//! in order, that is one or two. Where a clock stands still all rows lie in all chunks, and one that is no repeat is looked for in each: 16 look-ups
//! for 32 KiB of the device; and where its indexes exceed the bound for all, its chunks are read again for each frame.

mod chunk;
mod code;
mod row;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use self::{chunk::Chunk, code::Context};
pub(super) use self::{
    chunk::ChunkEntry,
    row::{Row, metric_hash},
};
use crate::frame::Micros;

/// The recent rows of a device.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// In the order in which they came; the last one is added to until it is full.
    chunks: VecDeque<Chunk>,
    /// Where the last chunk stands, unless it has to be found out.
    context: Option<Box<Context>>,
    /// What all chunks take.
    size: usize,
    /// What the indexes of chunks take, which hang on who looked: they are no part of the size.
    indexes: usize,
    /// No chunk ends before: none is forgotten until then.
    first: Option<Micros>,
}

impl Memory {
    /// Whether an equal row is remembered.
    pub(super) fn contains(&mut self, row: &Row) -> bool {
        let indexes = &mut self.indexes;
        // What comes again has mostly come not long ago.
        self.chunks.iter_mut().rev().any(|chunk| {
            let before = chunk.index_size();
            let known = chunk.contains(row);
            *indexes += chunk.index_size() - before;
            known
        })
    }

    /// About how many bytes the indexes of what was looked into take.
    pub(super) fn indexes(&self) -> usize {
        self.indexes
    }

    /// Lets go of all indexes.
    pub(super) fn drop_indexes(&mut self) {
        if std::mem::take(&mut self.indexes) > 0 {
            self.chunks.iter_mut().for_each(Chunk::drop_index);
        }
    }

    /// Remembers a row.
    pub(super) fn push(&mut self, row: &Row) {
        if self.chunks.back().is_none_or(Chunk::is_full) {
            if let Some(full) = self.chunks.back_mut() {
                full.close();
            }
            self.chunks.push_back(Chunk::default());
            self.context = Some(Box::default());
            self.size += self.chunks.back().map_or(0, Chunk::size);
            self.first = self.first.map(|first| first.min(row.ts));
        }
        let Some(chunk) = self.chunks.back_mut() else { return };
        let context = self.context.get_or_insert_with(|| Box::new(chunk.context()));
        let before = chunk.size();
        chunk.push(row, context);
        self.size += chunk.size() - before;
    }

    /// Forgets what is older than `horizon`, by the chunk. How many rows.
    pub(super) fn forget(&mut self, horizon: Micros) -> u64 {
        if self.indexes > 0 {
            self.chunks.iter_mut().for_each(Chunk::rest);
            self.indexes = self.chunks.iter().map(Chunk::index_size).sum();
        }
        if self.first.is_some_and(|first| first >= horizon) {
            return 0;
        }
        let newest = || self.chunks.iter().map(|chunk| chunk.newest);
        let mut forgotten = 0;
        if newest().any(|newest| newest < horizon) {
            if self.chunks.back().is_some_and(|last| last.newest < horizon) {
                self.context = None;
            }
            self.chunks.retain(|chunk| {
                let kept = chunk.newest >= horizon;
                forgotten += if kept { 0 } else { u64::from(chunk.rows) };
                kept
            });
            self.size = self.chunks.iter().map(Chunk::size).sum();
            self.indexes = self.chunks.iter().map(Chunk::index_size).sum();
        }
        self.first = self.chunks.iter().map(|chunk| chunk.newest).min();
        forgotten
    }

    /// Forgets all but the last so many chunks. How many rows.
    pub(super) fn forget_chunks(&mut self, chunks_max: usize) -> u64 {
        let beyond = self.chunks.len().saturating_sub(chunks_max.max(1));
        let forgotten = self.chunks.drain(..beyond).map(|chunk| {
            self.size -= chunk.size();
            self.indexes -= chunk.index_size();
            u64::from(chunk.rows)
        });
        forgotten.sum()
    }

    /// About how many bytes it takes.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// The newest row and the size of each chunk.
    pub(super) fn chunks(&self) -> impl DoubleEndedIterator<Item = (Micros, usize)> + ExactSizeIterator {
        self.chunks.iter().map(|chunk| (chunk.newest, chunk.size()))
    }

    /// What was added since the last time, or everything.
    pub(super) fn changes(&mut self, all: bool) -> Vec<ChunkEntry> {
        let unsaved = self.chunks.iter().rev().take_while(|chunk| all || !chunk.is_saved()).count();
        let from = self.chunks.len() - unsaved;
        self.chunks.iter_mut().skip(from).map(|chunk| chunk.entry(all)).collect()
    }

    /// Takes over what [`Memory::changes`] said; false when it goes on with what is not there.
    pub(super) fn apply(&mut self, entries: Vec<ChunkEntry>) -> bool {
        for entry in entries {
            if !entry.goes_on {
                if let Some(full) = self.chunks.back_mut() {
                    full.close();
                }
                self.chunks.push_back(Chunk::default());
                self.size += self.chunks.back().map_or(0, Chunk::size);
            }
            let Some(chunk) = self.chunks.back_mut() else { return false };
            let before = chunk.size();
            chunk.apply(entry);
            self.size += chunk.size() - before;
        }
        (self.context, self.first) = (None, None);
        true
    }
}
