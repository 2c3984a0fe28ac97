//! The books: counters that only rise, of lanes beside their state, of stages without state in shards.

use std::collections::BTreeMap;

use stages::{alert, analyze, frame::Lane, plan::Counts, store, transform, validate};

use super::{Change, Item, Key, Table, TableError, item::number_of};
use crate::quarantine;

/// Every stage that has books.
const STAGES: [&str; 8] = [
    "ingest",
    quarantine::STAGE,
    validate::STAGE,
    transform::STAGE,
    analyze::STAGE,
    alert::STAGE,
    store::STAGE,
    "notify",
];

/// Items that share the books of a stage: two writes of one item at the same time get in each other's way.
const SHARDS: u64 = 256;

/// The names of the counters.
const COUNTERS: [&str; 6] = ["consumed", "quarantined", "repeated", "filtered", "produced", "late"];

impl Change {
    /// Adds to the books in this item.
    pub(crate) fn count(self, counts: &Counts) -> Self {
        let &Counts { consumed, quarantined, repeated, filtered, produced, late } = counts;
        let values = [consumed, quarantined, repeated, filtered, produced, late];
        let counted = COUNTERS.iter().zip(values).filter(|(_, value)| *value > 0);
        counted.fold(self, |change, (name, value)| change.add(name, value))
    }
}

impl Table {
    /// Adds to the books of a stage; none where there is nothing to add.
    pub(crate) fn count(&self, stage: &str, counts: &Counts) -> Option<Change> {
        let shard = format!("{:02x}", self.inner.writer % SHARDS);
        (*counts != Counts::default()).then(|| Change::of(Key::new(books(stage), shard)).count(counts))
    }

    /// What became of rows so far, by stage.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn books(&self) -> Result<BTreeMap<String, Counts>, TableError> {
        let lanes = u16::try_from(self.lanes().await?.unwrap_or_default()).unwrap_or(u16::MAX);
        let mut totals = BTreeMap::new();
        for stage in STAGES {
            let mut items = self.range(&books(stage), ("0", "g"), &[]).await?;
            let heads: Vec<_> = (0..lanes).map(|lane| Key::head(stage, Lane(lane))).collect();
            items.extend(self.get_all(&heads).await?.into_values());
            for item in items {
                *totals.entry(stage.to_owned()).or_insert_with(Counts::default) += counts_of(&item);
            }
        }
        Ok(totals)
    }
}

fn books(stage: &str) -> String {
    format!("books#{stage}")
}

fn counts_of(item: &Item) -> Counts {
    let of = |name| number_of(item, name).unwrap_or_default();
    let [consumed, quarantined, repeated, filtered, produced, late] = COUNTERS.map(of);
    Counts { consumed, quarantined, repeated, filtered, produced, late }
}
