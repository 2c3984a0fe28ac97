//! Somebody else who reads the lake all the while, and must never see a row twice, half a file, or a row go.

pub(super) mod log;

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle, sleep},
    time::Duration,
};

use anyhow::{Context, ensure};
use parquet::{
    file::reader::{FileReader, SerializedFileReader},
    schema::types::Type,
};

/// The columns that make a row the same.
const IDENTITY: [&str; 5] = ["device_id", "metric", "ts", "seq", "value"];

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// A thread that reads the readings of a lake over and over.
pub struct Reader {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<Seen>>,
}

/// What a reader has seen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    /// How often it looked at the whole lake.
    pub reads: u64,
    /// Rows in it at the last look.
    pub rows: u64,
}

impl Reader {
    /// Begins to read.
    pub fn start(lake: &Path) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (asked, directory) = (Arc::clone(&stop), lake.join("readings"));
        let log = log::of(lake, "readings");
        let thread = thread::spawn(move || watch(&directory, &log, &asked));
        Self { stop, thread }
    }

    /// Looks a last time.
    ///
    /// # Panics
    /// When it has seen what must never be seen.
    pub fn finish(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let seen = self.thread.join().expect("a reader that does not panic");
        seen.unwrap_or_else(|error| panic!("the second reader: {error:#}"))
    }
}

fn watch(directory: &Path, log: &Path, stop: &AtomicBool) -> anyhow::Result<Seen> {
    let mut lake = Known::default();
    let mut reads = 0;
    loop {
        let last = stop.load(Ordering::Relaxed);
        lake.look(directory, log)?;
        reads += 1;
        if last {
            return Ok(Seen { reads, rows: lake.rows.len() as u64 });
        }
        sleep(PAUSE);
    }
}

/// The lake at the last look. A file under a name is the same for as long as it is there, so it is read once.
#[derive(Default)]
struct Known {
    files: HashMap<PathBuf, Vec<u64>>,
    /// Every row by its hash.
    rows: HashSet<u64>,
}

impl Known {
    /// Looks at the whole lake.
    fn look(&mut self, directory: &Path, log: &Path) -> anyhow::Result<()> {
        // What vanishes while it is looked at has been merged into other files: such a look is none.
        while !self.try_look(directory, log)? {}
        Ok(())
    }

    fn try_look(&mut self, directory: &Path, log: &Path) -> anyhow::Result<bool> {
        let Some(mut listed) = unless_gone(list(directory))? else { return Ok(self.files.is_empty()) };
        // The log is read after the list, as the documentation of object stores has it. A lake in a directory has none.
        let Some(replaced) = log::replaced(directory, log, &listed)? else { return Ok(false) };
        listed.retain(|path| !replaced.contains(path));
        if listed.len() == self.files.len() && listed.iter().all(|path| self.files.contains_key(path)) {
            return Ok(true);
        }
        let mut files = HashMap::with_capacity(listed.len());
        for path in &listed {
            let rows = match self.files.get(path) {
                Some(rows) => rows.clone(),
                None => match unless_gone(File::open(path))? {
                    Some(file) => rows_of(file).with_context(|| format!("cannot read {}", path.display()))?,
                    None => return Ok(false),
                },
            };
            files.insert(path.clone(), rows);
        }
        if unless_gone(list(directory))?.is_none_or(|again| listed.iter().any(|path| !again.contains(path))) {
            return Ok(false);
        }
        self.compare(files)?;
        Ok(true)
    }

    fn compare(&mut self, files: HashMap<PathBuf, Vec<u64>>) -> anyhow::Result<()> {
        let mut rows = HashSet::with_capacity(self.rows.len());
        for (path, of_file) in &files {
            for row in of_file {
                ensure!(rows.insert(*row), "a row of {} is there twice", path.display());
            }
        }
        let gone = self.rows.difference(&rows).count();
        ensure!(gone == 0, "{gone} of {} rows are there no more", self.rows.len());
        (self.files, self.rows) = (files, rows);
        Ok(())
    }
}

