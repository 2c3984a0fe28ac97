//! What the rows of a dataset are sorted by, batch for batch: for merging files that are sorted already.

use std::cmp::Ordering;

use arrow_array::{
    Array, DictionaryArray, RecordBatch, StringArray, TimestampMicrosecondArray, types::Int32Type,
};

use super::Dataset;
use crate::frame::{FrameError, Micros};

/// The names and instants of the rows of one batch.
#[derive(Debug, Clone)]
pub struct Keys {
    names: DictionaryArray<Int32Type>,
    values: StringArray,
    instants: TimestampMicrosecondArray,
}

impl Keys {
    /// Those of `rows`, of which there is at least one.
    ///
    /// # Errors
    /// When a column that the dataset is sorted by is missing, or of another type.
    pub fn of(dataset: Dataset, rows: &RecordBatch) -> Result<Self, FrameError> {
        Ok(Self {
            names: dataset.names(rows)?.clone(),
            values: dataset.name_values(rows)?.clone(),
            instants: dataset.instants(rows)?.clone(),
        })
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.instants.len()
    }

    /// What a row is sorted by.
    pub fn of_row(&self, row: usize) -> (&str, Micros) {
        let name = self.names.key(row).filter(|key| self.values.is_valid(*key));
        (name.map_or("", |key| self.values.value(key)), self.instants.value(row))
    }

    /// Whether each row comes after the one before it, or is equal.
    pub fn is_sorted(&self) -> bool {
        (1..self.rows()).all(|row| {
            if self.shares_name(row - 1, row) {
                self.instants.value(row - 1) <= self.instants.value(row)
            } else {
                self.of_row(row - 1) <= self.of_row(row)
            }
        })
    }

    /// The first row from `from` on that comes after `bound`, or, unless `or_equal`, is equal to it. The rows are sorted.
    pub fn end_before(&self, from: usize, bound: (&str, Micros), or_equal: bool) -> usize {
        let mut row = from;
        while row < self.rows() {
            let end = (row + 1..self.rows()).find(|next| !self.shares_name(row, *next));
            let end = end.unwrap_or(self.rows());
            match self.of_row(row).0.cmp(bound.0) {
                Ordering::Less => row = end,
                Ordering::Greater => return row,
                Ordering::Equal => {
                    let before = |ts: Micros| ts < bound.1 || (or_equal && ts == bound.1);
                    let within = &self.instants.values()[row..end];
                    row += within.partition_point(|ts| before(*ts));
                    if row < end {
                        return row;
                    }
                }
            }
        }
        row
    }

    /// Tells quickly that two rows have the same name; where it does not, they may have all the same.
    fn shares_name(&self, row: usize, other: usize) -> bool {
        self.names.keys().values()[row] == self.names.keys().values()[other]
    }
}
