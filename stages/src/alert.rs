//! alert: runs rules over readings and their scores; per rule, device and metric an alert is pending, firing,
//! then resolved. A rule may also wait for readings to stay away, which ticks decide.
//!
//! Late rows, rows older than the last one an open alert saw, and rows not newer than the one that ended the last
//! alert are passed on, but change no alert: what is already history must not wake anybody. They are signs of
//! life, though.

mod condition;
mod config;
mod lookout;
mod mistakes;
mod rule;
mod state;
#[cfg(test)]
mod tests;
mod watch;

use xxhash_rust::xxh3::xxh3_64;

pub use self::{
    config::{AlertConfig, RuleConfig, Severity, TagTexts},
    mistakes::RuleMistake,
    state::AlertState,
};
use self::{
    lookout::Lookout,
    rule::{Rule, Sample, micros},
    state::Key,
    watch::Watch,
};
use crate::{
    frame::{AlertsBuilder, Frame, Kind, Micros, Readings},
    plan::{Counts, Delta, Plan, PlanError, Port, StateError},
};

/// The name of the stage: in ids, books and logs.
pub const STAGE: &str = "alert";

/// The stage, ready to plan.
#[derive(Debug)]
pub struct Alert {
    rules: Vec<Rule>,
    idle: Micros,
    config_hash: u64,
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
        let rules = config.rules.iter().filter_map(|rule| Some(Rule::new(rule, rule.cause()?)));
        Ok(Self {
            rules: rules.collect(),
            idle: micros(config.idle_secs),
            config_hash: xxh3_64(format!("{config:?}").as_bytes()),
        })
    }

    /// Passes a *readings* frame on as it is, with the transitions it leads to beside it. A *tick* leads to
    /// the transitions of devices that were not heard of.
    ///
    /// # Errors
    /// When the frame holds no scored readings.
    pub fn plan(&self, state: &mut AlertState, frame: &Frame) -> Result<Plan, PlanError> {
        if frame.header.kind == Kind::Tick {
            let instant = frame.header.created_at;
            if state.rests_at(instant) {
                return Ok(Plan::default());
            }
            let alerts = self.pass(state, instant);
            return self.publish(frame, 0, alerts, state);
        }
        let readings = Readings::of(frame)?;
        let alerts = self.read(state, &readings);
        self.publish(frame, readings.len(), alerts, state)
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

    fn read(&self, state: &mut AlertState, readings: &Readings<'_>) -> AlertsBuilder {
        let mut alerts = AlertsBuilder::default();
        let mut lookout = Lookout::new(&self.rules, readings);
        let mut devices: Vec<Option<usize>> = vec![None; readings.devices().distinct()];
        for row in 0..readings.len() {
            let watchers = lookout.of_row(readings, row, state);
            if watchers.is_empty() {
                continue;
            }
            let Some(sample) = Sample::of(readings, row) else { continue };
            let cached = readings.devices().key(row).and_then(|key| devices.get_mut(key));
            let mut device =
                cached.as_ref().and_then(|slot| **slot).or_else(|| state.device_slot(sample.device));
            for watcher in watchers.iter().filter(|watcher| watcher.fits(row)) {
                let watch = device.and_then(|device| state.get(device, watcher.slot));
                let (next, transition) = watcher.rule.read(watch, &sample);
                if next != watch {
                    let due = next.map_or(Micros::MAX, |next| watcher.rule.due(&next, self.idle));
                    let device = *device.get_or_insert_with(|| state.add(sample.device));
                    state.set(device, watcher.slot, next, due);
                }
                if let Some(transition) = transition {
                    watcher.rule.append(&mut alerts, &transition);
                }
            }
            if let Some(cached) = cached {
                *cached = device;
            }
        }
        alerts
    }

    /// Takes the alerts on for which time has come.
    fn pass(&self, state: &mut AlertState, instant: Micros) -> AlertsBuilder {
        let mut alerts = AlertsBuilder::default();
        let of_key = |key: &Key| self.rules.iter().find(|rule| rule.key == *key);
        let rules: Vec<Option<&Rule>> = state.rules().iter().map(of_key).collect();
        let rule_of = |slot: usize| rules.get(slot).copied().flatten();
        // What a rule that is no more left behind is forgotten like the rest.
        let due_of = |slot: usize, watch: &Watch| match rule_of(slot) {
            Some(rule) => rule.due(watch, self.idle),
            None => watch.received_at.saturating_add(self.idle),
        };
        for due in state.take_due(instant, due_of) {
            let Some(rule) = rule_of(due.rule) else {
                state.set(due.device, due.rule, None, Micros::MAX);
                continue;
            };
            let (next, transition) = rule.pass(due.watch, state.name(due.device), instant);
            if let Some(transition) = transition {
                rule.append(&mut alerts, &transition);
            }
            let again = next.map_or(Micros::MAX, |next| rule.due(&next, self.idle));
            state.set(due.device, due.rule, next, again);
        }
        alerts
    }

    fn publish(
        &self,
        frame: &Frame,
        rows: usize,
        mut alerts: AlertsBuilder,
        state: &mut AlertState,
    ) -> Result<Plan, PlanError> {
        let produced = (rows + alerts.rows()) as u64;
        let counts = Counts { consumed: rows as u64, produced, ..Counts::default() };
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
        Ok(Plan { publish, delta: Delta(state.delta()?), counts })
    }
}
