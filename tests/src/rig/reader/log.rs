//! The log of merges of a lake in an object store, which tells which files a reader is to leave out.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde_json::Value;

use super::{list, unless_gone};
use crate::below;

/// Where a lake has the log of a dataset.
pub(super) fn of(lake: &Path, dataset: &str) -> PathBuf {
    lake.join(".compact").join(dataset)
}

/// Whether files of some dataset are there that others have taken the place of: readers without the log see rows twice.
pub(in crate::rig) fn has_replaced(lake: &Path) -> anyhow::Result<bool> {
    for dataset in ["readings", "aggregates", "alerts", "quarantine"] {
        let directory = lake.join(dataset);
        let Some(listed) = unless_gone(list(&directory))? else { continue };
        if replaced(&directory, &of(lake, dataset), &listed)?.is_none_or(|files| !files.is_disjoint(&listed))
        {
            return Ok(true);
        }
    }
    Ok(false)
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
