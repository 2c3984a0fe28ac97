//! Merging sorted files into one, a few rows of each in memory at a time.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs::File,
    io, mem,
    path::{Path, PathBuf},
    rc::Rc,
};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::{
    arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder},
    errors::ParquetError,
};
use rustix::io::Errno;
use stages::{
    frame::Micros,
    store::{Dataset, Keys, Stretch},
};

use super::{
    super::{Batches, parquet::Writer},
    footer::Footer,
};

/// Rows and bytes of them that are put in order before they are written.
const GATHERED_ROWS: usize = 16_384;
const GATHERED_BYTES: usize = 8 << 20;

/// Why files were not merged.
#[derive(Debug)]
pub(in crate::lake) enum MergeError {
    /// One of them cannot be read, or is not sorted: which, and why.
    Input(PathBuf, String),
    /// The merged file cannot be filled.
    Encoding(ParquetError),
    /// One of them cannot be opened just now, which says nothing about it.
    NotNow,
    /// The process is to stop.
    Stopped,
}

impl From<ParquetError> for MergeError {
    fn from(error: ParquetError) -> Self {
        Self::Encoding(error)
    }
}

/// Writes the rows of the files at `paths`, each sorted and all with the same columns, in order into `file`; rows equal in
/// what they are sorted by in the order of the files. Answers the complete file, not synced, and how many rows it has.
pub(in crate::lake) fn merge(
    paths: &[PathBuf],
    dataset: Dataset,
    file: File,
    is_stopping: &dyn Fn() -> bool,
) -> Result<(File, u64), MergeError> {
    let mut inputs = Vec::with_capacity(paths.len());
    let mut schema: Option<SchemaRef> = None;
    for path in paths {
        let (input, columns) = Input::open(path.clone(), dataset)?;
        inputs.push(input);
        schema.get_or_insert(columns);
    }
    let Some(schema) = schema else { return Ok((file, 0)) };
    let mut output =
        Output { writer: Writer::new(file, dataset, schema)?, gathered: Gathered::default(), rows: 0 };
    // The rows that come next, one of each file.
    let mut heads = BinaryHeap::with_capacity(inputs.len());
    for (index, input) in inputs.iter_mut().enumerate() {
        heads.extend(input.head()?.map(|(name, ts)| Reverse((name, ts, index))));
    }
    while let Some(Reverse((_, _, index))) = heads.pop() {
        let next = heads.peek().map(|Reverse((name, ts, other))| ((&**name, *ts), index < *other));
        let Some(input) = inputs.get_mut(index) else { break };
        input.give(next, &mut output.gathered);
        if output.gathered.is_full() {
            if is_stopping() {
                return Err(MergeError::Stopped);
            }
            output.write(&mut inputs)?;
        }
        if let Some(input) = inputs.get_mut(index) {
            heads.extend(input.head()?.map(|(name, ts)| Reverse((name, ts, index))));
        }
    }
    output.write(&mut inputs)?;
    Ok((output.writer.finish()?, output.rows))
}

/// A file that is read.
struct Input {
    path: PathBuf,
    dataset: Dataset,
    reader: ParquetRecordBatchReader,
    current: Option<Current>,
    /// Rows that are not decoded yet, by the end of the file.
    left: u64,
    /// What the last row was sorted by.
    last: Option<(Rc<str>, Micros)>,
}

/// The rows of a file that are decoded, and the first of them that is not gathered.
struct Current {
    rows: RecordBatch,
    keys: Keys,
    row: usize,
    /// What a row takes, on average.
    row_bytes: usize,
    /// The place of the batch among those that rows are gathered from, once there are any of it.
    place: Option<usize>,
}

