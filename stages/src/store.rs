//! store: which partition of the lake each row belongs to, and in which order rows are written.
//!
//! The Parquet files themselves, and when to write them, are the business of the shell.

mod arrange;
mod compact;
mod gather;
mod keys;
mod partition;
#[cfg(test)]
mod tests;

use arrow_array::{
    Array, BooleanArray, DictionaryArray, RecordBatch, StringArray, TimestampMicrosecondArray,
    types::Int32Type,
};
use arrow_schema::Schema;
use arrow_select::filter::filter_record_batch;
use xxhash_rust::xxh3::Xxh3;

pub use self::{
    arrange::{Run, Stretch, arrange},
    compact::{CompactOptions, StoredFile, merged_name, merges},
    gather::Gather,
    keys::Keys,
    partition::{Granularity, Partition},
};
use crate::frame::{FrameError, Kind, Micros};

/// The name of the stage: in ids, books and logs.
pub const STAGE: &str = "store";

/// A dataset of the lake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dataset {
    /// Readings, by event time.
    Readings,
    /// Windows, by their start.
    Aggregates,
    /// Alerts, by transition.
    Alerts,
    /// Refused messages, by receipt.
    Quarantine,
}

impl Dataset {
    /// Every dataset.
    pub const ALL: [Self; 4] = [Self::Readings, Self::Aggregates, Self::Alerts, Self::Quarantine];

    /// Where rows of this kind belong; *messages* are not stored, and a *tick* has none.
    pub fn of(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Messages | Kind::Tick => None,
            Kind::Readings => Some(Self::Readings),
            Kind::Aggregates => Some(Self::Aggregates),
            Kind::Alerts => Some(Self::Alerts),
            Kind::Quarantine => Some(Self::Quarantine),
        }
    }

    /// The name of its directory in the lake.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Readings => "readings",
            Self::Aggregates => "aggregates",
            Self::Alerts => "alerts",
            Self::Quarantine => "quarantine",
        }
    }

    /// The columns that its files are sorted by: a name, then an instant.
    pub fn sorted_by(self) -> [&'static str; 2] {
        match self {
            Self::Readings | Self::Alerts => ["device_id", "ts"],
            Self::Aggregates => ["device_id", "start"],
            Self::Quarantine => ["topic", "received_at"],
        }
    }

    fn kind(self) -> Kind {
        match self {
            Self::Readings => Kind::Readings,
            Self::Aggregates => Kind::Aggregates,
            Self::Alerts => Kind::Alerts,
            Self::Quarantine => Kind::Quarantine,
        }
    }

    fn names(self, rows: &RecordBatch) -> Result<&DictionaryArray<Int32Type>, FrameError> {
        self.column(rows, self.sorted_by()[0])
    }

    fn name_values(self, rows: &RecordBatch) -> Result<&StringArray, FrameError> {
        let values = self.names(rows)?.values().as_any().downcast_ref();
        let column = || self.sorted_by()[0].to_owned();
        values.ok_or_else(|| FrameError::Column { kind: self.kind(), column: column() })
    }

    fn instants(self, rows: &RecordBatch) -> Result<&TimestampMicrosecondArray, FrameError> {
        self.column(rows, self.sorted_by()[1])
    }

    fn column<'a, T: Array + 'static>(self, rows: &'a RecordBatch, name: &str) -> Result<&'a T, FrameError> {
        let column = rows.column_by_name(name).and_then(|column| column.as_any().downcast_ref());
        column.ok_or_else(|| FrameError::Column { kind: self.kind(), column: name.to_owned() })
    }
}

/// Names the columns of rows. Rows of one dataset may differ in them after a change of config, and are then
/// written to files of their own.
pub fn columns_id(schema: &Schema) -> u64 {
    let mut hash = Xxh3::new();
    for field in schema.fields() {
        hash.update(format!("{} {} {}\n", field.name(), field.data_type(), field.is_nullable()).as_bytes());
    }
    hash.digest()
}

/// Whether the rows can be arranged.
///
/// # Errors
/// When a column that the dataset is sorted by is missing, or of another type.
pub fn check(dataset: Dataset, rows: &RecordBatch) -> Result<(), FrameError> {
    dataset.name_values(rows)?;
    dataset.instants(rows).map(drop)
}

/// The rows that do not lie in `written`: what an interrupted writer already put into the lake.
///
/// # Errors
/// When the column that the dataset is partitioned by is missing.
pub fn without_written(
    dataset: Dataset,
    rows: &RecordBatch,
    written: &[Partition],
) -> Result<RecordBatch, FrameError> {
    if written.is_empty() {
        return Ok(rows.clone());
    }
    let open = |ts: Micros| !written.iter().any(|partition| partition.contains(ts));
    let keep: BooleanArray = dataset.instants(rows)?.values().iter().map(|ts| Some(open(*ts))).collect();
    Ok(filter_record_batch(rows, &keep)?)
}