/// All Parquet files below a directory that are not hidden.
fn list(directory: &Path) -> io::Result<HashSet<PathBuf>> {
    let mut files = HashSet::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if entry.file_type()?.is_dir() {
            files.extend(list(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "parquet") {
            files.insert(path);
        }
    }
    Ok(files)
}

fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

/// How many rows a dataset has, which need not exist.
///
/// # Panics
/// When it cannot be read.
pub(super) fn count(dataset: &Path) -> u64 {
    let files = unless_gone(list(dataset)).expect("a directory that can be read").unwrap_or_default();
    let rows = |path: &PathBuf| {
        let reader = SerializedFileReader::new(File::open(path)?)?;
        anyhow::Ok(reader.metadata().file_metadata().num_rows().unsigned_abs())
    };
    files.iter().map(|path| rows(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))).sum()
}

/// The rows of a file, each as a hash of what makes it the same.
fn rows_of(file: File) -> anyhow::Result<Vec<u64>> {
    let reader = SerializedFileReader::new(file)?;
    let schema = reader.metadata().file_metadata().schema();
    let kept = schema.get_fields().iter().filter(|field| IDENTITY.contains(&field.name()));
    let projection = Type::group_type_builder(schema.name()).with_fields(kept.cloned().collect()).build()?;
    let mut rows = Vec::new();
    for row in reader.get_row_iter(Some(projection))? {
        let mut hasher = DefaultHasher::new();
        row?.to_string().hash(&mut hasher);
        rows.push(hasher.finish());
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use parquet::{
        data_type::Int64Type, file::writer::SerializedFileWriter, schema::parser::parse_message_type,
    };

    use super::*;

    /// A file whose rows differ by their sequence number.
    fn write(path: &Path, seqs: &[i64]) {
        let schema = parse_message_type("message schema { REQUIRED INT64 seq; }").unwrap();
        let file = File::create(path).unwrap();
        let mut writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::default()).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(seqs, None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        writer.close().unwrap();
    }

    /// What a reader says that has looked at a lake before and after a change.
    fn look_twice(change: impl FnOnce(&Path)) -> Result<usize, String> {
        let lake = tempfile::tempdir().unwrap();
        let partition = lake.path().join("date=2026-01-01");
        fs::create_dir(&partition).unwrap();
        write(&partition.join("a.parquet"), &[1, 2]);
        write(&partition.join("b.parquet"), &[3]);
        let mut known = Known::default();
        let log = lake.path().join(".log");
        known.look(lake.path(), &log).unwrap();
        change(&partition);
        known.look(lake.path(), &log).map_err(|error| error.to_string())?;
        Ok(known.rows.len())
    }

    #[test]
    fn a_file_more_has_other_rows() {
        assert_eq!(look_twice(|partition| write(&partition.join("c.parquet"), &[4])), Ok(4));
        let said = look_twice(|partition| write(&partition.join("c.parquet"), &[4, 2])).unwrap_err();
        assert!(said.ends_with("is there twice"), "{said}");
    }

    #[test]
    fn a_row_that_is_gone_is_told() {
        let said = look_twice(|partition| fs::remove_file(partition.join("b.parquet")).unwrap());
        assert_eq!(said, Err("1 of 3 rows are there no more".to_owned()));
    }

    #[test]
    fn files_that_are_merged_keep_their_rows() {
        let merged = look_twice(|partition| {
            fs::remove_file(partition.join("a.parquet")).unwrap();
            fs::remove_file(partition.join("b.parquet")).unwrap();
            write(&partition.join("c.parquet"), &[3, 2, 1]);
        });
        assert_eq!(merged, Ok(3));
    }

    /// In an object store both are there for a while.
    #[test]
    fn files_that_the_log_says_are_merged_are_not_read() {
        let merge = |partition: &Path, bytes: u64| {
            let log = partition.parent().unwrap().join(".log/date=2026-01-01");
            fs::create_dir_all(&log).unwrap();
            let entry = format!(
                r#"{{"merged": "c.parquet", "bytes": {bytes}, "inputs": ["a.parquet", "b.parquet"]}}"#
            );
            fs::write(log.join("1.json"), entry).unwrap();
        };
        let whole = look_twice(|partition| {
            write(&partition.join("c.parquet"), &[3, 2, 1]);
            merge(partition, partition.join("c.parquet").metadata().unwrap().len());
        });
        assert_eq!(whole, Ok(3));
        let fenced = look_twice(|partition| {
            write(&partition.join("c.parquet"), &[]);
            merge(partition, 1);
        });
        assert_eq!(fenced, Ok(3));
    }

    #[test]
    fn half_a_file_is_told() {
        let said = look_twice(|partition| fs::write(partition.join("c.parquet"), "PAR1").unwrap());
        assert!(said.unwrap_err().starts_with("cannot read "));
    }
}
