//! What a look through a lake asks of the world, and what it tells.

use std::collections::HashSet;

use stages::store::Dataset;

use super::{
    super::LakeError,
    listing::{Listing, PartitionPath},
};

/// What the data file knows of the lake's files.
#[derive(Debug, Clone, Default)]
pub struct Named {
    /// The paths, inside the lake, that any intent names.
    pub paths: HashSet<String>,
    /// The rolls that have one.
    pub rolls: HashSet<String>,
}

/// The world, as far as a pass has to ask it.
pub struct Surroundings<'a> {
    /// Reads the intents, as they are now.
    pub intents: &'a dyn Fn() -> Result<Named, LakeError>,
    /// Whether the pass is to end at the next opportunity.
    pub is_stopping: &'a dyn Fn() -> bool,
}

/// What became of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompactedPartition {
    /// Of which.
    pub dataset: Dataset,
    /// Its directory inside the lake.
    pub partition: String,
    /// Files that became fewer.
    pub merged: u64,
    /// Rows in these; 0 in a dry run.
    pub rows: u64,
    /// Files and their bytes.
    pub before: (u64, u64),
    /// The same afterwards; in a dry run, with bytes as if they just added up.
    pub after: (u64, u64),
}

/// What came of a look through a lake.
#[derive(Debug, Default)]
pub struct Pass {
    /// The partitions whose files are others now.
    pub partitions: Vec<CompactedPartition>,
    /// How many partitions have files that could not be merged yet: store has not settled them, or somebody else was at
    /// work there.
    pub waiting: u64,
    /// Files and partitions that were left alone, and why.
    pub troubles: Vec<String>,
}

impl CompactedPartition {
    /// Before anything is merged.
    pub(super) fn of(partition: &PartitionPath, listing: &Listing) -> Self {
        let totals = listing.totals();
        let (dataset, partition) = (partition.dataset, partition.relative.clone());
        Self { dataset, partition, merged: 0, rows: 0, before: totals, after: totals }
    }
}
