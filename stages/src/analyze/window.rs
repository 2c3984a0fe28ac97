//! Tumbling windows: what is kept of the readings of one metric of one device in one span of event time.

use serde::{Deserialize, Serialize};

use crate::frame::Micros;

/// A reading that counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample<'a> {
    pub(super) ts: Micros,
    pub(super) value: f64,
    pub(super) unit: Option<&'a str>,
}

/// A window that is not closed yet, from `start` up to but not including `end`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Window {
    pub(super) start: Micros,
    pub(super) end: Micros,
    pub(super) count: u64,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) mean: f64,
    /// The sum of the squared distances from the mean.
    squares: f64,
    /// The earliest row, and the latest.
    pub(super) first: (Micros, f64),
    pub(super) last: (Micros, f64),
    pub(super) unit: Option<Box<str>>,
    #[serde(skip)]
    unsaved: Unsaved,
}

/// What no delta holds of a window yet.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
enum Unsaved {
    #[default]
    Nothing,
    /// One more row, in the unit of the window: the usual case, and a fraction of the bytes of the whole.
    Row(Micros, f64),
    Whole,
}

/// How a window changed, for a delta.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum WindowEntry {
    /// One more row in a window that is known.
    Row {
        /// How far its event time lies behind the newest of its device.
        behind: Micros,
        value: f64,
    },
    /// The window as it is now. Boxed: there are few of these, and many of the others.
    Whole(Box<Window>),
}

impl Window {
    fn new(start: Micros, end: Micros) -> Self {
        Self {
            start,
            end,
            count: 0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            mean: 0.0,
            squares: 0.0,
            first: (Micros::MAX, 0.0),
            last: (Micros::MIN, 0.0),
            unit: None,
            unsaved: Unsaved::Whole,
        }
    }

    /// The window of this length, aligned to 1970-01-01T00:00:00Z, that `ts` lies in.
    fn around(ts: Micros, length: Micros) -> Self {
        let start = ts.div_euclid(length).saturating_mul(length);
        Self::new(start, start.saturating_add(length))
    }

    fn contains(&self, ts: Micros) -> bool {
        self.start <= ts && (ts < self.end || self.end == Micros::MAX)
    }

    /// Counts one more row.
    fn add(&mut self, sample: Sample<'_>) {
        let Sample { ts, value, unit } = sample;
        let mut unsaved = Unsaved::Row(ts, value);
        if self.add_value(ts, value) && self.unit.as_deref() != unit {
            self.unit = unit.map(Into::into);
            unsaved = Unsaved::Whole;
        }
        self.unsaved = if self.unsaved == Unsaved::Nothing { unsaved } else { Unsaved::Whole };
    }

    /// Counts one more value; answers whether it is the latest. Mean and squares by B. P. Welford, "Note on a Method
    /// for Calculating Corrected Sums of Squares and Products", Technometrics 4 (1962), 419–420.
    fn add_value(&mut self, ts: Micros, value: f64) -> bool {
        self.count += 1;
        let count = self.count as f64;
        let distance = value - self.mean;
        self.mean = match distance.is_finite() {
            true => self.mean + distance / count,
            // Values from both ends of f64: their distance is too large for it, their mean is not.
            false => self.mean * ((count - 1.0) / count) + value / count,
        };
        self.squares += distance * (value - self.mean);
        if value < self.min {
            self.min = value;
        }
        if value > self.max {
            self.max = value;
        }
        if self.count == 1 || ts < self.first.0 {
            self.first = (ts, value);
        }
        let latest = self.count == 1 || ts >= self.last.0;
        if latest {
            self.last = (ts, value);
        }
        latest
    }

    /// The standard deviation of a sample; none of a single value.
    pub(super) fn stddev(&self) -> Option<f64> {
        (self.count > 1).then(|| (self.squares / (self.count - 1) as f64).sqrt())
    }
}

/// The open windows of one metric of one device, by their start.
#[derive(Debug, Default)]
pub(super) struct Windows(Vec<Window>);

impl Windows {
    /// Counts a row in the window that it lies in; the end of that window, if the row opened it.
    ///
    /// A window that is open keeps its length, as does one that went out (all up to `closed_until`): after a change of
    /// the config a new one takes the room between them.
    pub(super) fn add(&mut self, sample: Sample<'_>, length: Micros, closed_until: Micros) -> Option<Micros> {
        if let Some(window) = self.find(sample.ts) {
            window.add(sample);
            return None;
        }
        let mut window = Window::around(sample.ts, length);
        window.start = window.start.max(closed_until);
        for open in &self.0 {
            match open.end <= sample.ts {
                true => window.start = window.start.max(open.end),
                false => window.end = window.end.min(open.start),
            }
        }
        window.add(sample);
        let end = window.end;
        self.put(window);
        Some(end)
    }

    /// Most rows go into the newest window.
    fn find(&mut self, ts: Micros) -> Option<&mut Window> {
        self.0.iter_mut().rev().find(|window| window.contains(ts))
    }

    fn put(&mut self, window: Window) {
        let key = |window: &Window| (window.start, window.end);
        match self.0.binary_search_by_key(&key(&window), key) {
            Ok(place) => self.0[place] = window,
            Err(place) => self.0.insert(place, window),
        }
    }

    /// Takes out the windows that end at `until` or before.
    pub(super) fn close(&mut self, until: Micros, mut closed: impl FnMut(&Window)) {
        self.0.retain(|window| {
            let open = window.end > until;
            if !open {
                closed(window);
            }
            open
        });
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// When the first of them ends.
    pub(super) fn next_end(&self) -> Option<Micros> {
        self.0.iter().map(|window| window.end).min()
    }

    /// What no delta holds yet, or `all` there is; `newest` is that of the device.
    pub(super) fn changes(&mut self, newest: Micros, all: bool) -> Vec<WindowEntry> {
        let mut changes = Vec::new();
        for window in &mut self.0 {
            match std::mem::take(&mut window.unsaved) {
                Unsaved::Row(ts, value) if !all => {
                    changes.push(WindowEntry::Row { behind: newest.wrapping_sub(ts), value });
                }
                Unsaved::Nothing if !all => {}
                _ => changes.push(WindowEntry::Whole(Box::new(window.clone()))),
            }
        }
        changes
    }

    /// Takes over what [`Windows::changes`] said; false when it speaks of a window that is not there.
    pub(super) fn apply(&mut self, changes: Vec<WindowEntry>, newest: Micros) -> bool {
        for change in changes {
            match change {
                WindowEntry::Whole(window) => self.put(*window),
                WindowEntry::Row { behind, value } => {
                    let ts = newest.wrapping_sub(behind);
                    let Some(window) = self.find(ts) else { return false };
                    window.add_value(ts, value);
                }
            }
        }
        true
    }
}
