//! alert: runs rules over readings and their scores; per rule, device and metric an alert is
//! pending, firing, then resolved.
//!
//! Late rows and rows older than the last one an open alert saw are passed on, but change no alert:
//! what is already history must not wake anybody.

mod config;
mod state;
#[cfg(test)]
mod tests;

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use self::{
    config::Condition,
    state::{Change, Open},
};
pub use self::{
    config::{AlertConfig, RuleConfig, RuleMistake, Severity},
    state::AlertState,
};
use crate::{
    frame::{AlertRow, AlertsBuilder, Frame, Kind, Micros, Readings},
    plan::{Counts, Delta, Plan, PlanError, Port, StateError},
};

/// The name of the stage: in ids, books and logs.
pub const STAGE: &str = "alert";

/// The stage, ready to plan.
#[derive(Debug)]
pub struct Alert {
    rules: Vec<Rule>,
    config_hash: u64,
}

#[derive(Debug)]
struct Rule {
    name: String,
    metric: String,
    condition: Condition,
    hold: Micros,
    severity: Severity,
    description: String,
}

/// One reading, as rules see it.
struct Sample<'a> {
    device: &'a str,
    ts: Micros,
    /// `ts`, but never beyond the receipt: a clock that runs ahead must not silence the rows after it.
    at: Micros,
    value: f64,
    anomaly_score: f64,
    received_at: Micros,
    message: u64,
}

impl Alert {
    /// The stage that `config` describes.
    ///
    /// # Errors
    /// Every mistake of the rules.
    pub fn new(config: &AlertConfig) -> Result<Self, Vec<RuleMistake>> {
        let mistakes = config.mistakes();
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let rules = config.rules.iter().filter_map(|rule| Some(Rule::new(rule, rule.condition()?)));
        Ok(Self { rules: rules.collect(), config_hash: xxh3_64(format!("{config:?}").as_bytes()) })
    }

    /// Passes a *readings* frame on as it is, with the transitions it leads to beside it.
    ///
    /// # Errors
    /// When the frame holds no scored readings.
    pub fn plan(&self, state: &mut AlertState, frame: &Frame) -> Result<Plan, PlanError> {
        if frame.header.kind == Kind::Tick {
            return Ok(Plan::default());
        }
        let readings = Readings::of(frame)?;
        let mut alerts = AlertsBuilder::default();
        let mut change = Change::default();
        let metrics = readings.metrics();
        let mut rules_of: Vec<Option<Vec<usize>>> = vec![None; metrics.distinct()];
        for row in 0..readings.len() {
            let (Some(key), Some(metric)) = (metrics.key(row), metrics.get(row)) else { continue };
            let Some(rules) = rules_of.get_mut(key) else { continue };
            let rules = rules.get_or_insert_with(|| self.rules_of(metric));
            if rules.is_empty() {
                continue;
            }
            let Some(sample) = sample(&readings, row) else { continue };
            for rule in rules {
                self.rules[*rule].check(&sample, state, &mut change, &mut alerts);
            }
        }
        self.publish(frame, &readings, alerts, Delta(state.delta(change)?))
    }

    /// Everything that `state` remembers, for [`Alert::apply`] on an empty one.
    ///
    /// # Errors
    /// Never for a state that this stage made.
    pub fn snapshot(&self, state: &AlertState) -> Result<Vec<u8>, StateError> {
        state.snapshot()
    }

    /// Takes over what a delta or a snapshot says.
    ///
    /// # Errors
    /// When the bytes are none that this version wrote.
    pub fn apply(&self, state: &mut AlertState, bytes: &[u8]) -> Result<(), StateError> {
        state.apply(bytes)
    }

    fn rules_of(&self, metric: &str) -> Vec<usize> {
        let rules = self.rules.iter().enumerate();
        rules.filter(|(_, rule)| rule.metric == metric).map(|(index, _)| index).collect()
    }

    fn publish(
        &self,
        frame: &Frame,
        readings: &Readings<'_>,
        mut alerts: AlertsBuilder,
        delta: Delta,
    ) -> Result<Plan, PlanError> {
        let rows = readings.len() as u64;
        let produced = rows + alerts.rows() as u64;
        let counts = Counts { consumed: rows, produced, ..Counts::default() };
        let mut publish = Vec::new();
        let id = |port: Port| frame.header.id.published(STAGE, self.config_hash, port.as_str(), 0);
        if rows > 0 {
            let header = frame.header.derive(Kind::Readings, frame.header.lane, id(Port::Next));
            publish.push((Port::Next, Frame { header, rows: frame.rows.clone() }));
        }
        if alerts.rows() > 0 {
            let header = frame.header.derive(Kind::Alerts, frame.header.lane, id(Port::Alerts));
            publish.push((Port::Alerts, alerts.finish(header)?));
        }
        Ok(Plan { publish, delta, counts })
    }
}

/// The reading in `row` if rules look at it: a number that is not late.
fn sample<'a>(readings: &Readings<'a>, row: usize) -> Option<Sample<'a>> {
    let (late, anomaly_score) = readings.score(row).unwrap_or_default();
    if late {
        return None;
    }
    Some(Sample {
        device: readings.devices().get(row)?,
        ts: readings.ts(row),
        at: readings.ts(row).min(readings.received_at(row)),
        value: readings.value(row)?,
        anomaly_score,
        received_at: readings.received_at(row),
        message: readings.message(row),
    })
}

impl Rule {
    fn new(config: &RuleConfig, condition: Condition) -> Self {
        let hold = i64::try_from(config.for_secs.saturating_mul(1_000_000)).unwrap_or(i64::MAX);
        let lasting = if config.for_secs > 0 { format!(" for {} s", config.for_secs) } else { String::new() };
        Self {
            name: config.name.clone(),
            metric: config.metric.clone(),
            condition,
            hold,
            severity: config.severity,
            description: format!("{} {condition}{lasting}", config.metric),
        }
    }

    /// Takes the rule's alert for this device one step on.
    fn check(
        &self,
        sample: &Sample<'_>,
        state: &mut AlertState,
        change: &mut Change,
        alerts: &mut AlertsBuilder,
    ) {
        let holds = self.condition.holds(sample.value, sample.anomaly_score);
        let open = state.get(&self.name, sample.device, &self.metric).copied();
        let next = match open {
            Some(open) if sample.at < open.last => return,
            None if !holds => return,
            Some(open) if !holds => {
                if open.firing {
                    self.append(alerts, "resolved", open.since, sample);
                }
                None
            }
            _ => {
                let mut next = open.unwrap_or(Open { since: sample.at, last: sample.at, firing: false });
                next.last = sample.at;
                if !next.firing && sample.at.saturating_sub(next.since) >= self.hold {
                    next.firing = true;
                    self.append(alerts, "firing", next.since, sample);
                }
                Some(next)
            }
        };
        state.set(change, &self.name, sample.device, &self.metric, next);
    }

    fn append(&self, alerts: &mut AlertsBuilder, state: &str, since: Micros, sample: &Sample<'_>) {
        let identity = format!("{}\0{}\0{}\0{since}", self.name, sample.device, self.metric);
        alerts.append(&AlertRow {
            alert: &format!("{:032x}", xxh3_128(identity.as_bytes())),
            rule: &self.name,
            device_id: sample.device,
            metric: &self.metric,
            state,
            severity: self.severity.as_str(),
            ts: sample.ts,
            since,
            value: Some(sample.value),
            anomaly_score: Some(sample.anomaly_score),
            condition: &self.description,
            received_at: sample.received_at,
            message: sample.message,
        });
    }
}
