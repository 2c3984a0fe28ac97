//! The log of merges of a lake in an object store, which tells which files a reader is to leave out.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde_json::Value;

use super::unless_gone;
use crate::below;

/// Where a lake has the log of a dataset.
pub(super) fn of(lake: &Path, dataset: &str) -> PathBuf {
    lake.join(".compact").join(dataset)
}

/// Those of the files of a dataset that others, which are `listed`, have taken the place of; nothing if one of these is gone
/// meanwhile.
pub(super) fn replaced(
    directory: &Path,
    log: &Path,
    listed: &HashSet<PathBuf>,
) -> anyhow::Result<Option<HashSet<PathBuf>>> {
    let mut replaced = HashSet::new();
    for path in below(log).iter().filter(|path| path.extension().is_some_and(|end| end == "json")) {
        let partition = directory.join(path.parent().unwrap_or(log).strip_prefix(log)?);
        let entry: Value = serde_json::from_slice(&fs::read(path)?)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let at = |name: &Value| partition.join(name.as_str().unwrap_or_default());
        let merged = at(&entry["merged"]);
        if !listed.contains(&merged) {
            continue;
        }
        match unless_gone(merged.metadata())? {
            Some(file) if entry["bytes"] == file.len() => {
                replaced.extend(entry["inputs"].as_array().into_iter().flatten().map(at));
            }
            Some(_) => {}
            None => return Ok(None),
        }
    }
    Ok(Some(replaced))
}
