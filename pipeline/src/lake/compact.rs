//! Compaction: small files of a partition become large ones, while anybody reads and store writes.
//!
//! 1. The partition is listed, and after that it is read which files the *intents* name, finished or not: whoever resolves
//!    one asks whether its files are there, so these stay. A file is in a list only after its intent was committed.
//! 2. `stages::store::merges` chooses. The rows go, in order, into a file in a directory in staging.
//! 3. Every other file of the partition is linked into that directory, too, which is synced.
//! 4. Under the lock of those who link files, what has come meanwhile is linked as well, and the two directories are
//!    *exchanged*, in one step of the file system. So whoever lists the partition sees each row once. Who has listed it
//!    before, and opens a file after, finds it gone, and lists again.
//! 5. The old directory is removed some seconds later: somebody may be reading its list.
//!
//! There is nothing to resolve after a crash: before the exchange the new directory is garbage, after it the old one.

mod footer;
mod garbage;
mod listing;
mod merge;
mod swap;
mod task;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fs::{self, File, TryLockError},
    io::Write,
    path::{Path, PathBuf},
    process,
};

use stages::store::{self, CompactOptions, Dataset, StoredFile};

use self::{
    footer::Footer,
    listing::{Listing, PartitionPath, Stamp},
    merge::MergeError,
    swap::{Swap, Swapped},
};
pub use self::{
    garbage::GRACE,
    task::{CompactTask, read_intents},
};
use super::{Lake, LakeError};
use crate::failpoint::fail_point;

/// The lock of who merges, one per lake; the file says who that is.
const LOCK: &str = "compact.lock";

/// Files that are merged at once, and what reading them may take.
const FILES_MAX: usize = 64;
const MEMORY_BYTES_MAX: u64 = 128 << 20;

/// What the data file knows of the lake's files.
#[derive(Debug, Clone, Default)]
pub struct Intents {
    /// The paths, inside the lake, that any intent names.
    pub paths: HashSet<String>,
    /// The rolls that have one.
    pub rolls: HashSet<String>,
}

/// The world, as far as a pass has to ask it.
pub struct Surroundings<'a> {
    /// Reads the intents, as they are now.
    pub intents: &'a dyn Fn() -> Result<Intents, LakeError>,
    /// Whether the pass is to end at the next opportunity.
    pub is_stopping: &'a dyn Fn() -> bool,
}

/// What became of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompactedPartition {
    /// Of which.
    pub dataset: Dataset,
    /// Its directory inside the lake.
    pub partition: String,
    /// Files that became fewer.
    pub merged: u64,
    /// Rows in these; 0 in a dry run.
    pub rows: u64,
    /// Files and their bytes.
    pub before: (u64, u64),
    /// The same afterwards; in a dry run, with bytes as if they just added up.
    pub after: (u64, u64),
}

/// What came of a look through a lake.
#[derive(Debug, Default)]
pub struct Pass {
    /// The partitions whose files are others now.
    pub partitions: Vec<CompactedPartition>,
    /// Files and partitions that were left alone, and why.
    pub troubles: Vec<String>,
}

/// Merges the small files of a lake.
#[derive(Debug)]
pub struct Compactor {
    lake: Lake,
    options: CompactOptions,
    dry_run: bool,
    /// Partitions in which there was nothing to do, as they were then.
    settled: HashMap<PathBuf, Stamp>,
    /// Files that cannot be merged.
    refused: HashSet<PathBuf>,
}

impl CompactedPartition {
    fn of(partition: &PartitionPath, listing: &Listing) -> Self {
        let totals = listing.totals();
        let (dataset, partition) = (partition.dataset, partition.relative.clone());
        Self { dataset, partition, merged: 0, rows: 0, before: totals, after: totals }
    }
}

/// What is to be done in a partition.
struct Plan {
    listing: Listing,
    /// Names of files that become one, in the order of time.
    sets: Vec<Vec<String>>,
}

impl Compactor {
    /// Merges `files_min` or more small files of a partition into one of at most `file_bytes_max` when it is worth it; with
    /// `thorough`, whatever can be merged.
    pub fn new(lake: Lake, files_min: usize, file_bytes_max: u64, thorough: bool) -> Self {
        let options = CompactOptions {
            files_min,
            files_max: FILES_MAX,
            file_bytes_max,
            memory_bytes_max: MEMORY_BYTES_MAX,
            thorough,
        };
        Self { lake, options, dry_run: false, settled: HashMap::new(), refused: HashSet::new() }
    }

