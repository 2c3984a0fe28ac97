//! `verify`: holds a lake against the ledger of what was sent.
//!
//! The oracle: a message that was acknowledged is in `readings` with each of its metrics exactly once, or in
//! `quarantine` with its topic and payload. A deliberate repetition leads to no second row. What was not acknowledged
//! may be there or not, but never twice. Nothing else is in the lake.
//!
//! Rows are matched by device, metric and sequence number, and compared by time (µs) and value (bits, or text).

mod books;
mod lake;

use std::{collections::BTreeMap, fmt, io, path::Path};

use serde::Serialize;

use crate::SimError;
use books::Books;

/// How often a lake is read from the start when a file of it has gone since it was listed.
const TRIES_MAX: u32 = 10;

/// How many examples of each problem are kept.
const EXAMPLES_MAX: usize = 10;

/// What stood between the fleet and the pipeline.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Way {
    /// Nothing: whatever was sent, also again, is in the ledger.
    #[default]
    Direct,
    /// A broker, which sends again what the pipeline has not acknowledged. What is refused has no identity by which it
    /// could be known again: it is in `quarantine` as often as it came.
    ThroughBroker,
}

/// What became of everything that was sent. `published` is the sum of `stored`, `quarantined`, `repeated`,
/// `unacknowledged_absent` and `missing`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Verification {
    /// Messages: publishes, deliberate repetitions included.
    pub published: u64,
    /// Messages that the server acknowledged.
    pub acknowledged: u64,
    /// Messages whose rows are all in `readings`.
    pub stored: u64,
    /// Messages that are in `quarantine` instead.
    pub quarantined: u64,
    /// Messages in quarantine by reason.
    pub quarantine_reasons: BTreeMap<String, u64>,
    /// Messages that were the same as another, and rightly left no row of their own.
    pub repeated: u64,
    /// Messages that were not acknowledged (or refused) and are not in the lake, as they may.
    pub unacknowledged_absent: u64,
    /// Messages that were acknowledged and are not in the lake, or only in part.
    pub missing: u64,
    /// Rows in `readings`.
    pub readings: u64,
    /// Rows in `readings` that are marked late.
    pub late: u64,
    /// Rows that are there once too often, in `readings` or in `quarantine`.
    pub duplicated: u64,
    /// Rows whose time or value is not what was sent.
    pub altered: u64,
    /// Rows that nobody sent, in `readings` or in `quarantine`.
    pub unexplained: u64,
    /// The first ten of each problem.
    pub examples: Vec<Example>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Example {
    /// What is wrong: the name of the counter.
    pub problem: Problem,
    /// The topic, if it is a message.
    pub topic: Option<String>,
    /// The device, if it is known.
    pub device: Option<String>,
    /// The metric, if it is a row of `readings`.
    pub metric: Option<String>,
    /// The sequence number, if it is known.
    pub seq: Option<u64>,
    /// What was found.
    pub detail: String,
}

/// The counters of [`Verification`] that must be 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is documented at its counter")]
pub enum Problem {
    Missing,
    Duplicated,
    Altered,
    Unexplained,
}

impl Verification {
    /// Whether nothing is missing, duplicated, altered or unexplained.
    pub fn is_balanced(&self) -> bool {
        [self.missing, self.duplicated, self.altered, self.unexplained] == [0; 4]
    }

    fn count(&mut self, problem: Problem) -> &mut u64 {
        match problem {
            Problem::Missing => &mut self.missing,
            Problem::Duplicated => &mut self.duplicated,
            Problem::Altered => &mut self.altered,
            Problem::Unexplained => &mut self.unexplained,
        }
    }

    /// Counts `by` of a problem and keeps the example if it is among the first.
    fn found(&mut self, problem: Problem, by: u64, example: impl FnOnce() -> Example) {
        *self.count(problem) += by;
        if self.examples.iter().filter(|example| example.problem == problem).count() < EXAMPLES_MAX {
            self.examples.push(example());
        }
    }
}

/// Reads `ledger`, then `lake/readings` and `lake/quarantine`, and compares them.
///
/// Blocks: from async code, call it on a thread for that. Memory: about 110 bytes for each row that was sent (434 MB for
/// 4 million rows in a million messages).
///
/// # Errors
/// [`SimError::File`], [`SimError::Line`] and [`SimError::Lake`] for what cannot be read, [`SimError::Usage`] if `lake`
/// is no lake.
pub fn verify(ledger: &Path, lake: &Path, way: Way) -> Result<Verification, SimError> {
    let mut tries = 1;
    loop {
        match verify_once(ledger, lake, way) {
            // Since it was listed, the file was merged with others.
            Err(SimError::File { source, .. })
                if source.kind() == io::ErrorKind::NotFound && lake.is_dir() && tries < TRIES_MAX =>
            {
                tries += 1;
            }
            verified => return verified,
        }
    }
}

fn verify_once(ledger: &Path, lake: &Path, way: Way) -> Result<Verification, SimError> {
    let mut books = Books::read(ledger, way)?;
    lake::check(lake)?;
    lake::for_each_reading(&lake.join("readings"), |row| books.reading(row))?;
    lake::for_each_refused(&lake.join("quarantine"), |row| books.refused(row))?;
    books.close()
}

/// A table for people.
impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "messages")?;
        writeln!(f, "  published       {:>12}  ({} acknowledged)", self.published, self.acknowledged)?;
        writeln!(f, "  = stored        {:>12}", self.stored)?;
        let reasons: Vec<String> =
            self.quarantine_reasons.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        let reasons = if reasons.is_empty() { String::new() } else { format!("  ({})", reasons.join(", ")) };
        writeln!(f, "  + quarantined   {:>12}{reasons}", self.quarantined)?;
        writeln!(f, "  + repeated      {:>12}", self.repeated)?;
        writeln!(f, "  + not there     {:>12}  (not acknowledged)", self.unacknowledged_absent)?;
        writeln!(f, "  + missing       {:>12}", self.missing)?;
        writeln!(f, "rows")?;
        writeln!(f, "  readings        {:>12}  ({} late)", self.readings, self.late)?;
        writeln!(f, "  duplicated      {:>12}", self.duplicated)?;
        writeln!(f, "  altered         {:>12}", self.altered)?;
        writeln!(f, "  unexplained     {:>12}", self.unexplained)?;
        for example in &self.examples {
            writeln!(f, "{example}")?;
        }
        f.write_str(if self.is_balanced() { "the books balance\n" } else { "the books do not balance\n" })
    }
}

impl fmt::Display for Example {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problem = format!("{:?}", self.problem).to_lowercase();
        write!(f, "{problem}:")?;
        for part in [&self.topic, &self.device, &self.metric].into_iter().flatten() {
            write!(f, " {part}")?;
        }
        if let Some(seq) = self.seq {
            write!(f, " seq {seq}")?;
        }
        write!(f, ": {}", self.detail)
    }
}

#[cfg(test)]
mod tests;
