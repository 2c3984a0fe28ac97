//! What analyze remembers of one device: its clock, and by metric its level, its open windows and the identities
//! of recent rows.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{
    closed::Closed,
    count::{Counting, CountsEntry},
    level::Level,
    memory::{ChunkEntry, Memory},
    series::{AllSeries, Metrics, Series, SeriesEntry},
    window::Sample,
};
use crate::{frame::Micros, plan::StateError};

/// What the config says of time and of how much is remembered.
#[derive(Debug)]
pub(super) struct Limits {
    pub(super) dedupe: Micros,
    pub(super) allowed_lateness: Micros,
    pub(super) idle: Micros,
    /// How long a window is; 0 for none.
    pub(super) window: Micros,
    /// How many windows of a series may be open.
    pub(super) open_windows: usize,
    /// How many bytes the memory of repeats of a lane may take.
    pub(super) dedupe_bytes: usize,
}

/// One device: how far its event time has come, and its metrics.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) name: String,
    /// The newest event time seen, never beyond its receipt.
    pub(super) newest: Micros,
    pub(super) received_at: Micros,
    /// Windows up to here are closed: no row may change them any more.
    closed_until: Micros,
    /// When the first of its open windows ends.
    next_end: Option<Micros>,
    counting: Counting,
    series: AllSeries,
    memory: Memory,
    forgot: bool,
    /// What it took to tell its repeats when it was last asked.
    size: usize,
    /// What the indexes of its memory took when it was last asked.
    indexes: usize,
}

