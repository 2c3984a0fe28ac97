//! A lake, wherever it is: store and compaction know no other.

use std::{fs::File, path::Path, sync::Arc};

use parquet::errors::ParquetError;

#[cfg(feature = "object-store")]
use super::objects::{Objects, StagedObjects};
use super::{
    LakeAddress, LakeError, LakeMeters,
    directory::{Directory, StagingDirectory},
};

/// A lake that files are written into.
#[derive(Debug, Clone)]
pub struct Lake(pub(super) Place);

/// Where it is.
#[derive(Debug, Clone)]
pub(super) enum Place {
    Directory(Directory),
    #[cfg(feature = "object-store")]
    Objects(Objects),
}

impl Lake {
    /// The lake in the directory `root`, made if it is not there.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn open(root: &Path) -> Result<Self, LakeError> {
        Ok(Self(Place::Directory(Directory::open(root)?)))
    }

    /// The lake at `address`, to be written by store: looks whether it can be. `tags` are those that readings have now. One
    /// in an object store that does not answer just now is told of in the log, and looked at again before it is written.
    ///
    /// # Errors
    /// When it cannot be used as it is, or this program is built without object stores.
    pub async fn connect(address: &LakeAddress, tags: &[String]) -> Result<Self, LakeError> {
        match address {
            LakeAddress::Directory(root) => Self::open(root),
            #[cfg(feature = "object-store")]
            LakeAddress::Bucket(bucket) => {
                let objects = Objects::new(bucket, tags)?;
                objects.check().await.or_else(|error| {
                    if error.class() == crate::error::Class::Fatal {
                        return Err(error);
                    }
                    tracing::warn!(%error, "the lake does not answer yet: rows stay queued until it does");
                    Ok(())
                })?;
                Ok(Self(Place::Objects(objects)))
            }
            #[cfg(not(feature = "object-store"))]
            LakeAddress::Bucket(bucket) => {
                let _tags = tags;
                Err(LakeError::Bucket { lake: bucket.to_string(), reason: super::WITHOUT_OBJECTS.to_owned() })
            }
        }
    }

    /// Looks whether store could write to the lake in this bucket. An object is put there for that, and removed again.
    ///
    /// # Errors
    /// When it could not, or the bucket does not answer.
    #[cfg(feature = "object-store")]
    pub async fn look(bucket: &super::Bucket) -> Result<(), LakeError> {
        Objects::new(bucket, &[])?.check().await
    }

    /// What this process has written into it.
    pub fn meters(&self) -> Arc<LakeMeters> {
        match &self.0 {
            Place::Directory(directory) => directory.meters(),
            #[cfg(feature = "object-store")]
            Place::Objects(objects) => objects.meters(),
        }
    }

    /// Why a file of this path inside the lake could not be filled.
    pub(super) fn unwritten(&self, path: &str, source: ParquetError) -> LakeError {
        match &self.0 {
            Place::Directory(directory) => directory.unwritten(path, source),
            #[cfg(feature = "object-store")]
            Place::Objects(objects) => objects.unwritten(path, source),
        }
    }

    /// A place out of sight for the files of one roll. Blocks.
    pub(super) fn stage(&self, roll: &str) -> Result<Staging, LakeError> {
        match &self.0 {
            Place::Directory(directory) => directory.stage(roll).map(Staging::Directory),
            #[cfg(feature = "object-store")]
            Place::Objects(objects) => objects.stage(roll).map(Staging::Objects),
        }
    }

    /// Makes the names of a roll's files final: who slept can publish none of them from here on. Answers which are there,
    /// whole and for good. Blocks.
    pub(super) fn decide(&self, roll: &str, paths: Vec<String>) -> Result<Vec<String>, LakeError> {
        match &self.0 {
            Place::Directory(directory) => directory.decide(roll, paths),
            #[cfg(feature = "object-store")]
            Place::Objects(objects) => objects.decide(roll, paths),
        }
    }
}

/// The files of one roll before they have a name.
#[derive(Debug)]
pub(super) enum Staging {
    Directory(StagingDirectory),
    #[cfg(feature = "object-store")]
    Objects(StagedObjects),
}

impl Staging {
    /// A new file, out of sight.
    pub(super) fn create(&self, name: &str) -> Result<File, LakeError> {
        match self {
            Self::Directory(staging) => staging.create(name),
            #[cfg(feature = "object-store")]
            Self::Objects(staging) => staging.create(),
        }
    }

    /// Gives a complete file its path inside the lake; it never replaces one. After [`Staging::sync`] it also survives a
    /// power cut. Blocks.
    pub(super) fn publish(&mut self, name: &str, file: &File, path: &str) -> Result<(), LakeError> {
        match self {
            Self::Directory(staging) => staging.publish(name, file, path),
            #[cfg(feature = "object-store")]
            Self::Objects(staging) => staging.publish(name, file, path),
        }
    }

    /// Makes the names of all published files durable, and removes what was only on the way to them. Blocks.
    pub(super) fn sync(self) -> Result<(), LakeError> {
        match self {
            Self::Directory(staging) => staging.sync(),
            #[cfg(feature = "object-store")]
            Self::Objects(staging) => staging.sync(),
        }
    }
}
