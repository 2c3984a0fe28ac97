//! The log of merges: which file is to take the place of which others.
//!
//! An object store has no step in which several files become one. So who merges says so first, in an entry of the
//! partition's log, `.compact/PARTITION/NUMBER.json`; puts the merged file there; removes the others; and marks the entry as
//! done by `NUMBER.done`.
//!
//! - Entries are numbered without a gap and created, never replaced; a new one only after the last is done. So one
//!   process at a time merges in a partition, and none by a list that others have changed since: their entry has its number.
//!   The last entry is never removed, so a number that comes again is seen to be an old one.
//! - Who lists files reads the log after that. An entry counts if its merged file is in the list: then those that it was made
//!   of are left out. Entries stay for [`KEPT`], far longer than a list is read.
//! - An entry that nobody finishes is taken over: its merged file is there, and the others go, or a fence is.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use object_store::{Error, ObjectMeta, ObjectStoreExt, PutPayload};
use serde::{Deserialize, Serialize};

use super::{Objects, create};
use crate::lake::LakeError;

const LOG: &str = ".compact";

/// How long an entry stays that is done.
pub(super) const KEPT: TimeDelta = TimeDelta::hours(1);
/// After how long an entry that is not done is nobody's: only sending the merged file and removing the others lies between.
const ABANDONED: TimeDelta = TimeDelta::minutes(10);

/// What an entry says; the names are those of files in the partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// The file that takes the place of the others, and its size: a fence under its name has another.
    pub(super) merged: String,
    pub(super) bytes: u64,
    /// The files that it was made of.
    pub(super) inputs: Vec<String>,
    /// Tells who wrote it.
    pub(super) by: String,
}

/// The log of a partition, without what its entries say.
#[derive(Debug, Default)]
pub(super) struct Log(BTreeMap<u64, Marks>);

/// When an entry was written, and marked as done.
#[derive(Debug, Default, Clone, Copy)]
struct Marks {
    written: Option<DateTime<Utc>>,
    done: Option<DateTime<Utc>>,
}

/// Who may merge in a partition.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Whoever writes the entry with this number.
    Free(u64),
    /// Whoever finishes the entry with this number, which its writer has left.
    Abandoned(u64),
    /// Who has written the last entry.
    Taken,
}

impl Log {
    fn of(objects: &[ObjectMeta]) -> Self {
        let mut log = Self::default();
        for object in objects {
            let name = object.location.filename().unwrap_or_default();
            let Some((number, kind)) = name.split_once('.') else { continue };
            let Ok(number) = number.parse() else { continue };
            let marks = log.0.entry(number).or_default();
            match kind {
                "json" => marks.written = Some(object.last_modified),
                "done" => marks.done = Some(object.last_modified),
                _ => {}
            }
        }
        log
    }

    /// Whose turn it is.
    pub(super) fn turn(&self, now: DateTime<Utc>) -> Turn {
        let Some((number, marks)) = self.0.last_key_value() else { return Turn::Free(1) };
        match marks {
            Marks { done: Some(_), .. } => Turn::Free(number + 1),
            Marks { written: Some(written), .. } if now - written > ABANDONED => Turn::Abandoned(*number),
            _ => Turn::Taken,
        }
    }

    fn last(&self) -> Option<u64> {
        self.0.last_key_value().map(|(number, _)| *number)
    }

    /// The entries that can go. The last one never can.
    fn old(&self, now: DateTime<Utc>) -> impl Iterator<Item = u64> {
        let before_last = self.0.iter().rev().skip(1);
        let old = before_last.filter(move |(_, marks)| {
            marks.done.or(marks.written).is_some_and(|changed| now - changed > KEPT)
        });
        old.map(|(number, _)| *number)
    }
}

impl Objects {
    /// The log of a partition as it is now.
    pub(super) async fn log(&self, partition: &str) -> Result<Log, LakeError> {
        let place = self.name(&format!("{LOG}/{partition}"));
        let listed = self.0.again.list_with_delimiter(Some(&place)).await;
        Ok(Log::of(&listed.map_err(self.failed("list", &place))?.objects))
    }

