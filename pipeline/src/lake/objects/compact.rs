//! Compaction in an object store: merging the small files of a partition by an entry of its log.
//!
//! 1. The log is read, then the partition is listed, and after that it is read which files the *intents* name: these stay.
//! 2. `stages::store::merges` chooses. The files are brought here and merged into a file without a name.
//! 3. An entry of the log says what takes the place of what; the merged file is created; the others are removed; the entry
//!    is marked as done. See `log` for what readers and others make of it at each of these moments.

mod merging;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use object_store::ObjectMeta;
use stages::store::{self, CompactOptions, Dataset, StoredFile};

use self::merging::Merged;
use super::{Objects, fence, log::Turn, tail::Tail};
use crate::{
    clock,
    lake::{CompactedPartition, LakeError, Pass, Surroundings, compact::left_alone},
};

/// How long a fence stays: no queue keeps frames for longer, and nobody sleeps for so long and goes on.
const FENCE_KEPT: TimeDelta = TimeDelta::days(15);

/// A partition in which there was nothing to do is looked at again after so long; twice as long each time, up to the latter.
const QUIET_MIN: Duration = Duration::from_secs(60);
const QUIET_MAX: Duration = Duration::from_secs(6 * 3600);

/// Directories below a dataset's own that lead to a file, at the most: `date=…/hour=…`.
const DEPTH_MAX: usize = 2;

/// Merges the small files of a lake in an object store.
#[derive(Debug)]
pub(in crate::lake) struct Compactor {
    lake: Objects,
    options: CompactOptions,
    dry_run: bool,
    /// When partitions in which nothing was to do are looked at again, and how long that was put off.
    quiet: HashMap<String, (Instant, Duration)>,
    /// What is known of files by their ends; none of those that cannot be merged.
    known: HashMap<String, Option<End>>,
}

/// What the end of a file says.
#[derive(Debug, Clone, Copy)]
struct End {
    columns: u64,
    memory_bytes: u64,
    is_fence: bool,
}

/// A partition that is looked at.
struct Look<'a> {
    dataset: Dataset,
    /// Its directory inside the lake.
    partition: &'a str,
    world: &'a Surroundings<'a>,
    /// The files that were there at first; what comes later is left to the next pass.
    first: Option<HashSet<String>>,
}

/// What a look finds to be done.
enum Planned {
    /// Files that become one, by name, in the order of time; several sets.
    Merge(Vec<Vec<String>>),
    Nothing,
    /// Nothing yet: files are still settled.
    NotNow,
}

type Files = BTreeMap<String, ObjectMeta>;

impl Compactor {
    pub(in crate::lake) fn new(lake: Objects, options: CompactOptions) -> Self {
        Self { lake, options, dry_run: false, quiet: HashMap::new(), known: HashMap::new() }
    }

    pub(in crate::lake) fn dry(self) -> Self {
        Self { dry_run: true, ..self }
    }

    /// Looks through all partitions of `datasets` once. Blocks.
    pub(in crate::lake) fn pass(
        &mut self,
        datasets: &[Dataset],
        world: &Surroundings<'_>,
    ) -> (Pass, Result<(), LakeError>) {
        let mut pass = Pass::default();
        let ended = datasets.iter().try_for_each(|dataset| self.look_through(*dataset, world, &mut pass));
        (pass, ended)
    }

    fn look_through(
        &mut self,
        dataset: Dataset,
        world: &Surroundings<'_>,
        pass: &mut Pass,
    ) -> Result<(), LakeError> {
        for partition in self.lake.wait(self.lake.partitions(dataset.as_str()))? {
            if (world.is_stopping)() {
                break;
            }
            if self.quiet.get(&partition).is_some_and(|(until, _)| Instant::now() < *until) {
                continue;
            }
            let mut done = None;
            let look = Look { dataset, partition: &partition, world, first: None };
            let result = self.compact(look, pass, &mut done);
            let was_busy = done.is_some() || result.is_err();
            pass.partitions.extend(done.filter(|done: &CompactedPartition| done.merged > 0));
            result?;
            let before = self.quiet.remove(&partition).map_or(QUIET_MIN, |(_, pause)| pause);
            if !was_busy && !self.options.thorough {
                let pause = (before * 2).min(QUIET_MAX);
                self.quiet.insert(partition, (Instant::now() + before, pause));
            }
        }
        Ok(())
    }

