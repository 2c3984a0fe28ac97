use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use arrow_array::{Array, UInt64Array};
use parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};

/// Somebody who lists the readings and then reads each file of the list, over and over. A file that is gone by then has
/// become part of another: then all is listed again.
pub(crate) struct Reader {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

/// What a reader has seen.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) reads: u64,
    /// How often a file was gone.
    pub(crate) again: u64,
    pub(crate) numbers: BTreeSet<u64>,
}

impl Reader {
    pub(crate) fn start(lake: &Path) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (readings, stopped) = (lake.join("readings"), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let mut seen = Seen::default();
            while !stopped.load(Ordering::Relaxed) {
                seen.look(&readings);
            }
            seen
        });
        Self { stop, thread }
    }

    /// Whether it has failed.
    pub(crate) fn is_done(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends it. Fails if it saw a row twice, or one no more.
    pub(crate) fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("a reader that saw each row once")
    }
}

impl Seen {
    fn look(&mut self, readings: &Path) {
        match numbers(readings) {
            Err(error) if error.kind() == ErrorKind::NotFound => self.again += 1,
            numbers => {
                let numbers = numbers.unwrap();
                let gone = self.numbers.difference(&numbers).next();
                assert_eq!(gone, None, "a row was there, and is no more");
                self.reads += u64::from(!numbers.is_empty());
                self.numbers = numbers;
            }
        }
    }
}

/// The numbers of all rows, each of which must be there once.
pub(crate) fn numbers(readings: &Path) -> io::Result<BTreeSet<u64>> {
    let mut files = Vec::new();
    list(readings, &mut files)?;
    let mut numbers = BTreeSet::new();
    for path in files {
        let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(&path)?).unwrap();
        let mask = ProjectionMask::columns(builder.parquet_schema(), ["message"]);
        for batch in builder.with_projection(mask).build().unwrap() {
            let batch = batch.unwrap();
            let column: &UInt64Array = batch.column(0).as_any().downcast_ref().unwrap();
            for number in column.values() {
                assert!(numbers.insert(*number), "row {number} is there twice, once in {}", path.display());
            }
        }
    }
    Ok(numbers)
}

/// All files below `directory` that readers see.
pub(crate) fn list(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if !directory.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "parquet") {
            files.push(path);
        }
    }
    Ok(())
}