    /// What the entries of a log say; one that is gone meanwhile says nothing.
    pub(super) async fn entries(&self, partition: &str, log: &Log) -> Result<Vec<Entry>, LakeError> {
        let mut entries = Vec::new();
        for (number, marks) in &log.0 {
            if marks.written.is_some() {
                entries.extend(self.entry(partition, *number).await?);
            }
        }
        Ok(entries)
    }

    /// What an entry says, if it is there.
    pub(super) async fn entry(&self, partition: &str, number: u64) -> Result<Option<Entry>, LakeError> {
        let name = self.name(&file(partition, number, "json"));
        let read = async { self.0.again.get(&name).await?.bytes().await };
        let bytes = match read.await {
            Err(Error::NotFound { .. }) => return Ok(None),
            read => read.map_err(self.failed("read", &name))?,
        };
        let failed = |source| LakeError::Object { action: "read", path: self.shown(&name), source };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| failed(Box::new(error)))
    }

    /// Writes an entry. False if its number is another's, or not the next one any more.
    pub(super) async fn begin(&self, partition: &str, number: u64, entry: &Entry) -> Result<bool, LakeError> {
        let name = self.name(&file(partition, number, "json"));
        let failed = |source| LakeError::Object { action: "write", path: self.shown(&name), source };
        let text = serde_json::to_vec_pretty(entry).map_err(|error| failed(Box::new(error)))?;
        let written = self.0.once.put_opts(&name, PutPayload::from(text), create()).await;
        if let Err(error) = written
            && self.entry(partition, number).await?.as_ref() != Some(entry)
        {
            return if matches!(error, Error::AlreadyExists { .. }) {
                Ok(false)
            } else {
                Err(failed(Box::new(error)))
            };
        }
        if self.log(partition).await?.last() == Some(number) {
            return Ok(true);
        }
        self.remove(&name).await.map_err(self.failed("remove", &name))?;
        Ok(false)
    }

    /// Marks an entry as done.
    pub(super) async fn end(&self, partition: &str, number: u64) -> Result<(), LakeError> {
        let name = self.name(&file(partition, number, "done"));
        let put = self.0.again.put(&name, PutPayload::from_static(b"done")).await;
        put.map(drop).map_err(self.failed("write", &name))
    }

    /// Removes entries that no reader needs any more.
    pub(super) async fn forget_old(
        &self,
        partition: &str,
        log: &Log,
        now: DateTime<Utc>,
    ) -> Result<(), LakeError> {
        for number in log.old(now) {
            // Without its mark an entry would look as if it were not done.
            for kind in ["json", "done"] {
                let name = self.name(&file(partition, number, kind));
                self.remove(&name).await.map_err(self.failed("remove", &name))?;
            }
        }
        Ok(())
    }
}

fn file(partition: &str, number: u64, kind: &str) -> String {
    format!("{LOG}/{partition}/{number:08}.{kind}")
}

/// The files that have each row once, of a list with sizes that was read before the log; none if files came and went while
/// it was read.
pub(super) fn each_row_once(files: &BTreeMap<String, u64>, entries: &[Entry]) -> Option<BTreeSet<String>> {
    let mut replaced: BTreeSet<&str> = BTreeSet::new();
    let mut counts = vec![false; entries.len()];
    // A merged file may itself have been merged since.
    while let Some(index) = entries.iter().enumerate().position(|(index, entry)| {
        let is_there = files.get(&entry.merged) == Some(&entry.bytes);
        !counts[index] && (is_there || replaced.contains(entry.merged.as_str()))
    }) {
        counts[index] = true;
        replaced.extend(entries[index].inputs.iter().map(String::as_str));
    }
    let is_torn = |(entry, counts): (&Entry, &bool)| {
        !counts
            && !files.contains_key(&entry.merged)
            && entry
                .inputs
                .iter()
                .any(|input| !files.contains_key(input) && !replaced.contains(input.as_str()))
    };
    if entries.iter().zip(&counts).any(is_torn) {
        return None;
    }
    Some(files.keys().filter(|name| !replaced.contains(name.as_str())).cloned().collect())
}