    /// Merges in a partition until nothing is left that is worth it.
    fn compact(
        &mut self,
        mut look: Look<'_>,
        pass: &mut Pass,
        done: &mut Option<CompactedPartition>,
    ) -> Result<(), LakeError> {
        while !(look.world.is_stopping)() {
            let now = DateTime::from_timestamp_micros(clock::now()).unwrap_or_default();
            let log = self.lake.wait(self.lake.log(look.partition))?;
            let number = match log.turn(now) {
                Turn::Free(number) => number,
                Turn::Abandoned(number) if !self.dry_run => {
                    self.finish(look.partition, number)?;
                    continue;
                }
                Turn::Abandoned(_) | Turn::Taken => {
                    pass.waiting += 1;
                    break;
                }
            };
            let files = self.lake.wait(self.lake.list(look.partition))?;
            let sets = match self.plan(&look, &files, pass)? {
                Planned::Merge(sets) => sets,
                Planned::Nothing => {
                    self.tidy(&look, &files, &log, now)?;
                    break;
                }
                Planned::NotNow => {
                    pass.waiting += 1;
                    break;
                }
            };
            let report = done.get_or_insert_with(|| report(&look, &files));
            if self.dry_run {
                let merged: usize = sets.iter().map(Vec::len).sum();
                report.merged = merged as u64;
                report.after.0 = report.before.0 - merged as u64 + sets.len() as u64;
                break;
            }
            let first = look.first.get_or_insert_with(|| files.keys().cloned().collect());
            // One at a time: each is an entry of the log.
            let Some(set) = sets.first() else { break };
            match self.merge(look.world, look.dataset, look.partition, number, set)? {
                Merged::Done { name, rows, bytes } => {
                    first.insert(name);
                    let old: u64 = set.iter().filter_map(|name| files.get(name)).map(|file| file.size).sum();
                    let count = set.len() as u64;
                    report.merged += count;
                    report.rows += rows;
                    report.after.0 -= count - 1;
                    report.after.1 = (report.after.1 + bytes).saturating_sub(old);
                    self.lake.meters().compacted(look.dataset, count, rows, bytes);
                }
                Merged::Refused(name, reason) => {
                    let path = format!("{}/{name}", look.partition);
                    pass.troubles.push(left_alone(self.lake.shown_at(&path), &reason));
                    self.known.insert(path, None);
                }
                Merged::NotNow => {
                    pass.waiting += 1;
                    break;
                }
            }
        }
        Ok(())
    }

    /// What there is to merge.
    fn plan(&mut self, look: &Look<'_>, listed: &Files, pass: &mut Pass) -> Result<Planned, LakeError> {
        let path = |name: &str| format!("{}/{name}", look.partition);
        let file = |(name, object): (&String, &ObjectMeta)| StoredFile {
            name: name.clone(),
            bytes: object.size,
            columns: 0,
            memory_bytes: 0,
        };
        let mut files: Vec<_> = listed.iter().map(file).collect();
        files.retain(|file| look.first.as_ref().is_none_or(|first| first.contains(&file.name)));
        files.retain(|file| {
            !matches!(self.known.get(&path(&file.name)), Some(None | Some(End { is_fence: true, .. })))
        });
        if store::merges(&files, &self.options).is_empty() {
            return Ok(Planned::Nothing);
        }
        // Only now: whatever is in the list had its intent before.
        let named = (look.world.intents)()?.paths;
        let count = files.len();
        files.retain(|file| !named.contains(&path(&file.name)));
        let all = files.len() == count;
        files.retain(|file| file.bytes < self.options.file_bytes_max / 2);
        for file in &mut files {
            if let Some(end) = self.end(&path(&file.name), file.bytes, pass)? {
                (file.columns, file.memory_bytes) = (end.columns, end.memory_bytes);
            }
        }
        files.retain(|file| {
            matches!(self.known.get(&path(&file.name)), Some(Some(End { is_fence: false, .. })))
        });
        let sets: Vec<Vec<String>> = store::merges(&files, &self.options)
            .iter()
            .map(|set| set.iter().map(|index| files[*index].name.clone()).collect())
            .collect();
        Ok(match (sets.is_empty(), all) {
            (false, _) => Planned::Merge(sets),
            (true, true) => Planned::Nothing,
            (true, false) => Planned::NotNow,
        })
    }

