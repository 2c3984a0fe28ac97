//! analyze: drops repeats, marks late rows, scores how unusual each value is, and sums readings up in tumbling
//! windows per device and metric.
//!
//! Row by row in the order of the lane: where frames begin and end never changes a result.
//!
//! A window is a span of event time `[start, end)`, aligned to 1970. A reading with a number counts in the window that
//! it lies in unless it is a repeat or late; so the windows that have gone out are what a `GROUP BY` over the
//! readings that have a value and are not late gives, whatever order they came in. Three things close a window:
//!
//! * a row of its device, when it takes the watermark (the newest event time less the allowed lateness) to its end;
//! * a tick, when its device has been silent: the device's clock is then taken to have gone on as the time of receipt has;
//! * one window too many of its metric, or the end of its device's idle time.
//!
//! What is older than a closed window of its device is late: no window goes out twice. Only a device that was
//! forgotten, after `idle_secs` of silence, may come back with rows of a window that had gone out; these are then a second
//! row of that window. A stop closes nothing: open windows are part of the state.

mod buckets;
mod closed;
mod config;
mod count;
mod device;
mod level;
mod memory;
mod seen;
mod series;
mod state;
#[cfg(test)]
mod tests;
mod window;

use arrow_array::BooleanArray;
use arrow_select::filter::filter_record_batch;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use self::{closed::Closed, count::Numbered, device::Limits, memory::Row, state::Change, window::Sample};
pub use self::{config::AnalyzeConfig, state::AnalyzeState};
use crate::{
    frame::{Frame, Header, Kind, Micros, Readings, Scores},
    plan::{Counts, Delta, Plan, PlanError, Port, StateError},
};

/// The name of the stage: in ids, books and logs.
pub const STAGE: &str = "analyze";

/// The stage, ready to plan.
#[derive(Debug)]
pub struct Analyze {
    limits: Limits,
    anomaly_threshold: f64,
    config_hash: u64,
}

impl Analyze {
    /// The stage that `config` describes.
    pub fn new(config: &AnalyzeConfig) -> Self {
        let micros = |secs: u64| i64::try_from(secs.saturating_mul(1_000_000)).unwrap_or(i64::MAX);
        let limits = Limits {
            dedupe: micros(config.dedupe_secs),
            allowed_lateness: micros(config.allowed_lateness_secs),
            idle: micros(config.idle_secs),
            window: micros(config.window_secs.into()),
            open_windows: usize::try_from(config.open_windows_max).unwrap_or(usize::MAX),
            dedupe_bytes: usize::try_from(config.dedupe_bytes_max).unwrap_or(usize::MAX),
        };
        let config_hash = xxh3_64(format!("{config:?}").as_bytes());
        Self { limits, anomaly_threshold: config.anomaly_threshold, config_hash }
    }

    /// Drops the rows of a *readings* frame that the lane has seen, and adds `late`,
    /// `anomaly_score` and `anomaly` to the others; the windows that they close go out beside them. A
    /// *tick* is passed on, and closes the windows of silent devices.
    ///
    /// # Errors
    /// When the frame holds neither.
    pub fn plan(&self, state: &mut AnalyzeState, frame: &Frame) -> Result<Plan, PlanError> {
        if frame.header.kind == Kind::Tick {
            return self.tick(state, frame);
        }
        let readings = Readings::of(frame)?;
        let (mut change, mut closed) = (Change::default(), Closed::default());
        let mut scores = Scores::default();
        let mut fresh = Vec::with_capacity(readings.len());
        let mut slots = Slots::of(&readings);
        for row in 0..readings.len() {
            let (device, metric) = (slots.device(state, &readings, row), slots.metric(state, &readings, row));
            change.touch(device);
            let row_score = self.row(state, &mut closed, (device, metric), &readings, row);
            fresh.push(row_score.is_some());
            if let Some((late, score)) = row_score {
                scores.late.push(late);
                scores.anomaly_score.push(score);
                scores.anomaly.push(score >= self.anomaly_threshold);
            }
        }
        let counts = counts(&scores, readings.len(), &closed);
        let delta = Delta(state.delta(&change, &self.limits)?);
        let mut publish = Vec::new();
        if counts.consumed > 0 {
            let rows = match counts.repeated {
                0 => frame.rows.clone(),
                _ => filter_record_batch(&frame.rows, &BooleanArray::from(fresh))?,
            };
            publish.push((Port::Next, scores.add_to(&rows, self.next(frame))?));
        }
        publish.extend(closed.publish(&frame.header, self.config_hash)?);
        Ok(Plan { publish, delta, counts })
    }

    fn tick(&self, state: &mut AnalyzeState, frame: &Frame) -> Result<Plan, PlanError> {
        let (mut change, mut closed) = (Change::default(), Closed::default());
        state.tick(frame.header.created_at, &self.limits, &mut change, &mut closed);
        let counts = Counts { produced: closed.rows(), ..Counts::default() };
        let delta = Delta(state.delta(&change, &self.limits)?);
        let mut publish = vec![(Port::Next, Frame { header: self.next(frame), rows: frame.rows.clone() })];
        publish.extend(closed.publish(&frame.header, self.config_hash)?);
        Ok(Plan { publish, delta, counts })
    }

    /// The header of what goes to the next stage for `frame`.
    fn next(&self, frame: &Frame) -> Header {
        let id = frame.header.id.published(STAGE, self.config_hash, Port::Next.as_str(), 0);
        frame.header.derive(frame.header.kind, frame.header.lane, id)
    }