#[cfg(test)]
mod tests {
    use object_store::path::Path;

    use super::*;

    fn entry(merged: &str, inputs: &[&str]) -> Entry {
        let inputs = inputs.iter().map(|input| (*input).to_owned()).collect();
        Entry { merged: merged.to_owned(), bytes: 100, inputs, by: String::new() }
    }

    #[track_caller]
    fn check(files: &[&str], entries: &[Entry], expected: Option<&[&str]>) {
        let listed = files.iter().map(|name| match name.strip_prefix('!') {
            Some(fence) => (fence.to_owned(), 7),
            None => ((*name).to_owned(), 100),
        });
        let seen = each_row_once(&listed.collect(), entries);
        let seen = seen.as_ref().map(|seen| seen.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(seen.as_deref(), expected, "of {files:?}");
    }

    #[test]
    fn a_merged_file_takes_the_place_of_those_it_was_made_of() {
        let merge = || entry("m", &["a", "b"]);
        check(&["a", "b", "c"], &[], Some(&["a", "b", "c"]));
        check(&["a", "b", "c"], &[merge()], Some(&["a", "b", "c"]));
        check(&["a", "b", "c", "m"], &[merge()], Some(&["c", "m"]));
        check(&["b", "c", "m"], &[merge()], Some(&["c", "m"]));
        check(&["c", "m"], &[merge()], Some(&["c", "m"]));
    }

    #[test]
    fn a_fence_takes_no_place() {
        check(&["a", "b", "!m"], &[entry("m", &["a", "b"])], Some(&["a", "b", "m"]));
        let again = [entry("m", &["a", "b"]), entry("n", &["a", "b"])];
        check(&["!m", "n", "b"], &again, Some(&["m", "n"]));
    }

    #[test]
    fn a_merged_file_that_was_merged_again_still_counts() {
        let twice = [entry("m", &["a", "b"]), entry("n", &["m", "c"])];
        check(&["a", "n"], &twice, Some(&["n"]));
        check(&["n"], &twice, Some(&["n"]));
    }

    #[test]
    fn a_list_in_which_rows_are_missing_is_read_again() {
        check(&["b"], &[entry("m", &["a", "b"])], None);
        check(&["c"], &[entry("m", &["a", "b"])], None);
    }

    fn log(objects: &[(&str, i64)], now: DateTime<Utc>) -> Log {
        let objects = objects.iter().map(|(name, minutes_ago)| ObjectMeta {
            location: Path::from(format!(".compact/readings/date=2026-01-01/{name}")),
            last_modified: now - TimeDelta::minutes(*minutes_ago),
            size: 1,
            e_tag: None,
            version: None,
        });
        Log::of(&objects.collect::<Vec<_>>())
    }

    #[test]
    fn one_at_a_time_merges_and_what_is_left_is_taken_over() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let turn = |objects: &[(&str, i64)]| log(objects, now).turn(now);
        assert_eq!(turn(&[]), Turn::Free(1));
        assert_eq!(turn(&[("00000001.json", 1)]), Turn::Taken);
        assert_eq!(turn(&[("00000001.json", 11)]), Turn::Abandoned(1));
        assert_eq!(turn(&[("00000001.json", 11), ("00000001.done", 11)]), Turn::Free(2));
        assert_eq!(turn(&[("00000001.json", 1), ("00000002.json", 1), ("00000002.done", 1)]), Turn::Free(3));
    }

    #[test]
    fn the_last_entry_is_never_removed() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let old = |objects: &[(&str, i64)]| log(objects, now).old(now).collect::<Vec<_>>();
        assert_eq!(old(&[("00000001.json", 90), ("00000001.done", 90)]), [0; 0]);
        let three = [
            ("00000001.json", 90),
            ("00000001.done", 90),
            ("00000002.json", 50),
            ("00000002.done", 50),
            ("00000003.json", 40),
        ];
        assert_eq!(old(&three), [1]);
    }
}