    /// What the end of a file says; none if it cannot be merged, or is gone.
    fn end(&mut self, path: &str, bytes: u64, pass: &mut Pass) -> Result<Option<End>, LakeError> {
        if let Some(end) = self.known.get(path) {
            return Ok(*end);
        }
        let Some(tail) = self.lake.wait(Tail::read(&self.lake, path, bytes))? else { return Ok(None) };
        let end = match tail.footer()? {
            Ok(footer) => Some(End {
                columns: footer.columns,
                memory_bytes: footer.batches.memory_bytes,
                is_fence: footer.rows == 0,
            }),
            Err(reason) => {
                pass.troubles.push(left_alone(self.lake.shown_at(path), &reason));
                None
            }
        };
        self.known.insert(path.to_owned(), end);
        Ok(end)
    }

    /// Removes what nobody needs any more: entries of the log, and fences.
    fn tidy(
        &mut self,
        look: &Look<'_>,
        files: &Files,
        log: &super::log::Log,
        now: DateTime<Utc>,
    ) -> Result<(), LakeError> {
        let prefix = format!("{}/", look.partition);
        self.known.retain(|path, _| path.strip_prefix(&prefix).is_none_or(|name| files.contains_key(name)));
        if self.dry_run {
            return Ok(());
        }
        self.lake.wait(self.lake.forget_old(look.partition, log, now))?;
        for (name, object) in files {
            if object.size > fence::BYTES_MAX || now - object.last_modified < FENCE_KEPT {
                continue;
            }
            let path = format!("{}/{name}", look.partition);
            if matches!(self.known.get(&path), Some(Some(End { is_fence: false, .. }))) {
                continue;
            }
            if let Some(end) = self.end(&path, object.size, &mut Pass::default())?
                && end.is_fence
            {
                let name = self.lake.name(&path);
                self.lake.wait(self.lake.remove(&name)).map_err(self.lake.failed("remove", &name))?;
            }
        }
        Ok(())
    }
}

impl Objects {
    /// The directories of `dataset` that hold files, inside the lake, in the order of time.
    async fn partitions(&self, dataset: &str) -> Result<Vec<String>, LakeError> {
        let (mut found, mut level) = (Vec::new(), vec![dataset.to_owned()]);
        for _ in 0..DEPTH_MAX {
            let mut below = Vec::new();
            for path in level {
                let names = self.directories(&path).await?;
                below.extend(
                    names.iter().filter(|name| name.contains('=')).map(|name| format!("{path}/{name}")),
                );
            }
            found.extend(below.iter().cloned());
            level = below;
        }
        found.sort();
        Ok(found)
    }
}

/// Before anything is merged.
fn report(look: &Look<'_>, files: &Files) -> CompactedPartition {
    let totals = (files.len() as u64, files.values().map(|file| file.size).sum());
    let (dataset, partition) = (look.dataset, look.partition.to_owned());
    CompactedPartition { dataset, partition, merged: 0, rows: 0, before: totals, after: totals }
}
