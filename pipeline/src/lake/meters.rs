//! What was written.

use std::{
    mem,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use stages::store::Dataset;

/// What this process has written into a lake.
#[derive(Debug, Default)]
pub struct LakeMeters {
    written: [Written; Dataset::ALL.len()],
    trouble: Mutex<Option<String>>,
}

#[derive(Debug, Default)]
struct Written {
    files: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
    compact: Compacted,
}

#[derive(Debug, Default)]
struct Compacted {
    partitions: AtomicU64,
    files: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
}

/// What was written of one dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatasetStats {
    /// Of which.
    pub dataset: Dataset,
    /// Files that are in the lake.
    pub files: u64,
    /// Rows in them.
    pub rows: u64,
    /// Their size.
    pub bytes: u64,
    /// What compaction has done with these and others.
    pub compact: CompactStats,
}

/// What compaction has done in one dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompactStats {
    /// How often a partition got other files.
    pub partitions: u64,
    /// Files that became parts of others.
    pub files: u64,
    /// Rows in them.
    pub rows: u64,
    /// The size of what they became.
    pub bytes: u64,
}

impl LakeMeters {
    /// A file has come into the lake.
    pub(super) fn published(&self, dataset: Dataset, rows: usize, bytes: u64) {
        if let Some((_, written)) = self.entries().find(|(known, _)| *known == dataset) {
            written.files.fetch_add(1, Relaxed);
            written.rows.fetch_add(rows as u64, Relaxed);
            written.bytes.fetch_add(bytes, Relaxed);
        }
    }

    /// A partition has got merged files of so many bytes in the place of `files`.
    pub(super) fn compacted(&self, dataset: Dataset, files: u64, rows: u64, bytes: u64) {
        if let Some((_, Written { compact, .. })) = self.entries().find(|(known, _)| *known == dataset) {
            compact.partitions.fetch_add(1, Relaxed);
            compact.files.fetch_add(files, Relaxed);
            compact.rows.fetch_add(rows, Relaxed);
            compact.bytes.fetch_add(bytes, Relaxed);
        }
    }

    /// What was written since the start of this process.
    pub fn stats(&self) -> Vec<DatasetStats> {
        let stats = |(dataset, written): (Dataset, &Written)| DatasetStats {
            dataset,
            files: written.files.load(Relaxed),
            rows: written.rows.load(Relaxed),
            bytes: written.bytes.load(Relaxed),
            compact: CompactStats {
                partitions: written.compact.partitions.load(Relaxed),
                files: written.compact.files.load(Relaxed),
                rows: written.compact.rows.load(Relaxed),
                bytes: written.compact.bytes.load(Relaxed),
            },
        };
        self.entries().map(stats).collect()
    }

    fn entries(&self) -> impl Iterator<Item = (Dataset, &Written)> {
        Dataset::ALL.into_iter().zip(&self.written)
    }

    /// Why rows cannot be written now, if anything.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Rows cannot be written now for this reason, or can again; answers whether they could not before.
    pub(super) fn troubled(&self, reason: Option<String>) -> bool {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        mem::replace(&mut *trouble, reason).is_some()
    }
}
