//! What lies in a lake, without a look into files.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use stages::store::Dataset;

use super::super::{Lake, LakeError};

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

/// Every partition of `dataset`, in the order of time.
pub(super) fn partitions(lake: &Lake, dataset: Dataset) -> Result<Vec<PartitionPath>, LakeError> {
    let mut found = Vec::new();
    descend(lake, dataset, dataset.as_str(), 0, &mut found)?;
    found.sort_unstable();
    Ok(found)
}

fn descend(
    lake: &Lake,
    dataset: Dataset,
    relative: &str,
    depth: usize,
    found: &mut Vec<PartitionPath>,
) -> Result<(), LakeError> {
    let path = lake.root().join(relative);
    let entries = match fs::read_dir(&path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(());
        }
        entries => entries.map_err(LakeError::io("list", &path))?,
    };
    let mut holds_files = false;
    for entry in entries {
        let entry = entry.map_err(LakeError::io("list", &path))?;
        let kind = entry.file_type().map_err(LakeError::io("look at", &path))?;
        holds_files |= kind.is_file();
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| kind.is_dir() && name.contains('=')) else { continue };
        if depth < DEPTH_MAX {
            descend(lake, dataset, &format!("{relative}/{name}"), depth + 1, found)?;
        }
    }
    if holds_files && depth > 0 {
        found.push(PartitionPath { dataset, relative: relative.to_owned() });
    }
    Ok(())
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
    pub(super) fn directory(&self, lake: &Lake) -> PathBuf {
        lake.root().join(&self.relative)
    }
}
