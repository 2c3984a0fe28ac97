//! The rows that wait for the next roll.

use std::{fmt, mem};

use arrow_array::RecordBatch;
use arrow_select::concat::concat_batches;
use stages::{
    frame::FrameError,
    store::{self, Dataset, Partition},
};

use super::intents::{Claim, GivenUp};
use crate::memory::Memory;

/// So many batches of frames are joined into one: a batch of a few rows costs more in columns than
/// in rows. And as soon as they have so many rows, since joining them takes their memory once more.
const JOINED_BATCHES: usize = 64;
const JOINED_ROWS: usize = 65_536;
/// A batch of so many rows is left as it is, unless it holds more than a quarter beyond what its rows need.
const WHOLE_ROWS: usize = 4096;

/// Rows of frames that the store worker holds, by dataset and columns.
#[derive(Debug, Default)]
pub(super) struct Collection {
    pub(super) frames: Vec<Claim>,
    /// Rolls of them that came to nothing.
    pub(super) given_up: Vec<GivenUp>,
    pub(super) groups: Vec<Group>,
    pub(super) rows: usize,
    pub(super) bytes: usize,
}

/// Which rows share files: those of one dataset with the same columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GroupKey {
    pub(super) dataset: Dataset,
    columns: u64,
}

impl GroupKey {
    pub(super) fn of(dataset: Dataset, rows: &RecordBatch) -> Self {
        Self { dataset, columns: store::columns_id(&rows.schema()) }
    }
}

impl fmt::Display for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:016x}", self.dataset.as_str(), self.columns)
    }
}

/// Rows that share files.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) key: GroupKey,
    pub(super) batches: Vec<RecordBatch>,
    /// The newest batches, not joined yet.
    small: Vec<RecordBatch>,
}

impl Collection {
    /// Adds what is to be written of a frame; may be no row at all.
    pub(super) fn add(&mut self, claim: Claim, key: GroupKey, rows: RecordBatch) -> Result<(), FrameError> {
        self.frames.push(claim);
        self.add_rows(key, rows)
    }

    fn add_rows(&mut self, key: GroupKey, rows: RecordBatch) -> Result<(), FrameError> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        self.rows += rows.num_rows();
        let Memory { held, needed } = Memory::of(&rows);
        let is_whole = rows.num_rows() >= WHOLE_ROWS && held <= needed + needed / 4;
        // What the others hold beyond what they need is gone once they are joined.
        self.bytes += if is_whole { held } else { needed };
        let at = self.groups.iter().position(|group| group.key == key).unwrap_or_else(|| {
            self.groups.push(Group { key, batches: Vec::new(), small: Vec::new() });
            self.groups.len() - 1
        });
        self.groups[at].add(rows, is_whole)
    }

    /// The same frames without the rows that are `written` already.
    pub(super) fn without(&self, written: &[(GroupKey, Partition)]) -> Result<Self, FrameError> {
        let (frames, given_up) = (self.frames.clone(), self.given_up.clone());
        let mut left = Self { frames, given_up, ..Self::default() };
        for group in &self.groups {
            let of_group = written.iter().filter(|(key, _)| *key == group.key);
            let partitions: Vec<_> = of_group.map(|(_, partition)| *partition).collect();
            for rows in &group.batches {
                left.add_rows(group.key, store::without_written(group.key.dataset, rows, &partitions)?)?;
            }
        }
        left.join()?;
        Ok(left)
    }

    /// Joins what is not joined yet: a roll takes whole batches.
    pub(super) fn join(&mut self) -> Result<(), FrameError> {
        self.groups.iter_mut().try_for_each(Group::join)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }
}

impl Group {
    fn add(&mut self, rows: RecordBatch, is_whole: bool) -> Result<(), FrameError> {
        if is_whole {
            // Rows keep the order in which they came.
            self.join()?;
            self.batches.push(rows);
            return Ok(());
        }
        self.small.push(rows);
        let rows: usize = self.small.iter().map(RecordBatch::num_rows).sum();
        if self.small.len() >= JOINED_BATCHES || rows >= JOINED_ROWS { self.join() } else { Ok(()) }
    }

    fn join(&mut self) -> Result<(), FrameError> {
        let mut small = mem::take(&mut self.small);
        if let Some(first) = small.first().cloned() {
            // Arrow does not copy one that is alone, and with it would stay what it holds beyond its rows.
            small.push(first.slice(0, 0));
            self.batches.push(concat_batches(&first.schema(), &small)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use stages::{
        frame::{FrameId, Header, Kind, Lane, Reading, ReadingsBuilder},
        store::Granularity,
    };

    use super::*;

    fn rows(tags: &[String]) -> RecordBatch {
        let mut builder = ReadingsBuilder::new(tags);
        builder.append(&Reading {
            device_id: "a",
            metric: "temperature",
            value: Some(1.0),
            ..Reading::default()
        });
        let id = FrameId([0; 16]);
        let header = Header { id, kind: Kind::Readings, lane: Lane(0), created_at: 0, epoch: 0, trace: None };
        builder.finish(header).unwrap().rows
    }

    #[test]
    fn rows_keep_their_order_and_their_memory_is_counted() {
        let of_rows = |count: usize| {
            let one = rows(&[]);
            concat_batches(&one.schema(), &vec![one.clone(); count]).unwrap()
        };
        let mut collection = Collection::default();
        let counts = [10, WHOLE_ROWS, 20, 30, WHOLE_ROWS + 1];
        for count in counts {
            let rows = of_rows(count);
            let key = GroupKey::of(Dataset::Readings, &rows);
            collection.add(Claim::first(FrameId([0; 16])), key, rows).unwrap();
        }
        // Rows of a large batch, and all that it holds.
        let part = of_rows(20 * WHOLE_ROWS).slice(0, WHOLE_ROWS);
        let key = GroupKey::of(Dataset::Readings, &part);
        collection.add(Claim::first(FrameId([0; 16])), key, part).unwrap();
        collection.join().unwrap();
        let batches = &collection.groups[0].batches;
        let joined: Vec<_> = batches.iter().map(RecordBatch::num_rows).collect();
        assert_eq!(joined, [10, WHOLE_ROWS, 50, WHOLE_ROWS + 1, WHOLE_ROWS]);
        let held: usize = batches.iter().map(|rows| Memory::of(rows).held).sum();
        assert!(held < collection.bytes * 5 / 4, "{held} bytes, of which {} are counted", collection.bytes);
    }

    #[test]
    fn what_is_written_with_some_columns_says_nothing_of_rows_with_others() {
        let (plain, tagged) = (rows(&[]), rows(&["site".to_owned()]));
        let keys = [&plain, &tagged].map(|rows| GroupKey::of(Dataset::Readings, rows));
        assert_ne!(keys[0], keys[1]);
        let mut collection = Collection::default();
        for (index, rows) in [plain, tagged].into_iter().enumerate() {
            let id = FrameId([u8::try_from(index).unwrap(); 16]);
            collection.add(Claim::first(id), keys[index], rows).unwrap();
        }
        collection.join().unwrap();
        let today = Granularity::Day.partition(0);
        let left = collection.without(&[(keys[0], today)]).unwrap();
        assert_eq!((left.rows, left.frames.len()), (1, 2), "both frames are held, one has a row to write");
        assert_eq!(left.groups[0].key, keys[1]);
    }
}
