//! How a file comes to its place in a local lake: written out of sight, synced, then linked.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use parquet::errors::ParquetError;

use super::{LakeError, LakeMeters, lock};
use crate::failpoint::fail_point;

/// Where files are written before they have a name. Readers pass over names with a leading dot.
const STAGING: &str = ".staging";

/// How long a file that is to be linked waits for a partition to be exchanged: giving a roll up costs more.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });

/// A lake in a local directory.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    root: PathBuf,
    meters: Arc<LakeMeters>,
}

impl Directory {
    /// The lake in `root`, made if it is not there.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub(super) fn open(root: &Path) -> Result<Self, LakeError> {
        let staging = root.join(STAGING);
        fs::create_dir_all(&staging)
            .map_err(|source| LakeError::Open { path: staging.display().to_string(), source })?;
        Ok(Self { root: root.to_owned(), meters: Arc::default() })
    }

    /// Its directory.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The directory in it that readers pass over.
    pub(super) fn staging(&self) -> PathBuf {
        self.root.join(STAGING)
    }

    /// What this process has written into it.
    pub(super) fn meters(&self) -> Arc<LakeMeters> {
        Arc::clone(&self.meters)
    }

    /// Whether a file with this path inside the lake is there.
    fn holds(&self, path: &str) -> Result<bool, LakeError> {
        let path = self.root.join(path);
        match path.try_exists() {
            // Something else stands where its directory should be.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(false),
            found => found.map_err(LakeError::io("look for", &path)),
        }
    }

    /// Why a file of this path inside the lake could not be filled.
    pub(super) fn unwritten(&self, path: &str, source: ParquetError) -> LakeError {
        LakeError::Parquet { path: self.root.join(path).display().to_string(), source }
    }

    /// Makes the names of files durable; their paths are inside the lake.
    fn sync(&self, paths: &[String]) -> Result<(), LakeError> {
        let directories: BTreeSet<_> = paths.iter().flat_map(|path| self.directories_of(path)).collect();
        for directory in directories {
            let opened = File::open(&directory).and_then(|opened| opened.sync_all());
            opened.map_err(LakeError::io("sync", &directory))?;
        }
        Ok(())
    }

    /// The directories from that of a file up to the lake's own: any of them may be new.
    fn directories_of(&self, path: &str) -> Vec<PathBuf> {
        let file = self.root.join(path);
        let above = file.ancestors().skip(1).take_while(|directory| directory.starts_with(&self.root));
        above.map(Path::to_owned).collect()
    }

    /// A place out of sight for the files of one roll.
    pub(super) fn stage(&self, roll: &str) -> Result<StagingDirectory, LakeError> {
        let staging = self.staging();
        let directory = staging.join(roll);
        fs::create_dir_all(&staging).map_err(LakeError::io("create", &staging))?;
        fs::create_dir(&directory).map_err(LakeError::io("create", &directory))?;
        Ok(StagingDirectory { lake: self.clone(), directory, published: Vec::new() })
    }

    /// Makes the names of a roll's files final: who slept can publish none of them from here on. Answers which are there.
    pub(super) fn decide(&self, roll: &str, paths: Vec<String>) -> Result<Vec<String>, LakeError> {
        self.fence(roll)?;
        let mut there = Vec::new();
        for path in paths {
            if self.holds(&path)? {
                there.push(path);
            }
        }
        // Whoever linked them may have died before their names were durable.
        self.sync(&there)?;
        Ok(there)
    }

    /// Takes the staging directory of a roll away: from here on nobody can link a file out of it.
    fn fence(&self, roll: &str) -> Result<(), LakeError> {
        let directory = self.staging().join(roll);
        let fenced = directory.with_extension("fenced");
        match fs::rename(&directory, &fenced) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(LakeError::io("rename", &directory)(error))
            }
            _ => remove(&fenced),
        }
    }
}

