//! What lies in a lake, without a look into files.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsString,
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use stages::store::Dataset;

use super::super::{LakeError, directory::Directory};

/// Directories below a dataset's own that lead to a file, at the most: `date=…/hour=…`.
const DEPTH_MAX: usize = 2;

/// A directory whose last change is younger than this may change once more without another time of change.
const UNSETTLED: Duration = Duration::from_secs(2);

/// A directory of the lake that holds files.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PartitionPath {
    pub(super) dataset: Dataset,
    /// Inside the lake.
    pub(super) relative: String,
}

/// The files of a partition, all of them regular.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listing(pub(super) BTreeMap<OsString, Entry>);

/// Tells a file from another that has its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) bytes: u64,
    inode: u64,
    modified: (i64, i64),
}

/// A directory at one moment. While it has the same stamp nothing was added or removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    modified: (i64, i64),
}

/// What a look for partitions finds.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// In the order of time. None that holds directories, too: it is left alone.
    pub(super) partitions: Vec<PartitionPath>,
    /// Those in which there is nothing to do since the last look, which are not looked into.
    pub(super) settled: Vec<PathBuf>,
    /// Directories that cannot be listed, and why.
    pub(super) refused: Vec<(PathBuf, LakeError)>,
}

/// Every partition of `dataset`.
pub(super) fn partitions(lake: &Directory, dataset: Dataset, settled: &HashMap<PathBuf, Stamp>) -> Found {
    let mut found = Found::default();
    descend(lake, dataset, dataset.as_str(), 0, settled, &mut found);
    found.partitions.sort_unstable();
    found
}

fn descend(
    lake: &Directory,
    dataset: Dataset,
    relative: &str,
    depth: usize,
    settled: &HashMap<PathBuf, Stamp>,
    found: &mut Found,
) {
    let path = lake.root().join(relative);
    if let Some(stamp) = settled.get(&path)
        && Stamp::of(&path).as_ref() == Some(stamp)
    {
        found.settled.push(path);
        return;
    }
    let (mut holds_files, mut holds_directories) = (false, false);
    let mut look = || -> io::Result<Vec<String>> {
        let mut below = Vec::new();
        for entry in fs::read_dir(&path)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            holds_files |= kind.is_file();
            holds_directories |= kind.is_dir();
            let name = entry.file_name();
            let name = name.to_str().filter(|name| kind.is_dir() && name.contains('='));
            below.extend(name.map(|name| format!("{relative}/{name}")));
        }
        Ok(below)
    };
    let below = match look() {
        Ok(below) => below,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return;
        }
        Err(error) => {
            let error = LakeError::io("list", &path)(error);
            return found.refused.push((path, error));
        }
    };
    if holds_files && !holds_directories && depth > 0 {
        found.partitions.push(PartitionPath { dataset, relative: relative.to_owned() });
    }
    for relative in below.iter().filter(|_| depth < DEPTH_MAX) {
        descend(lake, dataset, relative, depth + 1, settled, found);
    }
}

impl Listing {
    /// What `directory` holds; none if that is anything but regular files, or it is gone.
    pub(super) fn of(directory: &Path) -> Result<Option<Self>, LakeError> {
        let failed = || LakeError::io("list", directory);
        let entries = match fs::read_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            entries => entries.map_err(failed())?,
        };
        let mut files = BTreeMap::new();
        for entry in entries {
            let entry = entry.map_err(failed())?;
            let metadata = match entry.metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                metadata => metadata.map_err(failed())?,
            };
            if !metadata.is_file() {
                return Ok(None);
            }
            files.insert(entry.file_name(), Entry::of(&metadata));
        }
        Ok(Some(Self(files)))
    }

    /// The Parquet files that readers see, by name.
    pub(super) fn parquet(&self) -> impl Iterator<Item = (&str, Entry)> {
        self.0.iter().filter_map(|(name, entry)| {
            let name = name.to_str()?;
            let seen = name.ends_with(".parquet") && !name.starts_with(['.', '_']);
            seen.then_some((name, *entry))
        })
    }

    /// The files and their bytes.
    pub(super) fn totals(&self) -> (u64, u64) {
        self.parquet().fold((0, 0), |(files, bytes), (_, entry)| (files + 1, bytes + entry.bytes))
    }
}

impl Entry {
    fn of(metadata: &Metadata) -> Self {
        Self {
            bytes: metadata.len(),
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

impl Stamp {
    /// That of `directory`; none while it has changed of late, or cannot be looked at.
    pub(super) fn of(directory: &Path) -> Option<Self> {
        let metadata = fs::metadata(directory).ok()?;
        let age = SystemTime::now().duration_since(metadata.modified().ok()?).ok()?;
        (age >= UNSETTLED)
            .then(|| Self { inode: metadata.ino(), modified: (metadata.mtime(), metadata.mtime_nsec()) })
    }
}

impl PartitionPath {
    pub(super) fn directory(&self, lake: &Directory) -> PathBuf {
        lake.root().join(&self.relative)
    }
}
