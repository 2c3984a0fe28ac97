//! Finding files in directories.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::SimError;

/// Adds all files with this extension below `directory`, in order. What is hidden (`.` or `_` first) is passed over.
///
/// # Errors
/// [`SimError::File`] for a directory that cannot be read.
pub(crate) fn find_below(
    directory: &Path,
    extension: &str,
    files: &mut Vec<PathBuf>,
) -> Result<(), SimError> {
    let read = |error| SimError::file("read", directory)(error);
    let mut entries: Vec<PathBuf> = fs::read_dir(directory)
        .map_err(read)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(read)?;
    entries.sort();
    for entry in entries {
        if entry.file_name().unwrap_or_default().to_string_lossy().starts_with(['.', '_']) {
            continue;
        }
        if entry.is_dir() {
            find_below(&entry, extension, files)?;
        } else if entry.extension().is_some_and(|found| found.eq_ignore_ascii_case(extension)) {
            files.push(entry);
        }
    }
    Ok(())
}