/// The files of one roll before they have a name.
#[derive(Debug)]
pub(super) struct StagingDirectory {
    lake: Directory,
    directory: PathBuf,
    /// Paths whose names are not synced yet.
    published: Vec<String>,
}

impl StagingDirectory {
    /// A new file, out of sight.
    pub(super) fn create(&self, name: &str) -> Result<File, LakeError> {
        let path = self.directory.join(name);
        File::create_new(&path).map_err(LakeError::io("create", &path))
    }

    /// Gives a complete file its path inside the lake; it never replaces one. After
    /// [`StagingDirectory::sync`] it also survives a power cut.
    pub(super) fn publish(&mut self, name: &str, file: &File, path: &str) -> Result<(), LakeError> {
        let (from, to) = (self.directory.join(name), self.lake.root.join(path));
        fail_point!("fsync_before");
        file.sync_all().map_err(LakeError::io("sync", &from))?;
        fail_point!("fsync_after");
        let lock = self.lake.staging().join(lock::LINKS);
        let held = lock::shared(&lock, PATIENCE).map_err(LakeError::io("lock", &lock))?;
        if held.is_none() {
            return Err(LakeError::Locked { path: lock.display().to_string() });
        }
        if let Some(directory) = to.parent() {
            fs::create_dir_all(directory).map_err(LakeError::io("create", directory))?;
        }
        fail_point!("link_before");
        fs::hard_link(&from, &to).map_err(LakeError::io("link", &to))?;
        fail_point!("link_after");
        self.published.push(path.to_owned());
        Ok(())
    }

    /// Makes the names of all published files durable, and removes the staging directory.
    pub(super) fn sync(self) -> Result<(), LakeError> {
        fail_point!("directories_before");
        self.lake.sync(&self.published)?;
        remove(&self.directory)
    }
}

fn remove(directory: &Path) -> Result<(), LakeError> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(LakeError::io("remove", directory)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const FINAL: &str = "readings/date=2024-01-01/roll-0.parquet";

    fn lake() -> (tempfile::TempDir, Directory) {
        let root = tempfile::tempdir().unwrap();
        let lake = Directory::open(root.path()).unwrap();
        (root, lake)
    }

    fn written(staging: &StagingDirectory, bytes: &[u8]) -> File {
        let mut file = staging.create("0").unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn a_published_file_is_there_whole() {
        let (root, lake) = lake();
        let mut staging = lake.stage("roll").unwrap();
        let file = written(&staging, b"rows");
        assert!(!lake.holds(FINAL).unwrap());
        staging.publish("0", &file, FINAL).unwrap();
        staging.sync().unwrap();
        assert_eq!(fs::read(root.path().join(FINAL)).unwrap(), b"rows");
        assert!(!root.path().join(STAGING).join("roll").exists());
    }

    #[test]
    fn a_file_is_never_replaced() {
        let (root, lake) = lake();
        let mut staging = lake.stage("roll").unwrap();
        let file = written(&staging, b"first");
        staging.publish("0", &file, FINAL).unwrap();
        let error = staging.publish("0", &file, FINAL).unwrap_err();
        assert!(error.to_string().starts_with("cannot link "), "{error}");
        assert_eq!(fs::read(root.path().join(FINAL)).unwrap(), b"first");
    }

    #[test]
    fn a_worker_that_slept_through_the_fence_publishes_nothing() {
        let (_root, lake) = lake();
        let mut asleep = lake.stage("roll").unwrap();
        let file = written(&asleep, b"rows");
        lake.fence("roll").unwrap();
        asleep.publish("0", &file, FINAL).unwrap_err();
        asleep.create("1").unwrap_err();
        assert!(!lake.holds(FINAL).unwrap());
    }

    #[test]
    fn a_roll_is_staged_once() {
        let (_root, lake) = lake();
        lake.stage("roll").unwrap();
        lake.stage("roll").unwrap_err();
    }

    #[test]
    fn a_roll_without_staging_can_be_fenced() {
        let (_root, lake) = lake();
        lake.fence("never-staged").unwrap();
    }
}
