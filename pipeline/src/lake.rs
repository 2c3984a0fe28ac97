//! The lake: Parquet datasets, in a directory or an object store, that anybody may read at any time.
//!
//! A file appears whole or not at all, and its rows appear once, whatever is killed or stopped when:
//!
//! 1. The rows of a *roll* (a set of frames that the store worker holds) are sorted and cut at
//!    partitions; each partition becomes one file with a name made from the time and the frames' ids.
//! 2. A staging directory is made, then an *intent* (which files, from which frames) is committed, provided
//!    the frames are still held.
//! 3. Each file is written in the staging directory, synced, then linked to its name; a link never replaces.
//! 4. One commit settles the frames and removes the intent.
//!
//! Step 3 goes by a lock that is shared by all who link, and held alone for a moment by who exchanges a partition: see
//! [`Compactor`], which merges small files.
//!
//! In an object store there are neither directories nor links: `objects` says how the same is kept there.
//!
//! Whoever is later handed a frame that an intent names first resolves that intent: it
//! renames the roll's staging directory, after which a worker that was only asleep can link nothing
//! more, sees which files are there, and leaves their rows out when it writes the frame's others.

mod address;
mod batches;
mod collection;
mod compact;
mod compactor;
mod directory;
mod intents;
mod lock;
mod meters;
#[cfg(feature = "object-store")]
mod objects;
mod parquet;
mod place;
mod roll;
mod store;

pub(crate) use self::batches::Batches;
pub use self::{
    address::{Bucket, LakeAddress},
    compact::{CompactTask, CompactedPartition, GRACE, Named, Pass, Surroundings, read_intents},
    compactor::Compactor,
    intents::Intents,
    meters::{CompactStats, DatasetStats, LakeMeters},
    parquet::{properties as parquet_properties, write as write_parquet},
    place::Lake,
    store::{Mode, Store, StoreOptions},
};

pub(crate) use self::intents::forget;
#[cfg(feature = "object-store")]
pub(crate) use self::objects::Objects;

use rustix::io::Errno;

use self::directory::Directory;
use crate::error::Class;

/// Why a program of the default build has no lake in a bucket.
#[cfg(not(feature = "object-store"))]
pub(crate) const WITHOUT_OBJECTS: &str =
    "this program was built without object stores; build it with `--features object-store`";

/// What went wrong between the queue and the lake.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// A file or directory could not be written.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file or directory.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// There is no lake, and none can be made.
    #[error("cannot create {path}: {source}; make that possible, or choose another directory (store.lake)")]
    Open {
        /// The directory.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// Files cannot be linked while a partition is exchanged, which takes milliseconds unless its process is stopped.
    #[error(
        "no file can be linked into the lake: a process that merges files holds {path}, and does not go on; wake it, or \
         end it"
    )]
    Locked {
        /// The lock.
        path: String,
    },
    /// Somebody else merges files.
    #[error("{by} merges files in this lake just now; it holds {path}")]
    Busy {
        /// The lock.
        path: String,
        /// Who.
        by: String,
    },
    /// The file system cannot exchange directories.
    #[error(
        "the file system of {path} cannot exchange two directories: {source}; small files stay as they are, and \
         `compact: {{ every_secs: 0 }}` says so"
    )]
    Exchange {
        /// The directory that was to be exchanged.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file could not be filled with rows.
    #[error("cannot write {path}: {source}")]
    Parquet {
        /// What it was to become, inside the lake.
        path: String,
        /// What the encoder says, or the system below it.
        source: ::parquet::errors::ParquetError,
    },
    /// An object store refused, or did not answer.
    #[error("cannot {action} {path}: {source}")]
    Object {
        /// What was tried.
        action: &'static str,
        /// With which object.
        path: String,
        /// What the object store says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An object store cannot be used as the topology and the environment say.
    #[error("the lake {lake} (store.lake) cannot be used: {reason}")]
    Bucket {
        /// Where it was to be.
        lake: String,
        /// What is wrong with that, and the way out.
        reason: String,
    },
    /// Somebody else took over what this worker was writing.
    #[error("{path} was taken from this worker, which was asleep for longer than lease_secs")]
    Fenced {
        /// The file that it was to become.
        path: String,
    },
    /// A frame in the store queue is none that store reads.
    #[error(transparent)]
    Frame(#[from] stages::frame::FrameError),
    /// The queue or the database refused.
    #[error(transparent)]
    Queue(#[from] crate::queue::QueueError),
    /// The worker's own thread ended early.
    #[error("the writer of Parquet files ended early: {0}")]
    Thread(#[from] tokio::task::JoinError),
}

impl LakeError {
    /// Whether it says nothing about other directories of `lake` than the one that was worked on.
    fn is_of_one_place(&self, lake: &Directory) -> bool {
        let staging = lake.staging();
        let of_one = match self {
            Self::Io { source, path, .. } => {
                let path = std::path::Path::new(path);
                is_of_one_file(source) && path != staging && path != staging.join(lock::LINKS)
            }
            Self::Parquet { source: ::parquet::errors::ParquetError::External(source), .. } => {
                source.downcast_ref().is_none_or(is_of_one_file)
            }
            Self::Parquet { .. } => true,
            _ => false,
        };
        // Somebody may have removed it.
        of_one && staging.is_dir()
    }

    /// What a caller can do about it. A lake that cannot be written or read now may be so later.
    pub(crate) fn class(&self) -> Class {
        match self {
            Self::Io { .. }
            | Self::Parquet { .. }
            | Self::Locked { .. }
            | Self::Busy { .. }
            | Self::Object { .. }
            | Self::Fenced { .. } => Class::Retry,
            Self::Frame(_) => Class::Dead,
            Self::Queue(error) => error.class(),
            Self::Open { .. } | Self::Bucket { .. } | Self::Exchange { .. } | Self::Thread(_) => Class::Fatal,
        }
    }

    fn io(action: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Io { action, path, source }
    }
}

/// Whether an error of the system is none that any other file would meet, too.
fn is_of_one_file(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{OutOfMemory, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let kinds = [OutOfMemory, QuotaExceeded, ReadOnlyFilesystem, StorageFull];
    let open_files = [Errno::MFILE, Errno::NFILE].map(|errno| Some(errno.raw_os_error()));
    !kinds.contains(&error.kind()) && !open_files.contains(&error.raw_os_error())
}
