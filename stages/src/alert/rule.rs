//! One rule, and how its alert of a device goes from one step to the next. Nothing is remembered here.

use xxhash_rust::xxh3::xxh3_128;

use super::{
    condition::Condition,
    config::{Cause, RuleConfig, Severity, TagTexts},
    state::Key,
    watch::{Phase, Watch},
};
use crate::frame::{AlertRow, AlertsBuilder, Micros, Readings};

/// A rule, ready to be asked.
#[derive(Debug)]
pub(super) struct Rule {
    /// What its alerts are remembered by.
    pub(super) key: Key,
    pub(super) metric: Option<String>,
    /// Tag → what it must be.
    pub(super) tags: Vec<(String, TagTexts)>,
    waits_for: WaitsFor,
    severity: Severity,
    description: String,
}

#[derive(Debug)]
enum WaitsFor {
    /// A condition that has held for as long as `hold`; it ends when `stays` no longer does.
    Condition { condition: Condition, stays: Condition, hold: Micros },
    /// No reading for as long as `silence`.
    Absence { silence: Micros },
}

/// One reading, as rules see it.
pub(super) struct Sample<'a> {
    pub(super) device: &'a str,
    pub(super) ts: Micros,
    pub(super) value: Option<f64>,
    pub(super) anomaly_score: f64,
    pub(super) late: bool,
    pub(super) received_at: Micros,
    pub(super) message: u64,
}

impl<'a> Sample<'a> {
    pub(super) fn of(readings: &Readings<'a>, row: usize) -> Option<Self> {
        let (late, anomaly_score) = readings.score(row).unwrap_or_default();
        Some(Self {
            device: readings.devices().get(row)?,
            ts: readings.ts(row),
            value: readings.value(row),
            anomaly_score,
            late,
            received_at: readings.received_at(row),
            message: readings.message(row),
        })
    }

    /// The number and its time, if conditions look at it. A clock that runs ahead must not silence the rows
    /// after it, so its time never counts beyond the receipt.
    fn measured(&self) -> Option<(f64, Micros)> {
        let value = self.value.filter(|_| !self.late)?;
        Some((value, self.ts.min(self.received_at)))
    }
}

/// A step of an alert that somebody is told of.
pub(super) struct Transition<'a> {
    pub(super) device: &'a str,
    pub(super) state: &'static str,
    pub(super) ts: Micros,
    pub(super) since: Micros,
    pub(super) value: Option<f64>,
    pub(super) anomaly_score: Option<f64>,
    pub(super) received_at: Micros,
    pub(super) message: u64,
}

impl Rule {
    pub(super) fn new(config: &RuleConfig, cause: Cause) -> Self {
        let metric = config.metric.clone();
        let name = metric.as_deref().unwrap_or_default();
        let (waits_for, description) = match cause {
            Cause::Condition(condition) => {
                let lasting =
                    if config.for_secs > 0 { format!(" for {} s", config.for_secs) } else { String::new() };
                let stays = condition.at(config.clear.unwrap_or(condition.threshold));
                let until = config.clear.map_or_else(String::new, |_| format!(", until {}", stays.end()));
                let hold = micros(config.for_secs);
                let description = format!("{name} {condition}{lasting}{until}");
                (WaitsFor::Condition { condition, stays, hold }, description)
            }
            Cause::Absence { secs } => {
                let description = format!("{name} absent for {secs} s");
                (WaitsFor::Absence { silence: micros(secs) }, description.trim_start().to_owned())
            }
        };
        let absence = matches!(cause, Cause::Absence { .. });
        Self {
            key: Key { rule: config.name.clone(), metric: name.to_owned(), absence },
            metric,
            tags: config.tags.iter().map(|(tag, texts)| (tag.clone(), texts.clone())).collect(),
            waits_for,
            severity: config.severity,
            description,
        }
    }

    /// Whether the rule looks at readings of this metric.
    pub(super) fn looks_at(&self, metric: &str) -> bool {
        self.metric.as_deref().is_none_or(|own| own == metric)
    }