    /// The same, but it only tells what it would do.
    pub fn dry(self) -> Self {
        Self { dry_run: true, ..self }
    }

    /// Looks through all partitions of `datasets` once, and merges what is worth it. Blocks.
    ///
    /// # Errors
    /// [`LakeError::Busy`] while another process does that; and when the lake cannot be written, or its file system cannot
    /// exchange directories ([`LakeError::Exchange`]).
    pub fn pass(&mut self, datasets: &[Dataset], world: &Surroundings<'_>) -> Result<Pass, LakeError> {
        let _alone = if self.dry_run { None } else { Some(self.lock()?) };
        let mut pass = Pass::default();
        if !self.dry_run {
            garbage::sweep(&self.lake, &(world.intents)()?.rolls)?;
        }
        for dataset in datasets {
            for partition in listing::partitions(&self.lake, *dataset)? {
                if (world.is_stopping)() {
                    return Ok(pass);
                }
                match self.compact(&partition, world, &mut pass.troubles) {
                    Ok(done) => pass.partitions.extend(done),
                    Err(error) if error.is_of_one_place() => {
                        self.give_up(&partition, &error, &mut pass.troubles)
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(pass)
    }

    /// Leaves a partition alone until something in it changes.
    fn give_up(&mut self, partition: &PartitionPath, error: &LakeError, troubles: &mut Vec<String>) {
        let directory = partition.directory(&self.lake);
        // Gone altogether: nothing to tell.
        if directory.exists() {
            troubles.push(left_alone(&directory, &error.to_string()));
        }
        self.settled.extend(Stamp::of(&directory).map(|stamp| (directory, stamp)));
    }

    /// Removes what this and others have left, as far as its time has come. Blocks.
    ///
    /// # Errors
    /// As [`Compactor::pass`].
    pub fn sweep(&self, world: &Surroundings<'_>) -> Result<(), LakeError> {
        let _alone = self.lock()?;
        garbage::sweep(&self.lake, &(world.intents)()?.rolls)
    }

    /// Keeps others from merging in this lake.
    fn lock(&self) -> Result<File, LakeError> {
        let path = self.lake.staging().join(LOCK);
        // A lock needs no right to write, which another user may not have.
        let opened = File::options().write(true).create(true).truncate(false).open(&path);
        let mut file = opened.or_else(|_| File::open(&path)).map_err(LakeError::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => {
                let _only_for_people =
                    file.set_len(0).and_then(|()| write!(file, "process {}", process::id()));
                Ok(file)
            }
            Err(TryLockError::WouldBlock) => {
                let by = fs::read_to_string(&path).ok().filter(|by| !by.is_empty());
                let (path, by) =
                    (path.display().to_string(), by.unwrap_or_else(|| "another process".to_owned()));
                Err(LakeError::Busy { path, by })
            }
            Err(TryLockError::Error(error)) => Err(LakeError::io("lock", &path)(error)),
        }
    }

    /// Merges in a partition until nothing is left that is worth it.
    fn compact(
        &mut self,
        partition: &PartitionPath,
        world: &Surroundings<'_>,
        troubles: &mut Vec<String>,
    ) -> Result<Option<CompactedPartition>, LakeError> {
        let directory = partition.directory(&self.lake);
        let stamp = Stamp::of(&directory);
        if stamp.is_some() && self.settled.get(&directory) == stamp.as_ref() {
            return Ok(None);
        }
        let mut done: Option<CompactedPartition> = None;
        while !(world.is_stopping)() {
            let plan = match self.plan(partition, world, troubles)? {
                Planned::Merge(plan) => plan,
                Planned::Settled => {
                    self.settled.extend(stamp.filter(|_| done.is_none()).map(|stamp| (directory, stamp)));
                    break;
                }
                Planned::NotNow => break,
            };
            let report = done.get_or_insert_with(|| CompactedPartition::of(partition, &plan.listing));
            if self.dry_run {
                let files: usize = plan.sets.iter().map(Vec::len).sum();
                report.merged = files as u64;
                report.after.0 = report.before.0 - files as u64 + plan.sets.len() as u64;
                break;
            }
            let swapped = match self.merge(partition, &plan, world) {
                Ok(swapped) => swapped,
                Err(MergeError::Output(error)) => return Err(error),
                Err(MergeError::Encoding(error)) => {
                    return Err(self.lake.unwritten(&partition.relative, error));
                }
                Err(MergeError::Stopped) => None,
                Err(MergeError::Input(path, reason)) => {
                    troubles.push(left_alone(&path, &reason));
                    if self.refused.insert(path) {
                        continue;
                    }
                    None
                }
            };
            let Some(merged) = swapped else { break };
            report.merged += merged.merged;
            report.rows += merged.rows;
            report.after = merged.after;
            if !self.options.thorough {
                break;
            }
        }
        Ok(done.filter(|done| done.merged > 0))
    }

    /// What there is to merge.
    fn plan(
        &mut self,
        partition: &PartitionPath,
        world: &Surroundings<'_>,
        troubles: &mut Vec<String>,
    ) -> Result<Planned, LakeError> {
        let directory = partition.directory(&self.lake);
        let Some(listing) = Listing::of(&directory)? else { return Ok(Planned::Settled) };
        let small = |(name, entry): (&str, listing::Entry)| StoredFile {
            name: name.to_owned(),
            bytes: entry.bytes,
            columns: 0,
            memory_bytes: 0,
        };
        let mut files: Vec<_> = listing.parquet().map(small).collect();
        files.retain(|file| !self.refused.contains(&directory.join(&file.name)));
        if store::merges(&files, &self.options).is_empty() {
            return Ok(Planned::Settled);
        }
        // Only now: whatever is in the list had its intent before.
        let named = (world.intents)()?.paths;
        let count = files.len();
        files.retain(|file| !named.contains(&format!("{}/{}", partition.relative, file.name)));
        let all = files.len() == count;
        files.retain(|file| file.bytes < self.options.file_bytes_max / 2);
        files.retain_mut(|file| {
            let path = directory.join(&file.name);
            let footer = Footer::read(&path).map_err(|reason| {
                troubles.push(left_alone(&path, &reason));
                self.refused.insert(path)
            });
            let read = footer.map(|footer| {
                (file.columns, file.memory_bytes) = (footer.columns, footer.batches.memory_bytes)
            });
            read.is_ok()
        });
        let names = |set: &Vec<usize>| set.iter().map(|index| files[*index].name.clone()).collect();
        let sets: Vec<Vec<String>> = store::merges(&files, &self.options).iter().map(names).collect();
        Ok(match (sets.is_empty(), all) {
            (false, _) => Planned::Merge(Plan { listing, sets }),
            (true, true) => Planned::Settled,
            (true, false) => Planned::NotNow,
        })
    }

    /// Writes the merged files and puts them in the place of the others; none if that has to wait.
    fn merge(
        &self,
        partition: &PartitionPath,
        plan: &Plan,
        world: &Surroundings<'_>,
    ) -> Result<Option<CompactedPartition>, MergeError> {
        let directory = partition.directory(&self.lake);
        let mut swap = Swap::new(&self.lake, directory.clone(), &plan.listing)?;
        let mut done = CompactedPartition::of(partition, &plan.listing);
        let mut written = 0;
        for set in &plan.sets {
            let names: Vec<_> = set.iter().map(String::as_str).collect();
            let name = store::merged_name(names.iter().copied());
            let paths: Vec<_> = names.iter().map(|name| directory.join(name)).collect();
            let file = swap.create(&name)?;
            let (file, rows) = merge::merge(&paths, partition.dataset, file, world.is_stopping)?;
            let bytes = swap.put(&file, &name, &names)?;
            fail_point!("compact_write");
            let of_set = BTreeSet::from_iter(names);
            let old = plan.listing.parquet().filter(|(name, _)| of_set.contains(name));
            let old: u64 = old.map(|(_, entry)| entry.bytes).sum();
            done.merged += set.len() as u64;
            done.rows += rows;
            done.after.0 -= set.len() as u64 - 1;
            done.after.1 = done.after.1 - old + bytes;
            written += bytes;
        }
        Ok(match swap.exchange()? {
            Swapped::NotNow => None,
            Swapped::Done => {
                self.lake.meters().compacted(partition.dataset, done.merged, done.rows, written);
                Some(done)
            }
        })
    }
}

enum Planned {
    Merge(Plan),
    /// Nothing, until something comes or goes.
    Settled,
    /// Nothing yet: files are still settled.
    NotNow,
}

fn left_alone(path: &Path, reason: &str) -> String {
    format!("{} is left alone when files are merged: {reason}", path.display())
}
