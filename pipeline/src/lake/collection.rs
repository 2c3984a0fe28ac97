//! The rows that wait for the next roll.

use std::mem;

use arrow_array::RecordBatch;
use arrow_select::concat::concat_batches;
use stages::{
    frame::{FrameError, FrameId},
    store::{self, Dataset, Partition},
};

/// So many batches of frames are joined into one: a batch of a few rows costs more in columns than
/// in rows.
const JOINED_BATCHES: usize = 64;

/// Rows of frames that the store worker holds, by dataset and columns.
#[derive(Debug, Default)]
pub(super) struct Collection {
    pub(super) frames: Vec<FrameId>,
    pub(super) groups: Vec<Group>,
    pub(super) rows: usize,
    pub(super) bytes: usize,
}

/// Rows of one dataset with the same columns: a changed config may add some.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) dataset: Dataset,
    pub(super) batches: Vec<RecordBatch>,
    /// The newest batches, not joined yet.
    small: Vec<RecordBatch>,
}

impl Collection {
    /// Adds what is to be written of a frame; may be no row at all.
    pub(super) fn add(&mut self, id: FrameId, dataset: Dataset, rows: RecordBatch) -> Result<(), FrameError> {
        self.frames.push(id);
        self.add_rows(dataset, rows)
    }

    fn add_rows(&mut self, dataset: Dataset, rows: RecordBatch) -> Result<(), FrameError> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        self.rows += rows.num_rows();
        self.bytes += rows.get_array_memory_size();
        let schema = rows.schema();
        let alike = |group: &&mut Group| group.dataset == dataset && group.schema().as_ref() == Some(&schema);
        match self.groups.iter_mut().find(alike) {
            Some(group) => group.add(rows),
            None => {
                self.groups.push(Group { dataset, batches: Vec::new(), small: vec![rows] });
                Ok(())
            }
        }
    }

    /// The same frames without the rows that are `written` already.
    pub(super) fn without(&self, written: &[(Dataset, Partition)]) -> Result<Self, FrameError> {
        let mut left = Self { frames: self.frames.clone(), ..Self::default() };
        for group in &self.groups {
            let of_dataset = written.iter().filter(|(dataset, _)| *dataset == group.dataset);
            let partitions: Vec<_> = of_dataset.map(|(_, partition)| *partition).collect();
            for rows in &group.batches {
                left.add_rows(group.dataset, store::without_written(group.dataset, rows, &partitions)?)?;
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
    fn schema(&self) -> Option<arrow_schema::SchemaRef> {
        self.small.first().or(self.batches.first()).map(RecordBatch::schema)
    }

    fn add(&mut self, rows: RecordBatch) -> Result<(), FrameError> {
        self.small.push(rows);
        if self.small.len() >= JOINED_BATCHES { self.join() } else { Ok(()) }
    }

    fn join(&mut self) -> Result<(), FrameError> {
        let small = mem::take(&mut self.small);
        if let Some(first) = small.first() {
            self.batches.push(concat_batches(&first.schema(), &small)?);
        }
        Ok(())
    }
}
