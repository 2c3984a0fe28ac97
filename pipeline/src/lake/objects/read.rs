//! How the files of a lake are read.

use std::{collections::BTreeMap, fs::File, io::Write, ops::Range};

use object_store::{Error, ObjectMeta, ObjectStoreExt, path::Path};

use super::{Objects, log::each_row_once};
use crate::lake::LakeError;

/// What is read at once.
const PIECE_BYTES: u64 = 8 << 20;

/// How often a directory is listed again in which files come and go.
const LISTINGS_MAX: u32 = 5;

impl Objects {
    /// The names of what looks like directories in that at `path` inside the lake, in order.
    pub(crate) async fn directories(&self, path: &str) -> Result<Vec<String>, LakeError> {
        let place = self.name(path);
        let listed = self.0.again.list_with_delimiter(Some(&place)).await;
        let prefixes = listed.map_err(self.failed("list", &place))?.common_prefixes;
        let mut names: Vec<_> = prefixes
            .iter()
            .filter_map(Path::filename)
            .filter(|name| is_seen(name))
            .map(str::to_owned)
            .collect();
        names.sort();
        Ok(names)
    }

    /// The files right in the directory at `path` inside the lake, as readers see them.
    pub(super) async fn list(&self, path: &str) -> Result<BTreeMap<String, ObjectMeta>, LakeError> {
        let place = self.name(path);
        let listed = self.0.again.list_with_delimiter(Some(&place)).await;
        let objects = listed.map_err(self.failed("list", &place))?.objects;
        let files = objects.into_iter().filter_map(|object| {
            let name = object.location.filename()?.to_owned();
            (name.ends_with(".parquet") && is_seen(&name)).then_some((name, object))
        });
        Ok(files.collect())
    }

    /// The paths of files in the directory at `path` that have each row once.
    pub(crate) async fn files(&self, path: &str) -> Result<Vec<String>, LakeError> {
        let mut listings = 0;
        loop {
            listings += 1;
            let files = self.list(path).await?;
            let files: BTreeMap<_, _> = files.into_iter().map(|(name, object)| (name, object.size)).collect();
            // After the files: see `log`.
            let entries = self.entries(path, &self.log(path).await?).await?;
            match each_row_once(&files, &entries) {
                Some(names) => return Ok(names.iter().map(|name| format!("{path}/{name}")).collect()),
                // Somebody has removed files.
                None if listings == LISTINGS_MAX => {
                    return Ok(files.keys().map(|name| format!("{path}/{name}")).collect());
                }
                None => {}
            }
        }
    }

    /// Brings the file at `path` here, into a file without a name; none if it is gone.
    pub(crate) async fn fetch(&self, path: &str) -> Result<Option<File>, LakeError> {
        let file = tempfile::tempfile().map_err(LakeError::io("make a file in", &std::env::temp_dir()))?;
        Ok(self.fetch_into(path, &file).await?.then_some(file))
    }

    /// The same into a file that is there. False if the object is gone.
    pub(super) async fn fetch_into(&self, path: &str, mut file: &File) -> Result<bool, LakeError> {
        let name = self.name(path);
        let size = match self.0.again.head(&name).await {
            Err(Error::NotFound { .. }) => return Ok(false),
            head => head.map_err(self.failed("look for", &name))?.size,
        };
        let mut start = 0;
        while start < size {
            let end = size.min(start + PIECE_BYTES);
            match self.0.again.get_range(&name, start..end).await {
                Err(Error::NotFound { .. }) => return Ok(false),
                piece => {
                    let piece = piece.map_err(self.failed("read", &name))?;
                    file.write_all(&piece)
                        .map_err(LakeError::io("write a file in", &std::env::temp_dir()))?;
                }
            }
            start = end;
        }
        Ok(true)
    }

    /// A piece of an object.
    pub(super) async fn piece(&self, name: &Path, piece: Range<u64>) -> Result<bytes::Bytes, Error> {
        self.0.again.get_range(name, piece).await
    }

    /// The file at `path` as people write it.
    pub(crate) fn shown_at(&self, path: &str) -> String {
        self.shown(&self.name(path))
    }
}

/// Whether readers see something with this name.
fn is_seen(name: &str) -> bool {
    !name.starts_with(['.', '_'])
}
