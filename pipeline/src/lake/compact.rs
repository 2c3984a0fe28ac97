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

pub(in crate::lake) mod footer;
mod garbage;
mod listing;
pub(in crate::lake) mod merge;
mod pass;
mod swap;
mod task;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fmt::Display,
    fs::{self, File, TryLockError},
    io::Write,
    path::PathBuf,
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
    pass::{CompactedPartition, Named, Pass, Surroundings},
    task::{CompactTask, read_intents},
};
use super::{LakeError, directory::Directory, lock};
use crate::failpoint::fail_point;

/// The lock of who merges, one per lake; the file says who that is.
const LOCK: &str = "compact.lock";

/// Merges the small files of a lake in a directory.
#[derive(Debug)]
pub(super) struct Compactor {
    lake: Directory,
    options: CompactOptions,
    dry_run: bool,
    /// Partitions in which there was nothing to do, as they were then.
    settled: HashMap<PathBuf, Stamp>,
    /// Files that cannot be merged.
    refused: HashSet<PathBuf>,
}

/// What is to be done in a partition.
struct Plan {
    listing: Listing,
    /// Names of files that become one, in the order of time.
    sets: Vec<Vec<String>>,
}

impl Compactor {
    pub(super) fn new(lake: Directory, options: CompactOptions) -> Self {
        Self { lake, options, dry_run: false, settled: HashMap::new(), refused: HashSet::new() }
    }

    /// The same, but it only tells what it would do.
    pub(super) fn dry(self) -> Self {
        Self { dry_run: true, ..self }
    }

    /// Looks through all partitions of `datasets` once, and merges what is worth it. Blocks. Whatever ends it early, the
    /// pass tells what was done until then.
    ///
    /// # Errors
    /// [`LakeError::Busy`] while another process does that; and when the lake cannot be written, or its file system cannot
    /// exchange directories ([`LakeError::Exchange`]).
    pub(super) fn pass(
        &mut self,
        datasets: &[Dataset],
        world: &Surroundings<'_>,
    ) -> (Pass, Result<(), LakeError>) {
        let mut pass = Pass::default();
        let ended = self.look_through(datasets, world, &mut pass);
        (pass, ended)
    }

    fn look_through(
        &mut self,
        datasets: &[Dataset],
        world: &Surroundings<'_>,
        pass: &mut Pass,
    ) -> Result<(), LakeError> {
        let _alone = if self.dry_run { None } else { Some(self.lock()?) };
        if !self.dry_run {
            garbage::sweep(&self.lake, &(world.intents)()?.rolls)?;
        }
        for dataset in datasets {
            let found = listing::partitions(&self.lake, *dataset, &self.settled);
            for (directory, error) in &found.refused {
                pass.troubles.push(left_alone(directory.display(), &error.to_string()));
            }
            self.forget_gone(*dataset, &found);
            for partition in found.partitions {
                if (world.is_stopping)() {
                    return Ok(());
                }
                match self.compact(&partition, world, pass) {
                    Err(error) if error.is_of_one_place(&self.lake) => {
                        self.give_up(&partition, &error, &mut pass.troubles);
                    }
                    compacted => compacted?,
                }
            }
        }
        Ok(())
    }

    /// Forgets what is known of partitions that are gone.
    fn forget_gone(&mut self, dataset: Dataset, found: &listing::Found) {
        if !found.refused.is_empty() {
            return;
        }
        let dataset = self.lake.root().join(dataset.as_str());
        let there = found.partitions.iter().map(|partition| partition.directory(&self.lake));
        let there: HashSet<_> = there.chain(found.settled.iter().cloned()).collect();
        self.settled.retain(|directory, _| !directory.starts_with(&dataset) || there.contains(directory));
        self.refused.retain(|file| {
            !file.starts_with(&dataset) || file.parent().is_some_and(|directory| there.contains(directory))
        });
    }

    /// Leaves a partition alone until something in it changes.
    fn give_up(&mut self, partition: &PartitionPath, error: &LakeError, troubles: &mut Vec<String>) {
        let directory = partition.directory(&self.lake);
        // Gone altogether: nothing to tell.
        if directory.exists() {
            troubles.push(left_alone(directory.display(), &error.to_string()));
        }
        self.settled.extend(Stamp::of(&directory).map(|stamp| (directory, stamp)));
    }

    /// Removes what this and others have left, as far as its time has come. Blocks.
    ///
    /// # Errors
    /// As [`Compactor::pass`].
    pub(super) fn sweep(&self, world: &Surroundings<'_>) -> Result<(), LakeError> {
        let _alone = self.lock()?;
        garbage::sweep(&self.lake, &(world.intents)()?.rolls)
    }

    /// Keeps others from merging in this lake.
    fn lock(&self) -> Result<File, LakeError> {
        let path = self.lake.staging().join(LOCK);
        // A lock needs no right to write, which another user may not have.
        let opened = File::options().write(true).open(&path);
        let mut file = opened.or_else(|_| lock::open(&path)).map_err(LakeError::io("open", &path))?;
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
        pass: &mut Pass,
    ) -> Result<(), LakeError> {
        let mut done = None;
        let result = self.merge_on(partition, world, pass, &mut done);
        pass.partitions.extend(done.filter(|done| done.merged > 0));
        result
    }