impl Device {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            newest: Micros::MIN,
            received_at: 0,
            closed_until: Micros::MIN,
            next_end: None,
            counting: Counting::default(),
            series: AllSeries::default(),
            memory: Memory::default(),
            forgot: false,
            size: 0,
            indexes: 0,
        }
    }

    pub(super) fn is_idle(&self, now: Micros, limits: &Limits) -> bool {
        self.received_at > 0 && now.saturating_sub(self.received_at) > limits.idle
    }

    /// Closes all windows and forgets everything else.
    pub(super) fn start_anew(&mut self, metrics: &Metrics, closed: &mut Closed) {
        self.close(Micros::MAX, metrics, closed);
        let name = std::mem::take(&mut self.name);
        let Self { size, indexes, .. } = *self;
        *self = Self { forgot: true, size, indexes, ..Self::new(name) };
    }

    /// Up to where windows are to be closed, once everything that was received before `instant` has been seen:
    /// as if event time had gone on since the last row as receipt has.
    fn silent_until(&self, instant: Micros, limits: &Limits) -> Micros {
        if self.is_idle(instant, limits) {
            // It is about to be forgotten.
            return Micros::MAX;
        }
        let silent = instant.saturating_sub(self.received_at).max(0);
        self.newest.saturating_add(silent).saturating_sub(limits.allowed_lateness)
    }

    /// Whether a tick of this instant closes windows.
    pub(super) fn is_due(&self, instant: Micros, limits: &Limits) -> bool {
        self.next_end.is_some_and(|end| end <= self.silent_until(instant, limits))
    }

    /// Closes the windows that a tick of this instant closes.
    pub(super) fn tick(&mut self, instant: Micros, limits: &Limits, metrics: &Metrics, closed: &mut Closed) {
        self.close(self.silent_until(instant, limits), metrics, closed);
    }

    /// Whether a row of event time `ts` comes too late to count.
    pub(super) fn is_late(&self, ts: Micros, limits: &Limits) -> bool {
        ts < self.newest.saturating_sub(limits.allowed_lateness).max(self.closed_until)
    }

    /// Takes the clock on, and closes the windows that its watermark passes.
    pub(super) fn advance(
        &mut self,
        ts: Micros,
        received_at: Micros,
        limits: &Limits,
        metrics: &Metrics,
        closed: &mut Closed,
    ) {
        // A clock that runs ahead must not make the next rows late: event time counts up to the receipt.
        self.newest = self.newest.max(ts.min(received_at));
        self.received_at = self.received_at.max(received_at);
        self.close(self.newest.saturating_sub(limits.allowed_lateness), metrics, closed);
    }

    /// Counts a row of a series that is not late in its window.
    pub(super) fn count(
        &mut self,
        metric: usize,
        sample: Sample<'_>,
        limits: &Limits,
        metrics: &Metrics,
        closed: &mut Closed,
    ) {
        let closed_until = self.closed_until;
        let windows = &mut self.series.get(metric).windows;
        let Some(end) = windows.add(sample, limits.window, closed_until) else { return };
        let too_many = windows.len() > limits.open_windows;
        let first_end = windows.next_end();
        self.next_end = earlier(self.next_end, Some(end));
        if let (true, Some(first_end)) = (too_many, first_end) {
            self.close(first_end, metrics, closed);
        }
    }

    /// Closes the windows that end at `until` or before.
    fn close(&mut self, until: Micros, metrics: &Metrics, closed: &mut Closed) {
        if self.next_end.is_none_or(|end| until < end) {
            return;
        }
        for (metric, series) in self.series.due(until, metrics) {
            series.windows.close(until, |window| {
                closed.add(&self.name, metrics.name(metric), window);
                self.closed_until = self.closed_until.max(window.end);
            });
        }
        self.next_end = self.series.next_end();
    }

    /// Whether a window is open.
    pub(super) fn has_windows(&self) -> bool {
        self.next_end.is_some()
    }

    /// What is known of a metric, which begins anew when it was silent for longer than `limits.idle`; and how the device
    /// counts, with its recent rows.
    pub(super) fn series(
        &mut self,
        metric: usize,
        limits: &Limits,
    ) -> (&mut Series, (&mut Memory, &mut Counting)) {
        let series = self.series.get(metric);
        if series.is_idle(self.newest, limits.idle, limits.dedupe) {
            series.level = Level::default();
        }
        (series, (&mut self.memory, &mut self.counting))
    }

    /// Lets go of the metrics that would begin anew, and takes the numbers of the others from `to`.
    pub(super) fn tidy(&mut self, limits: &Limits, from: &Metrics, to: &mut Metrics) {
        let newest = self.newest;
        self.series
            .retain(|series| series.windows.len() > 0 || !series.is_idle(newest, limits.idle, limits.dedupe));
        self.series.renumber(from, to);
    }

    /// Forgets the rows that are older than `dedupe`. How many, and what it takes more to tell repeats than the last time;
    /// less, if negative.
    pub(super) fn forget(&mut self, dedupe: Micros) -> (u64, isize) {
        let horizon = self.newest.saturating_sub(dedupe);
        let mut forgotten = self.memory.forget(horizon);
        let mut size = self.memory.size();
        for (_, series) in self.series.iter_mut() {
            forgotten += series.forget(horizon);
            size += series.size();
        }
        let before = std::mem::replace(&mut self.size, size);
        (forgotten, size.cast_signed() - before.cast_signed())
    }

    /// Forgets all but the last so many chunks of rows. Says what [`Device::forget`] says.
    pub(super) fn forget_chunks(&mut self, chunks_max: usize) -> (u64, isize) {
        let before = self.memory.size();
        let forgotten = self.memory.forget_chunks(chunks_max);
        let less = before - self.memory.size();
        self.size = self.size.saturating_sub(less);
        (forgotten, -less.cast_signed())
    }

    /// How far behind the newest row each part of the memory ends, and what it takes.
    pub(super) fn ages(&self) -> impl Iterator<Item = (Micros, usize)> {
        let parts = self.memory.chunks().chain(self.series.iter().flat_map(Series::parts));
        parts.map(|(end, size)| (self.newest.saturating_sub(end), size))
    }

    /// How many chunks of rows came after each, and what it takes.
    pub(super) fn places(&self) -> impl Iterator<Item = (usize, usize)> {
        self.memory.chunks().rev().enumerate().map(|(place, (_, size))| (place, size))
    }

    /// How many bytes its indexes take more than when it was last asked; less, if negative.
    pub(super) fn more_indexes(&mut self) -> isize {
        let now = self.memory.indexes();
        now.cast_signed() - std::mem::replace(&mut self.indexes, now).cast_signed()
    }

    /// About how many bytes its indexes take.
    pub(super) fn indexes(&self) -> usize {
        self.memory.indexes()
    }

    /// Lets go of the indexes of its memory.
    pub(super) fn drop_indexes(&mut self) {
        self.memory.drop_indexes();
        self.indexes = 0;
    }

    /// About how many bytes it took to tell its repeats when rows were last forgotten.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// The rows that came since the last time, or all.
    pub(super) fn rows(&mut self, all: bool) -> Vec<ChunkEntry> {
        self.memory.changes(all)
    }

    /// Takes over what [`Device::rows`] said, after what [`Device::entry`] did.
    ///
    /// # Errors
    /// When it goes on with rows that are not there.
    pub(super) fn apply_rows(&mut self, rows: Vec<ChunkEntry>) -> Result<(), StateError> {
        if self.memory.apply(rows) { Ok(()) } else { Err(StateError::rows(&self.name)) }
    }

    pub(super) fn entry<'a>(&'a mut self, metrics: &'a Metrics, all: bool) -> Entry<'a> {
        let mut entry = Entry {
            device: Cow::Borrowed(&self.name),
            newest: self.newest,
            received_at: self.received_at,
            closed_until: self.closed_until,
            forgot: std::mem::take(&mut self.forgot),
            series: Vec::new(),
        };
        for (metric, series) in self.series.iter_mut() {
            let changed = std::mem::take(&mut series.changed);
            if all || changed {
                entry.series.push(series.entry(metrics.name(metric), self.newest, all));
            }
        }
        entry
    }

    /// What changed in the counts since the last time, or everything; nothing of a device that gives its rows a time.
    pub(super) fn counts(&mut self, metrics: &Metrics, all: bool) -> Option<CountsEntry> {
        if !self.counting.ever {
            return None;
        }
        let mut counts = Vec::new();
        for (metric, series) in self.series.iter_mut() {
            let entry = series.count.as_mut().and_then(|count| count.changes(all));
            counts.extend(entry.map(|entry| (metrics.name(metric).to_owned(), entry)));
        }
        (all || !counts.is_empty()).then(|| self.counting.entry(&self.name, counts))
    }

    /// Takes over what [`Device::counts`] said, after what [`Device::entry`] did.
    pub(super) fn apply_counts(&mut self, entry: CountsEntry, metrics: &mut Metrics) {
        self.counting.apply(&entry);
        for (metric, count) in entry.counts {
            let known = &mut self.series.get(metrics.slot(&metric)).count;
            known.get_or_insert_default().apply(count);
        }
    }

    /// Takes over what [`Device::entry`] said.
    ///
    /// # Errors
    /// When it speaks of a window that is not there.
    pub(super) fn apply(&mut self, entry: Entry<'_>, metrics: &mut Metrics) -> Result<(), StateError> {
        if entry.forgot {
            self.series = AllSeries::default();
            self.counting = Counting::default();
            self.memory = Memory::default();
        }
        (self.newest, self.received_at) = (entry.newest, entry.received_at);
        self.closed_until = entry.closed_until;
        for series in entry.series {
            let known = self.series.get(metrics.slot(&series.metric));
            let metric = series.metric.clone();
            if !known.apply(series, entry.newest) {
                return Err(StateError::gap(&entry.device, &metric));
            }
        }
        for (_, series) in self.series.iter_mut() {
            series.windows.close(entry.closed_until, |_| {});
        }
        self.next_end = self.series.next_end();
        Ok(())
    }
}

/// The earlier of two instants that may not be.
fn earlier(one: Option<Micros>, other: Option<Micros>) -> Option<Micros> {
    [one, other].into_iter().flatten().min()
}

/// A device in a delta or a snapshot.
#[derive(Serialize, Deserialize)]
pub(super) struct Entry<'a> {
    pub(super) device: Cow<'a, str>,
    newest: Micros,
    received_at: Micros,
    /// No window that ends here or before is open.
    closed_until: Micros,
    /// Whether all that was known of it before is void.
    forgot: bool,
    series: Vec<SeriesEntry<'a>>,
}
