//! Compaction, wherever the lake is.

use std::time::Duration;

use stages::store::{CompactOptions, Dataset};

#[cfg(feature = "object-store")]
use super::objects;
use super::{GRACE, Lake, LakeError, Pass, Surroundings, compact, place::Place};

/// Files that are merged at once, and what reading them may take.
const FILES_MAX: usize = 64;
const MEMORY_BYTES_MAX: u64 = 128 << 20;

/// Merges the small files of a lake.
#[derive(Debug)]
pub struct Compactor(Kind);

#[derive(Debug)]
enum Kind {
    Directory(compact::Compactor),
    #[cfg(feature = "object-store")]
    Objects(objects::Compactor),
}

impl Compactor {
    /// Merges `files_min` or more small files of a partition into one of at most `file_bytes_max` when it is worth it; with
    /// `thorough`, whatever can be merged.
    pub fn new(lake: Lake, files_min: usize, file_bytes_max: u64, thorough: bool) -> Self {
        let options = options(files_min, file_bytes_max, thorough);
        Self(match lake.0 {
            Place::Directory(lake) => Kind::Directory(compact::Compactor::new(lake, options)),
            #[cfg(feature = "object-store")]
            Place::Objects(lake) => Kind::Objects(objects::Compactor::new(lake, options)),
        })
    }

    /// The same, but it only tells what it would do.
    pub fn dry(self) -> Self {
        Self(match self.0 {
            Kind::Directory(compactor) => Kind::Directory(compactor.dry()),
            #[cfg(feature = "object-store")]
            Kind::Objects(compactor) => Kind::Objects(compactor.dry()),
        })
    }

    /// Looks through all partitions of `datasets` once, and merges what is worth it. Blocks. Whatever ends it early, the
    /// pass tells what was done until then.
    ///
    /// # Errors
    /// [`LakeError::Busy`] while another process does that; and when the lake cannot be written, or its file system cannot
    /// exchange directories ([`LakeError::Exchange`]).
    pub fn pass(&mut self, datasets: &[Dataset], world: &Surroundings<'_>) -> (Pass, Result<(), LakeError>) {
        match &mut self.0 {
            Kind::Directory(compactor) => compactor.pass(datasets, world),
            #[cfg(feature = "object-store")]
            Kind::Objects(compactor) => compactor.pass(datasets, world),
        }
    }

    /// How long what was merged stays, for who is reading a list of it, until [`Compactor::sweep`] removes it. In an object
    /// store nothing does.
    pub fn grace(&self) -> Duration {
        match &self.0 {
            Kind::Directory(_) => GRACE,
            #[cfg(feature = "object-store")]
            Kind::Objects(_) => Duration::ZERO,
        }
    }

    /// Removes what this and others have left, as far as its time has come. Blocks.
    ///
    /// # Errors
    /// As [`Compactor::pass`].
    pub fn sweep(&self, world: &Surroundings<'_>) -> Result<(), LakeError> {
        match &self.0 {
            Kind::Directory(compactor) => compactor.sweep(world),
            // What it leaves it removes in its next pass.
            #[cfg(feature = "object-store")]
            Kind::Objects(_) => Ok(()),
        }
    }
}

pub(super) fn options(files_min: usize, file_bytes_max: u64, thorough: bool) -> CompactOptions {
    CompactOptions {
        files_min,
        files_max: FILES_MAX,
        file_bytes_max,
        memory_bytes_max: MEMORY_BYTES_MAX,
        thorough,
    }
}
