//! What analyze remembers of one device: its clock, and by metric its level, its open windows and the identities
//! of recent rows.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{
    closed::Closed,
    level::Level,
    seen::{Seen, SeenEntry},
    window::{Sample, WindowEntry, Windows},
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
}

/// The names of metrics in a lane, and a number for each.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    names: Vec<String>,
    slots: HashMap<String, usize>,
}

impl Metrics {
    pub(super) fn slot(&mut self, name: &str) -> usize {
        if let Some(slot) = self.slots.get(name) {
            return *slot;
        }
        let slot = self.names.len();
        self.names.push(name.to_owned());
        self.slots.insert(name.to_owned(), slot);
        slot
    }

    fn name(&self, slot: usize) -> &str {
        self.names.get(slot).map(String::as_str).unwrap_or_default()
    }
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
    series: Vec<(usize, Series)>,
    forgot: bool,
}

/// One metric of a device.
#[derive(Debug, Default)]
pub(super) struct Series {
    pub(super) level: Level,
    pub(super) seen: Seen,
    windows: Windows,
    /// Whether anything changed since the last delta.
    pub(super) changed: bool,
}

impl Device {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            newest: Micros::MIN,
            received_at: 0,
            closed_until: Micros::MIN,
            next_end: None,
            series: Vec::new(),
            forgot: false,
        }
    }

    pub(super) fn is_idle(&self, now: Micros, limits: &Limits) -> bool {
        self.received_at > 0 && now.saturating_sub(self.received_at) > limits.idle
    }

    /// Closes all windows and forgets everything else.
    pub(super) fn start_anew(&mut self, metrics: &Metrics, closed: &mut Closed) {
        self.close(Micros::MAX, metrics, closed);
        *self = Self { forgot: true, ..Self::new(std::mem::take(&mut self.name)) };
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
        let windows = &mut self.series(metric).windows;
        let Some(end) = windows.add(sample, limits.window) else { return };
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
        self.next_end = None;
        for (metric, series) in &mut self.series {
            series.windows.close(until, |window| {
                closed.add(&self.name, metrics.name(*metric), window);
                self.closed_until = self.closed_until.max(window.end);
            });
            self.next_end = earlier(self.next_end, series.windows.next_end());
        }
    }

    /// Whether a window is open.
    pub(super) fn has_windows(&self) -> bool {
        self.next_end.is_some()
    }

    pub(super) fn series(&mut self, metric: usize) -> &mut Series {
        let place = self.series.iter().position(|(known, _)| *known == metric).unwrap_or_else(|| {
            self.series.push((metric, Series::default()));
            self.series.len() - 1
        });
        &mut self.series[place].1
    }

    pub(super) fn forget(&mut self, dedupe: Micros) {
        let horizon = self.newest.saturating_sub(dedupe);
        for (_, series) in &mut self.series {
            series.seen.forget(horizon);
        }
    }

    pub(super) fn entry(&mut self, metrics: &Metrics, all: bool) -> Entry {
        let mut entry = Entry {
            device: self.name.clone(),
            newest: self.newest,
            received_at: self.received_at,
            closed_until: self.closed_until,
            forgot: std::mem::take(&mut self.forgot),
            series: Vec::new(),
        };
        for (metric, series) in &mut self.series {
            let changed = std::mem::take(&mut series.changed);
            if all || changed {
                entry.series.push(SeriesEntry {
                    metric: metrics.name(*metric).to_owned(),
                    level: series.level,
                    seen: series.seen.changes(all),
                    windows: series.windows.changes(self.newest, all),
                });
            }
        }
        entry
    }

    /// Takes over what [`Device::entry`] said.
    ///
    /// # Errors
    /// When it speaks of a window that is not there.
    pub(super) fn apply(&mut self, entry: Entry, metrics: &mut Metrics) -> Result<(), StateError> {
        if entry.forgot {
            self.series.clear();
        }
        (self.newest, self.received_at) = (entry.newest, entry.received_at);
        self.closed_until = entry.closed_until;
        for series in entry.series {
            let known = self.series(metrics.slot(&series.metric));
            known.level = series.level;
            known.seen.apply(series.seen);
            if !known.windows.apply(series.windows, entry.newest) {
                return Err(StateError::gap(&entry.device, &series.metric));
            }
        }
        for (_, series) in &mut self.series {
            series.windows.close(entry.closed_until, |_| {});
        }
        self.next_end = self.series.iter().filter_map(|(_, series)| series.windows.next_end()).min();
        Ok(())
    }
}

/// The earlier of two instants that may not be.
fn earlier(one: Option<Micros>, other: Option<Micros>) -> Option<Micros> {
    [one, other].into_iter().flatten().min()
}

/// A device in a delta or a snapshot.
#[derive(Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) device: String,
    newest: Micros,
    pub(super) received_at: Micros,
    /// No window that ends here or before is open.
    closed_until: Micros,
    /// Whether all that was known of it before is void.
    forgot: bool,
    series: Vec<SeriesEntry>,
}

/// A metric in a delta or a snapshot, with its level as it is now.
#[derive(Serialize, Deserialize)]
struct SeriesEntry {
    metric: String,
    level: Level,
    seen: SeenEntry,
    windows: Vec<WindowEntry>,
}