impl Input {
    fn open(path: PathBuf, dataset: Dataset) -> Result<(Self, SchemaRef), MergeError> {
        let open = || -> Result<_, String> {
            let file = File::open(&path).map_err(|error| error.to_string())?;
            let metadata = ArrowReaderMetadata::load(&file, Batches::options());
            let metadata = metadata.map_err(|error| error.to_string())?;
            let Footer { rows, batches, .. } = Footer::of(&metadata)?;
            let schema = metadata.schema().clone();
            let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata);
            let reader = reader.with_batch_size(batches.rows).build().map_err(|error| error.to_string())?;
            Ok((reader, schema, rows))
        };
        let (reader, schema, rows) = open().map_err(|reason| refused(&path, reason))?;
        Ok((Self { path, dataset, reader, current: None, left: rows, last: None }, schema))
    }

    /// What the next row is sorted by, if there is one more.
    fn head(&mut self) -> Result<Option<(Rc<str>, Micros)>, MergeError> {
        while self.current.as_ref().is_none_or(|current| current.row == current.keys.rows()) {
            let next = self.reader.next().transpose().map_err(|error| self.refused(error.to_string()))?;
            let Some(rows) = next else {
                self.current = None;
                let all = self.left == 0;
                return if all {
                    Ok(None)
                } else {
                    Err(self.refused(format!("{} rows are missing", self.left)))
                };
            };
            self.left = self.left.saturating_sub(rows.num_rows() as u64);
            let keys = Keys::of(self.dataset, &rows).map_err(|error| self.refused(error.to_string()))?;
            let row_bytes = rows.get_array_memory_size() / rows.num_rows().max(1);
            self.current = Some(Current { rows, keys, row: 0, row_bytes, place: None });
            self.check_order()?;
        }
        Ok(self.current.as_ref().map(|current| {
            let (name, ts) = current.keys.of_row(current.row);
            let known = self.last.as_ref().map(|(last, _)| last).filter(|last| &***last == name);
            (known.cloned().unwrap_or_else(|| name.into()), ts)
        }))
    }

    /// Whether the batch is sorted, and goes on from the one before it.
    fn check_order(&mut self) -> Result<(), MergeError> {
        let Some(Current { keys, .. }) = &self.current else { return Ok(()) };
        if keys.rows() == 0 {
            return Ok(());
        }
        let (first, (name, ts)) = (keys.of_row(0), keys.of_row(keys.rows() - 1));
        let goes_on = self.last.as_ref().is_none_or(|(last, ts)| (&**last, *ts) <= first);
        if !goes_on || !keys.is_sorted() {
            return Err(self.refused("its rows are not sorted".to_owned()));
        }
        self.last = Some((name.into(), ts));
        Ok(())
    }

    /// Gathers the rows up to `next`, which is the head of another file, and whether rows equal to it come before it.
    fn give(&mut self, next: Option<((&str, Micros), bool)>, gathered: &mut Gathered) {
        let Some(current) = &mut self.current else { return };
        let end = match next {
            Some((next, or_equal)) => current.keys.end_before(current.row, next, or_equal),
            None => current.keys.rows(),
        };
        // A bounded part, so that what is gathered is bounded.
        let end = end.min(current.row + GATHERED_ROWS);
        gathered.take(current, end);
    }

    fn refused(&self, reason: String) -> MergeError {
        refused(&self.path, reason)
    }
}

/// Why the file at `path` is not merged; to be asked while the files that are merged with it are open.
fn refused(path: &Path, reason: String) -> MergeError {
    if can_be_opened(path) { MergeError::Input(path.to_owned(), reason) } else { MergeError::NotNow }
}

/// Whether what a file was refused for is its own fault: not if it is gone, or this process has too many open or too
/// little memory. Parquet's readers open files anew all the time, and tell an error as a text.
pub(super) fn can_be_opened(path: &Path) -> bool {
    !File::open(path).is_err_and(|error| {
        error.kind() == io::ErrorKind::NotFound
            || [Errno::MFILE, Errno::NFILE, Errno::NOMEM]
                .contains(&Errno::from_io_error(&error).unwrap_or(Errno::IO))
    })
}

/// Rows in order, in the batches that they were decoded in.
#[derive(Default)]
struct Gathered {
    batches: Vec<RecordBatch>,
    order: Vec<Stretch>,
    rows: usize,
    bytes: usize,
}

impl Gathered {
    /// Takes the rows of a batch up to `end`.
    fn take(&mut self, current: &mut Current, end: usize) {
        let place = *current.place.get_or_insert_with(|| {
            self.batches.push(current.rows.clone());
            self.batches.len() - 1
        });
        let rows = end - current.row;
        self.bytes += rows * current.row_bytes;
        self.rows += rows;
        let narrow = |number| u32::try_from(number).unwrap_or(u32::MAX);
        self.order.push(Stretch { batch: narrow(place), first: narrow(current.row), rows: narrow(rows) });
        current.row = end;
    }

    fn is_full(&self) -> bool {
        self.rows >= GATHERED_ROWS || self.bytes >= GATHERED_BYTES
    }
}

/// The merged file.
struct Output {
    writer: Writer,
    gathered: Gathered,
    rows: u64,
}

impl Output {
    /// Writes what is gathered of `inputs`.
    fn write(&mut self, inputs: &mut [Input]) -> Result<(), MergeError> {
        let Gathered { batches, order, rows, .. } = mem::take(&mut self.gathered);
        for current in inputs.iter_mut().filter_map(|input| input.current.as_mut()) {
            current.place = None;
        }
        self.rows += rows as u64;
        let batches: Vec<_> = batches.iter().collect();
        Ok(self.writer.write(&batches, &order)?)
    }
}
