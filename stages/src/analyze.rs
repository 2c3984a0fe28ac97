//! analyze: drops repeats, marks late rows, and scores how unusual each value is.
//!
//! Row by row in the order of the lane: where frames begin and end never changes a result.

mod config;
mod level;
mod state;
#[cfg(test)]
mod tests;

use arrow_array::BooleanArray;
use arrow_select::filter::filter_record_batch;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use self::state::Change;
pub use self::{config::AnalyzeConfig, state::AnalyzeState};
use crate::{
    frame::{Frame, Kind, Micros, Readings, Scores},
    plan::{Counts, Delta, Plan, PlanError, Port, StateError},
};

/// The name of the stage: in ids, books and logs.
pub const STAGE: &str = "analyze";

/// The stage, ready to plan.
#[derive(Debug)]
pub struct Analyze {
    dedupe: Micros,
    allowed_lateness: Micros,
    anomaly_threshold: f64,
    idle: Micros,
    config_hash: u64,
}

impl Analyze {
    /// The stage that `config` describes.
    pub fn new(config: &AnalyzeConfig) -> Self {
        let micros = |secs: u64| i64::try_from(secs.saturating_mul(1_000_000)).unwrap_or(i64::MAX);
        Self {
            dedupe: micros(config.dedupe_secs),
            allowed_lateness: micros(config.allowed_lateness_secs),
            anomaly_threshold: config.anomaly_threshold,
            idle: micros(config.idle_secs),
            config_hash: xxh3_64(format!("{config:?}").as_bytes()),
        }
    }

    /// Drops the rows of a *readings* frame that the lane has seen, and adds `late`,
    /// `anomaly_score` and `anomaly` to the others.
    ///
    /// # Errors
    /// When the frame holds no readings.
    pub fn plan(&self, state: &mut AnalyzeState, frame: &Frame) -> Result<Plan, PlanError> {
        if frame.header.kind == Kind::Tick {
            let id = frame.header.id.published(STAGE, self.config_hash, Port::Next.as_str(), 0);
            let header = frame.header.derive(Kind::Tick, frame.header.lane, id);
            let tick = Frame { header, rows: frame.rows.clone() };
            return Ok(Plan { publish: vec![(Port::Next, tick)], ..Plan::default() });
        }
        let readings = Readings::of(frame)?;
        let mut change = Change::default();
        let mut scores = Scores::default();
        let mut fresh = Vec::with_capacity(readings.len());
        let mut slots = Slots::of(&readings);
        for row in 0..readings.len() {
            let row_score = self.row(state, &mut change, &mut slots, &readings, row);
            fresh.push(row_score.is_some());
            if let Some((late, score)) = row_score {
                scores.late.push(late);
                scores.anomaly_score.push(score);
                scores.anomaly.push(score >= self.anomaly_threshold);
            }
        }
        let counts = counts(&scores, readings.len());
        let delta = Delta(state.delta(&change)?);
        state.forget(&change, self.dedupe);
        if counts.produced == 0 {
            return Ok(Plan { publish: Vec::new(), delta, counts });
        }
        let rows = match counts.repeated {
            0 => frame.rows.clone(),
            _ => filter_record_batch(&frame.rows, &BooleanArray::from(fresh))?,
        };
        let id = frame.header.id.published(STAGE, self.config_hash, Port::Next.as_str(), 0);
        let header = frame.header.derive(Kind::Readings, frame.header.lane, id);
        Ok(Plan { publish: vec![(Port::Next, scores.add_to(&rows, header)?)], delta, counts })
    }

    /// Everything that `state` remembers, for [`Analyze::apply`] on an empty one.
    ///
    /// # Errors
    /// Never for a state that this stage made.
    pub fn snapshot(&self, state: &mut AnalyzeState) -> Result<Vec<u8>, StateError> {
        state.snapshot(self.idle)
    }

    /// Takes over what a delta or a snapshot says.
    ///
    /// # Errors
    /// When the bytes are none that this version wrote.
    pub fn apply(&self, state: &mut AnalyzeState, bytes: &[u8]) -> Result<(), StateError> {
        state.apply(bytes, self.dedupe)
    }

    /// Whether `row` is late, and its score; `None` for a repeat.
    fn row(
        &self,
        state: &mut AnalyzeState,
        change: &mut Change,
        slots: &mut Slots,
        readings: &Readings<'_>,
        row: usize,
    ) -> Option<(bool, f64)> {
        let (ts, received_at) = (readings.ts(row), readings.received_at(row));
        let slot = slots.device(state, readings, row);
        let metric = slots.metric(state, readings, row);
        let device = state.device(slot, received_at, self.idle);
        let newest = device.newest;
        let horizon = newest.saturating_sub(self.dedupe);
        let late = ts < newest.saturating_sub(self.allowed_lateness);
        // A clock that runs ahead must not make the next rows late: event time counts up to the receipt.
        device.advance(ts.min(received_at), received_at);
        let series = device.series(metric);
        // What is older than the memory cannot be told from a repeat, and is kept.
        if ts >= horizon && !series.seen.insert(ts, identity(readings, row)) {
            change.touch(slot);
            return None;
        }
        let score = match readings.value(row) {
            Some(value) if late => series.level.score(value),
            Some(value) => series.level.score_and_learn(value),
            None => 0.0,
        };
        series.changed = true;
        change.touch(slot);
        Some((late, score))
    }
}

fn counts(scores: &Scores, rows: usize) -> Counts {
    let produced = scores.late.len();
    Counts {
        consumed: produced as u64,
        repeated: (rows - produced) as u64,
        produced: produced as u64,
        late: scores.late.iter().filter(|late| **late).count() as u64,
        ..Counts::default()
    }
}

/// What makes two rows of one device and metric the same: time, sequence number and value.
fn identity(readings: &Readings<'_>, row: usize) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(&readings.ts(row).to_le_bytes());
    if let Some(seq) = readings.seq(row) {
        hash.update(b"s");
        hash.update(&seq.to_le_bytes());
    }
    if let Some(value) = readings.value(row) {
        hash.update(b"v");
        hash.update(&value.to_bits().to_le_bytes());
    }
    if let Some(text) = readings.text(row) {
        hash.update(b"t");
        hash.update(text.as_bytes());
    }
    hash.digest()
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
