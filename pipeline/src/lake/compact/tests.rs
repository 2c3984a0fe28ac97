//! Lakes of a few files, and what compaction makes of them.

mod exchange;
mod order;

use std::{io, path::Path};

use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use arrow_array::RecordBatch;
use arrow_select::concat::concat_batches;
use stages::{
    frame::{FrameId, Header, Kind, Lane, Micros, Reading, ReadingsBuilder},
    store::Granularity,
};

use super::{
    super::{compactor::options, lock, parquet},
    *,
};

const DAY: &str = "readings/date=1970-01-01";

/// A row: its device, its instant, and its own number.
type Row = (String, Micros, u64);

fn header(kind: Kind) -> Header {
    Header { id: FrameId([0; 16]), kind, lane: Lane(0), created_at: 0, epoch: 0, trace: None }
}

fn readings(rows: &[Row], tags: &[String]) -> RecordBatch {
    let mut builder = ReadingsBuilder::new(tags);
    for (device_id, ts, message) in rows {
        builder.append(&Reading {
            device_id,
            metric: "level",
            ts: *ts,
            message: *message,
            tags: &vec![None; tags.len()],
            ..Reading::default()
        });
    }
    builder.finish(header(Kind::Readings)).unwrap().rows
}

/// Writes the rows of one partition as store does.
fn write(dataset: Dataset, path: &Path, rows: RecordBatch) {
    let batches = [rows];
    let runs = store::arrange(dataset, Granularity::Day, &batches).unwrap();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    parquet::write(File::create_new(path).unwrap(), dataset, &batches, &runs[0].1).unwrap();
}

fn read(path: &Path) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let schema = reader.schema().clone();
    let batches: Vec<_> = reader.build().unwrap().collect::<Result<_, _>>().unwrap();
    concat_batches(&schema, &batches).unwrap()
}

fn rows_of(rows: &RecordBatch) -> Vec<Row> {
    let keys = store::Keys::of(Dataset::Readings, rows).unwrap();
    let messages = rows.column_by_name("message").unwrap().as_any();
    let messages: &arrow_array::UInt64Array = messages.downcast_ref().unwrap();
    (0..rows.num_rows())
        .map(|row| (keys.of_row(row).0.to_owned(), keys.of_row(row).1, messages.value(row)))
        .collect()
}

/// A lake that lives as long as the test, with a partition of files, and what its intents name.
struct Fixture {
    root: tempfile::TempDir,
    lake: Directory,
    intents: Named,
}

impl Fixture {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let lake = Directory::open(root.path()).unwrap();
        Self { root, lake, intents: Named::default() }
    }

    /// One with so many files, of a row each, numbered from 0.
    fn with_files(count: u64) -> Self {
        let fixture = Self::new();
        (0..count).for_each(|number| fixture.add(number));
        fixture
    }

    fn add(&self, number: u64) {
        write(Dataset::Readings, &self.file(number), readings(&[row(number)], &[]));
    }

    fn day(&self) -> PathBuf {
        self.root.path().join(DAY)
    }

    fn file(&self, number: u64) -> PathBuf {
        self.day().join(name(number))
    }

    fn compactor(&self) -> Compactor {
        Compactor::new(self.lake.clone(), options(2, 1 << 30, true))
    }

    fn pass(&self) -> Pass {
        self.pass_while(|| ())
    }

    /// Does something between the list and the exchange.
    fn pass_while(&self, meanwhile: impl Fn()) -> Pass {
        let intents = || {
            if self.day().exists() {
                meanwhile();
            }
            Ok(self.intents.clone())
        };
        let world = Surroundings { intents: &intents, is_stopping: &|| false };
        let (pass, ended) = self.compactor().pass(&Dataset::ALL, &world);
        ended.unwrap();
        pass
    }

    /// The names in the partition.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.day()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The numbers of the rows that whoever reads the partition sees.
    fn numbers(&self) -> Vec<u64> {
        let files = self.names().into_iter().filter(|name| name.ends_with(".parquet"));
        let mut numbers: Vec<_> = files
            .flat_map(|name| rows_of(&read(&self.day().join(name))))
            .map(|(.., number)| number)
            .collect();
        numbers.sort_unstable();
        numbers
    }

    /// What is left in staging of exchanges.
    fn old(&self) -> usize {
        let entries = fs::read_dir(self.lake.staging()).unwrap();
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        entries.map(name).filter(|name| name.starts_with(swap::PREFIX)).count()
    }
}

fn row(number: u64) -> Row {
    (format!("device-{}", number % 3), number as Micros, number)
}

fn name(number: u64) -> String {
    format!("{number:014x}-00000000-0.parquet")
}