    /// What a reading that the rule looks at makes of its alert.
    pub(super) fn read<'a>(
        &self,
        watch: Option<Watch>,
        sample: &Sample<'a>,
    ) -> (Option<Watch>, Option<Transition<'a>>) {
        let heard = watch.map(|watch| watch.heard(sample.received_at, sample.message));
        match &self.waits_for {
            WaitsFor::Absence { .. } => {
                let fired = watch.filter(Watch::fires);
                // What was received before the silence began does not end it, however late it gets here.
                if fired.is_some_and(|watch| sample.received_at <= watch.since) {
                    return (fired, None);
                }
                let returned = fired.map(|watch| Transition {
                    ts: sample.received_at,
                    value: None,
                    anomaly_score: None,
                    ..Transition::of("resolved", watch.since, sample)
                });
                let last = heard.map(|watch| (watch.received_at, watch.message));
                let (received_at, message) = last.unwrap_or((sample.received_at, sample.message));
                (Some(Watch::since(received_at, received_at, message)), returned)
            }
            WaitsFor::Condition { condition, stays, hold } => {
                let Some((value, at)) = sample.measured() else { return (heard, None) };
                if heard.is_some_and(|watch| watch.is_past(at)) {
                    return (heard, None);
                }
                let fired = heard.filter(Watch::fires);
                let asked = if fired.is_some() { stays } else { condition };
                if !asked.holds(value, sample.anomaly_score) {
                    let resolved = fired.map(|watch| Transition::of("resolved", watch.since, sample));
                    return (heard.map(|watch| watch.ended(at)), resolved);
                }
                let open = heard.filter(|watch| watch.phase != Phase::Ended);
                let mut next = open.unwrap_or_else(|| Watch::since(at, sample.received_at, sample.message));
                next.last = at;
                if next.fires() || at.saturating_sub(next.since) < *hold {
                    return (Some(next), None);
                }
                next.phase = Phase::Firing;
                (Some(next), Some(Transition::of("firing", next.since, sample)))
            }
        }
    }

    /// When time alone takes the alert one step on.
    pub(super) fn due(&self, watch: &Watch, idle: Micros) -> Micros {
        let wait = match self.waits_for {
            WaitsFor::Absence { silence } if !watch.fires() => silence,
            _ => idle,
        };
        watch.received_at.saturating_add(wait)
    }

    /// What becomes of an alert that is due at `instant`: the one of an absence fires; any other, and that one
    /// when it is due again, comes to its end without a reading.
    pub(super) fn pass<'a>(
        &self,
        watch: Watch,
        device: &'a str,
        instant: Micros,
    ) -> (Option<Watch>, Option<Transition<'a>>) {
        let transition = |state| Transition {
            device,
            state,
            ts: instant,
            since: watch.since,
            value: None,
            anomaly_score: None,
            received_at: instant,
            message: watch.message,
        };
        match self.waits_for {
            _ if watch.fires() => (None, Some(transition("expired"))),
            WaitsFor::Absence { .. } => {
                (Some(Watch { phase: Phase::Firing, ..watch }), Some(transition("firing")))
            }
            WaitsFor::Condition { .. } => (None, None),
        }
    }

    pub(super) fn append(&self, alerts: &mut AlertsBuilder, transition: &Transition<'_>) {
        let &Transition { device, since, .. } = transition;
        let Key { rule, metric, .. } = &self.key;
        let identity = format!("{rule}\0{device}\0{metric}\0{since}");
        alerts.append(&AlertRow {
            alert: &format!("{:032x}", xxh3_128(identity.as_bytes())),
            rule,
            device_id: device,
            metric,
            state: transition.state,
            severity: self.severity.as_str(),
            ts: transition.ts,
            since,
            value: transition.value,
            anomaly_score: transition.anomaly_score,
            condition: &self.description,
            received_at: transition.received_at,
            message: transition.message,
        });
    }
}

impl<'a> Transition<'a> {
    /// One that `sample` leads to.
    fn of(state: &'static str, since: Micros, sample: &Sample<'a>) -> Self {
        Self {
            device: sample.device,
            state,
            ts: sample.ts,
            since,
            value: sample.value,
            anomaly_score: Some(sample.anomaly_score),
            received_at: sample.received_at,
            message: sample.message,
        }
    }
}

/// Seconds of the config as microseconds.
pub(super) fn micros(secs: u64) -> Micros {
    i64::try_from(secs.saturating_mul(1_000_000)).unwrap_or(i64::MAX)
}
