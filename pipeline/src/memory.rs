//! What rows take in memory.

use arrow_array::{Array, RecordBatch};

/// What rows take in memory, but for what every column takes however many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Bytes of the allocations that the rows hold, each counted once: columns may share one, and rows that were cut out of
    /// others hold all of these.
    pub(crate) held: usize,
    /// Bytes that the rows alone would need.
    pub(crate) needed: usize,
}

impl Memory {
    pub(crate) fn of(rows: &RecordBatch) -> Self {
        let (mut allocations, mut needed) = (Vec::with_capacity(64), 0);
        let mut left: Vec<_> = rows.columns().iter().map(|column| column.to_data()).collect();
        for column in &left {
            // Only types that no frame has cannot tell.
            needed += column.get_slice_memory_size().unwrap_or_default();
        }
        while let Some(data) = left.pop() {
            let nulls = data.nulls().map(|nulls| nulls.buffer());
            let buffers = data.buffers().iter().chain(nulls);
            allocations.extend(buffers.map(|buffer| (buffer.data_ptr(), buffer.capacity())));
            left.extend_from_slice(data.child_data());
        }
        allocations.sort_unstable();
        allocations.dedup();
        Self { held: allocations.iter().map(|(_, bytes)| bytes).sum(), needed }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int64Array};

    use super::*;

    #[test]
    fn a_slice_holds_all_and_needs_little() {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1000));
        let rows = RecordBatch::try_from_iter([("a", Arc::clone(&column)), ("b", column)]).unwrap();
        assert_eq!(
            Memory::of(&rows),
            Memory { held: 8000, needed: 16_000 },
            "two columns share their values"
        );
        assert_eq!(Memory::of(&rows.slice(10, 5)), Memory { held: 8000, needed: 80 });
    }
}
