//! One merge, from the files to the end of its entry in the log.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process,
};

use stages::store::{self, Dataset};
use tokio::task::JoinSet;

use super::{super::log::Entry, Compactor};
use crate::{
    clock,
    failpoint::fail_point,
    lake::{
        LakeError, Surroundings,
        compact::merge::{self, MergeError},
    },
};

/// Files that are removed at once.
const REMOVALS_MAX: usize = 16;

/// What came of a set of files.
pub(super) enum Merged {
    /// They are one, of this name.
    Done { name: String, rows: u64, bytes: u64 },
    /// This one cannot be merged, and why.
    Refused(String, String),
    /// Somebody else is at work there, or this process is to stop.
    NotNow,
}

impl Compactor {
    /// Puts one file in the place of those called `names`.
    pub(super) fn merge(
        &self,
        world: &Surroundings<'_>,
        dataset: Dataset,
        partition: &str,
        number: u64,
        names: &[String],
    ) -> Result<Merged, LakeError> {
        let folder =
            tempfile::tempdir().map_err(LakeError::io("make a directory in", &std::env::temp_dir()))?;
        let Some(inputs) = self.fetch(partition, names, folder.path())? else { return Ok(Merged::NotNow) };
        let file = tempfile::tempfile().map_err(LakeError::io("make a file in", &std::env::temp_dir()))?;
        let (file, rows) = match merge::merge(&inputs, dataset, file, world.is_stopping) {
            Ok(merged) => merged,
            Err(MergeError::Input(path, reason)) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                return Ok(Merged::Refused(name, reason));
            }
            Err(MergeError::Encoding(error)) => return Err(self.lake.unwritten(partition, error)),
            Err(MergeError::NotNow | MergeError::Stopped) => return Ok(Merged::NotNow),
        };
        let bytes = file.metadata().map_err(LakeError::io("look at a file in", folder.path()))?.len();
        // Another name for each entry: that of one that was given up stays a fence's.
        let number_too = format!("{number:08}");
        let name = store::merged_name(names.iter().map(String::as_str).chain([number_too.as_str()]));
        let by = format!("process {} at {}", process::id(), clock::now());
        let entry = Entry { merged: name.clone(), bytes, inputs: names.to_vec(), by };
        if !self.lake.wait(self.lake.begin(partition, number, &entry))? {
            return Ok(Merged::NotNow);
        }
        fail_point!("log_open");
        let path = format!("{partition}/{name}");
        let staged = format!("{partition}-{number:08}").replace('/', "-");
        if self.lake.send(&file, bytes, &path, &format!("compact-{staged}")).is_err() {
            // It may be there all the same; or it never will be.
            self.finish(partition, number)?;
            return Ok(Merged::NotNow);
        }
        fail_point!("log_merged");
        self.remove_all(partition, names)?;
        fail_point!("log_removed");
        self.lake.wait(self.lake.end(partition, number))?;
        Ok(Merged::Done { name, rows, bytes })
    }

    /// Brings files here; none if one is gone.
    fn fetch(
        &self,
        partition: &str,
        names: &[String],
        folder: &Path,
    ) -> Result<Option<Vec<PathBuf>>, LakeError> {
        let mut paths = Vec::with_capacity(names.len());
        for name in names {
            let path = folder.join(name);
            let file = File::create_new(&path).map_err(LakeError::io("create", &path))?;
            if !self.lake.wait(self.lake.fetch_into(&format!("{partition}/{name}"), &file))? {
                return Ok(None);
            }
            paths.push(path);
        }
        Ok(Some(paths))
    }

    /// Brings an entry to its end, whoever wrote it: its merged file is there, and those that it was made of go; or it is
    /// not, and never will be.
    pub(super) fn finish(&self, partition: &str, number: u64) -> Result<(), LakeError> {
        if let Some(entry) = self.lake.wait(self.lake.entry(partition, number))?
            && self.lake.wait(self.lake.is_taken(&format!("{partition}/{}", entry.merged)))?
        {
            self.remove_all(partition, &entry.inputs)?;
        }
        self.lake.wait(self.lake.end(partition, number))
    }

    /// Removes files, several at once: until they are gone, a plain reader sees rows twice.
    fn remove_all(&self, partition: &str, names: &[String]) -> Result<(), LakeError> {
        self.lake.wait(async {
            let mut removals = JoinSet::new();
            for name in names {
                if removals.len() == REMOVALS_MAX {
                    removals.join_next().await.transpose()?.transpose()?;
                }
                let (lake, name) = (self.lake.clone(), self.lake.name(&format!("{partition}/{name}")));
                removals.spawn(async move { lake.remove(&name).await.map_err(lake.failed("remove", &name)) });
            }
            while let Some(removed) = removals.join_next().await {
                removed??;
            }
            Ok(())
        })
    }
}
