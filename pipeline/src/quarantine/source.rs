//! Where the files of the quarantine are: in a directory, or in an object store.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use stages::store::Dataset;

use super::{QuarantineError, Span, files};
use crate::lake::LakeAddress;
#[cfg(feature = "object-store")]
use crate::lake::{LakeError, Objects};

/// Who opens files.
pub(super) enum Source {
    Directory,
    /// The directories are paths inside the lake.
    #[cfg(feature = "object-store")]
    Objects(Objects),
}

impl Source {
    /// That of the lake at `address`, and the directories that may hold rows of `span`, in the order of time.
    pub(super) async fn of(
        address: &LakeAddress,
        span: Span,
    ) -> Result<(Self, Vec<PathBuf>), QuarantineError> {
        match address {
            LakeAddress::Directory(root) => {
                let directories = files::directories(&root.join(Dataset::Quarantine.as_str()), span)?;
                Ok((Self::Directory, directories))
            }
            #[cfg(feature = "object-store")]
            LakeAddress::Bucket(bucket) => {
                let lake = Objects::new(bucket, &[])?;
                lake.can_be_read().await?;
                let directories = in_objects(&lake, span).await?;
                Ok((Self::Objects(lake), directories))
            }
            #[cfg(not(feature = "object-store"))]
            LakeAddress::Bucket(bucket) => Err(QuarantineError::Lake(crate::lake::LakeError::Bucket {
                lake: bucket.to_string(),
                reason: crate::lake::WITHOUT_OBJECTS.to_owned(),
            })),
        }
    }

    /// The files in `directory`, open, by name: all of them as they were at one moment.
    pub(super) async fn open(&self, directory: &Path) -> Result<Vec<(PathBuf, File)>, QuarantineError> {
        match self {
            Self::Directory => files::open(directory),
            #[cfg(feature = "object-store")]
            Self::Objects(lake) => Ok(fetch(lake, &directory.to_string_lossy()).await?),
        }
    }
}

/// How often files are listed again that were merged before they were all here.
#[cfg(feature = "object-store")]
const LISTINGS_MAX: u32 = 10;

#[cfg(feature = "object-store")]
async fn in_objects(lake: &Objects, span: Span) -> Result<Vec<PathBuf>, LakeError> {
    use stages::store::Partition;

    let root = Dataset::Quarantine.as_str().to_owned();
    let (mut found, mut left) = (Vec::new(), vec![(root, None)]);
    while let Some((path, holds)) = left.pop() {
        let below = lake.directories(&path).await?.into_iter().rev().filter_map(|name| {
            let partition = Partition::named(&name, holds);
            let may_hold = partition.is_none_or(|partition| span.touches(partition));
            may_hold.then(|| (format!("{path}/{name}"), partition.or(holds)))
        });
        left.extend(below);
        found.push(path.into());
    }
    Ok(found)
}

/// Brings the files of a directory here, each into a file without a name. All before the first is read: see `files`.
#[cfg(feature = "object-store")]
async fn fetch(lake: &Objects, directory: &str) -> Result<Vec<(PathBuf, File)>, LakeError> {
    let mut listings = 0;
    'list: loop {
        listings += 1;
        let mut fetched = Vec::new();
        for path in lake.files(directory).await? {
            match lake.fetch(&path).await? {
                Some(file) => fetched.push((lake.shown_at(&path).into(), file)),
                None if listings < LISTINGS_MAX => continue 'list,
                // Somebody removes files, and not to merge them.
                None => {}
            }
        }
        return Ok(fetched);
    }
}
