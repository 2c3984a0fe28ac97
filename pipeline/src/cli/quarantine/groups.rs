//! Counts by name, of the most frequent names.

use std::{
    cmp::Reverse,
    collections::HashMap,
    io::{self, Write},
};

use serde_json::{Value, json};

use super::plain;

/// How many names are told apart. Of more than that, those that come late are only counted together.
const NAMES_MAX: usize = 100_000;

/// What was counted of one name.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Count {
    pub(super) rows: u64,
    pub(super) replayed: u64,
}

/// Counts by name.
#[derive(Debug, Default)]
pub(super) struct Groups {
    known: HashMap<String, Count>,
    /// Rows with other names.
    others: u64,
}

impl Groups {
    pub(super) fn add(&mut self, name: &str, replayed: bool) {
        if !self.known.contains_key(name) {
            if self.known.len() >= NAMES_MAX {
                self.others += 1;
                return;
            }
            self.known.insert(name.to_owned(), Count::default());
        }
        if let Some(count) = self.known.get_mut(name) {
            count.rows += 1;
            count.replayed += u64::from(replayed);
        }
    }

    /// The names with the most rows.
    fn top(&self, number: usize) -> Vec<(&str, Count)> {
        let mut names: Vec<_> = self.known.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        names.sort_by_key(|(name, count)| (Reverse(count.rows), *name));
        names.truncate(number);
        names
    }

    /// How many names are not among so many.
    fn more(&self, number: usize) -> usize {
        self.known.len().saturating_sub(number)
    }

    pub(super) fn json(&self, number: usize) -> Value {
        let entry = |(name, count): (&str, Count)| json!({ "name": name, "rows": count.rows, "replayed": count.replayed });
        let top: Value = self.top(number).into_iter().map(entry).collect();
        json!({ "top": top, "more": self.more(number), "rows_of_others": self.others })
    }

    pub(super) fn table(&self, title: &str, number: usize, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "\n{:>11} {:>11}  by {title}", "rows", "replayed")?;
        for (name, Count { rows, replayed }) in self.top(number) {
            writeln!(out, "{rows:>11} {replayed:>11}  {}", plain(name))?;
        }
        match (self.more(number), self.others) {
            (0, 0) => Ok(()),
            (more, 0) => writeln!(out, "{:>23}  … and {more} more", ""),
            (more, others) => writeln!(out, "{:>23}  … and {more} more, and {others} rows of others", ""),
        }
    }
}