    fn merge_on(
        &mut self,
        partition: &PartitionPath,
        world: &Surroundings<'_>,
        pass: &mut Pass,
        done: &mut Option<CompactedPartition>,
    ) -> Result<(), LakeError> {
        let directory = partition.directory(&self.lake);
        let stamp = Stamp::of(&directory);
        // What comes meanwhile is left to the next pass: with it, this one need not end.
        let mut known: Option<HashSet<String>> = None;
        while !(world.is_stopping)() {
            let plan = match self.plan(partition, known.as_ref(), world, &mut pass.troubles)? {
                Planned::Merge(plan) => plan,
                Planned::Settled => {
                    self.settled.extend(stamp.filter(|_| done.is_none()).map(|stamp| (directory, stamp)));
                    break;
                }
                Planned::NotNow => {
                    pass.waiting += 1;
                    break;
                }
            };
            let report = done.get_or_insert_with(|| CompactedPartition::of(partition, &plan.listing));
            if self.dry_run {
                let files: usize = plan.sets.iter().map(Vec::len).sum();
                report.merged = files as u64;
                report.after.0 = report.before.0 - files as u64 + plan.sets.len() as u64;
                break;
            }
            let Merged { swapped, refused } = self.merge(partition, &plan, world)?;
            let others = !refused.is_empty();
            for (path, reason) in refused {
                pass.troubles.push(left_alone(path.display(), &reason));
                self.refused.insert(path);
            }
            let names = || plan.listing.parquet().map(|(name, _)| name.to_owned()).collect();
            let known = known.get_or_insert_with(names);
            match swapped {
                Some(merged) => {
                    known.extend(
                        plan.sets.iter().map(|set| store::merged_name(set.iter().map(String::as_str))),
                    );
                    report.merged += merged.merged;
                    report.rows += merged.rows;
                    report.after = merged.after;
                }
                None if others => continue,
                None => {
                    pass.waiting += 1;
                    break;
                }
            }
            if !self.options.thorough {
                break;
            }
        }
        Ok(())
    }

    /// What there is to merge, of what is `known` where anything is.
    fn plan(
        &mut self,
        partition: &PartitionPath,
        known: Option<&HashSet<String>>,
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
        files.retain(|file| known.is_none_or(|known| known.contains(&file.name)));
        files.retain(|file| !self.refused.contains(&directory.join(&file.name)));
        if store::merges(&files, &self.options).is_empty() {
            return Ok(Planned::Settled);
        }
        // Only now: whatever is in the list had its intent before.
        let named = (world.intents)()?.paths;
        let count = files.len();
        files.retain(|file| !named.contains(&format!("{}/{}", partition.relative, file.name)));
        let mut all = files.len() == count;
        files.retain(|file| file.bytes < self.options.file_bytes_max / 2);
        files.retain_mut(|file| {
            let path = directory.join(&file.name);
            match Footer::read(&path) {
                Ok(footer) => {
                    (file.columns, file.memory_bytes) = (footer.columns, footer.batches.memory_bytes)
                }
                Err(_) if !merge::can_be_opened(&path) => {
                    all = false;
                    return false;
                }
                Err(reason) => {
                    troubles.push(left_alone(path.display(), &reason));
                    self.refused.insert(path);
                    return false;
                }
            }
            true
        });
        let names = |set: &Vec<usize>| set.iter().map(|index| files[*index].name.clone()).collect();
        let sets: Vec<Vec<String>> = store::merges(&files, &self.options).iter().map(names).collect();
        Ok(match (sets.is_empty(), all) {
            (false, _) => Planned::Merge(Plan { listing, sets }),
            (true, true) => Planned::Settled,
            (true, false) => Planned::NotNow,
        })
    }

    /// Writes the merged files and puts them in the place of the others.
    fn merge(
        &self,
        partition: &PartitionPath,
        plan: &Plan,
        world: &Surroundings<'_>,
    ) -> Result<Merged, LakeError> {
        let directory = partition.directory(&self.lake);
        let mut swap = Swap::new(&self.lake, directory.clone(), &plan.listing)?;
        let mut done = CompactedPartition::of(partition, &plan.listing);
        let (mut written, mut refused) = (0, Vec::new());
        for set in &plan.sets {
            let names: Vec<_> = set.iter().map(String::as_str).collect();
            let name = store::merged_name(names.iter().copied());
            let paths: Vec<_> = names.iter().map(|name| directory.join(name)).collect();
            let file = swap.create(&name, names.first().unwrap_or(&""))?;
            let (file, rows) = match merge::merge(&paths, partition.dataset, file, world.is_stopping) {
                Err(MergeError::Input(path, reason)) => {
                    // The other sets are as good without this one.
                    swap.remove(&name)?;
                    refused.push((path, reason));
                    continue;
                }
                Err(MergeError::Encoding(error)) => {
                    return Err(self.lake.unwritten(&partition.relative, error));
                }
                Err(MergeError::NotNow | MergeError::Stopped) => {
                    return Ok(Merged { swapped: None, refused });
                }
                Ok(merged) => merged,
            };
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
        if done.merged == 0 || swap.exchange()? == Swapped::NotNow {
            return Ok(Merged { swapped: None, refused });
        }
        self.lake.meters().compacted(partition.dataset, done.merged, done.rows, written);
        Ok(Merged { swapped: Some(done), refused })
    }
}

/// What came of a plan.
struct Merged {
    /// The partition as it is now; none if that has to wait.
    swapped: Option<CompactedPartition>,
    /// Files that cannot be merged, and why.
    refused: Vec<(PathBuf, String)>,
}

enum Planned {
    Merge(Plan),
    /// Nothing, until something comes or goes.
    Settled,
    /// Nothing yet: files are still settled.
    NotNow,
}

/// What is said of what stays as it is.
pub(super) fn left_alone(path: impl Display, reason: &str) -> String {
    format!("{path} is left alone when files are merged: {reason}")
}