    /// Everything that `state` remembers, for [`Analyze::apply`] on an empty one.
    ///
    /// # Errors
    /// Never for a state that this stage made.
    pub fn snapshot(&self, state: &mut AnalyzeState) -> Result<Vec<u8>, StateError> {
        state.snapshot(&self.limits)
    }

    /// Takes over what a delta or a snapshot says.
    ///
    /// # Errors
    /// When the bytes are none that this version wrote.
    pub fn apply(&self, state: &mut AnalyzeState, bytes: &[u8]) -> Result<(), StateError> {
        state.apply(bytes, self.limits.dedupe)
    }

    /// Whether `row` is late, and its score; `None` for a repeat.
    fn row(
        &self,
        state: &mut AnalyzeState,
        closed: &mut Closed,
        (device, metric): (usize, usize),
        readings: &Readings<'_>,
        row: usize,
    ) -> Option<(bool, f64)> {
        let (ts, received_at) = (readings.ts(row), readings.received_at(row));
        let (device, metrics) = state.device(device, received_at, &self.limits, closed);
        let horizon = device.newest.saturating_sub(self.limits.dedupe);
        let late = device.is_late(ts, &self.limits);
        device.advance(ts, received_at, &self.limits, metrics, closed);
        let hash = metrics.hash(metric);
        let (series, memory) = device.series(metric, &self.limits);
        // What is older than the memory cannot be told from a repeat, and is kept.
        if ts >= horizon {
            let known = Row::of(readings, row, hash);
            let identity = || identity(readings, row, Some(ts));
            if !series.remember(&known, identity, numbered(readings, row), horizon, memory) {
                return None;
            }
        }
        series.seen.hear(ts);
        series.changed = true;
        let Some(value) = readings.value(row) else { return Some((late, 0.0)) };
        if late {
            return Some((late, series.level.score(value)));
        }
        let score = series.level.score_and_learn(value);
        if self.limits.window > 0 {
            let sample = Sample { ts, value, unit: readings.unit(row) };
            device.count(metric, sample, &self.limits, metrics, closed);
        }
        Some((late, score))
    }
}

fn counts(scores: &Scores, rows: usize, closed: &Closed) -> Counts {
    let fresh = scores.late.len();
    Counts {
        consumed: fresh as u64,
        repeated: (rows - fresh) as u64,
        produced: fresh as u64 + closed.rows(),
        late: scores.late.iter().filter(|late| **late).count() as u64,
        ..Counts::default()
    }
}

/// The number of a row that has no other time than that of its receipt.
fn numbered(readings: &Readings<'_>, row: usize) -> Option<Numbered> {
    let received_at = readings.received_at(row);
    let number = readings.seq(row).filter(|_| readings.ts(row) == received_at)?;
    Some(Numbered { received_at, number, identity: identity(readings, row, None) })
}

/// What makes two rows of one device and metric the same: time, where it is their own, sequence number and value.
fn identity(readings: &Readings<'_>, row: usize, ts: Option<Micros>) -> u64 {
    let mut parts = Parts::default();
    if let Some(ts) = ts {
        parts.add(&ts.to_le_bytes());
    }
    if let Some(seq) = readings.seq(row) {
        parts.add(b"s");
        parts.add(&seq.to_le_bytes());
    }
    if let Some(value) = readings.value(row) {
        parts.add(b"v");
        parts.add(&value.to_bits().to_le_bytes());
    }
    let Some(text) = readings.text(row) else { return xxh3_64(parts.bytes()) };
    parts.add(b"t");
    let mut hash = Xxh3::new();
    hash.update(parts.bytes());
    hash.update(text.as_bytes());
    hash.digest()
}

/// What an identity is made of beside a text: few enough bytes to be hashed at once. The hash is the same one that the
/// bytes give when they are fed piece by piece, as state that was saved before was.
#[derive(Default)]
struct Parts {
    bytes: [u8; 32],
    len: usize,
}

impl Parts {
    /// Adds a part, for which there must be room.
    fn add(&mut self, part: &[u8]) {
        let end = self.len + part.len();
        self.bytes[self.len..end].copy_from_slice(part);
        self.len = end;
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Where the state of each distinct device and metric of one frame lies, looked up once.
struct Slots {
    devices: Vec<Option<usize>>,
    metrics: Vec<Option<usize>>,
}

impl Slots {
    fn of(readings: &Readings<'_>) -> Self {
        Self {
            devices: vec![None; readings.devices().distinct()],
            metrics: vec![None; readings.metrics().distinct()],
        }
    }

    fn device(&mut self, state: &mut AnalyzeState, readings: &Readings<'_>, row: usize) -> usize {
        let names = readings.devices();
        cached(&mut self.devices, names.key(row), || state.device_slot(names.get(row).unwrap_or_default()))
    }

    fn metric(&mut self, state: &mut AnalyzeState, readings: &Readings<'_>, row: usize) -> usize {
        let names = readings.metrics();
        cached(&mut self.metrics, names.key(row), || state.metric_slot(names.get(row).unwrap_or_default()))
    }
}

fn cached(slots: &mut [Option<usize>], key: Option<usize>, find: impl FnOnce() -> usize) -> usize {
    match key.and_then(|key| slots.get_mut(key)) {
        Some(slot) => *slot.get_or_insert_with(find),
        None => find(),
    }
}
