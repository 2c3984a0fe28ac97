//! The part `alert` of the config.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What makes an alert.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AlertConfig {
    /// Each is checked for every reading of its metric.
    pub rules: Vec<RuleConfig>,
}

/// A rule has exactly one of `above`, `at_least`, `below`, `at_most` and `anomaly_score_at_least`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// Names the rule in alerts; unique.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The metric it looks at.
    #[schemars(length(min = 1))]
    pub metric: String,
    /// Holds while the value is greater than this.
    #[serde(default)]
    pub above: Option<f64>,
    /// Holds while the value is this or greater.
    #[serde(default)]
    pub at_least: Option<f64>,
    /// Holds while the value is less than this.
    #[serde(default)]
    pub below: Option<f64>,
    /// Holds while the value is this or less.
    #[serde(default)]
    pub at_most: Option<f64>,
    /// Holds while the anomaly score is this or greater, from 0 to 1.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub anomaly_score_at_least: Option<f64>,
    /// How long the condition must hold before the alert fires, in seconds of event time.
    #[serde(default)]
    pub for_secs: u64,
    /// How bad it is.
    #[serde(default)]
    pub severity: Severity,
}

/// How bad an alert is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Worth looking at.
    #[default]
    Warning,
    /// Worth getting up for.
    Critical,
}

impl Severity {
    /// The name in config and lake.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What a rule compares a reading with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Condition {
    Above(f64),
    AtLeast(f64),
    Below(f64),
    AtMost(f64),
    AnomalyScoreAtLeast(f64),
}

impl Condition {
    pub(super) fn holds(self, value: f64, anomaly_score: f64) -> bool {
        match self {
            Self::Above(threshold) => value > threshold,
            Self::AtLeast(threshold) => value >= threshold,
            Self::Below(threshold) => value < threshold,
            Self::AtMost(threshold) => value <= threshold,
            Self::AnomalyScoreAtLeast(threshold) => anomaly_score >= threshold,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Above(threshold) => write!(f, "above {threshold}"),
            Self::AtLeast(threshold) => write!(f, "at least {threshold}"),
            Self::Below(threshold) => write!(f, "below {threshold}"),
            Self::AtMost(threshold) => write!(f, "at most {threshold}"),
            Self::AnomalyScoreAtLeast(threshold) => write!(f, "anomaly score at least {threshold}"),
        }
    }
}

impl RuleConfig {
    /// The one condition of the rule.
    pub(super) fn condition(&self) -> Option<Condition> {
        let given = [
            self.above.map(Condition::Above),
            self.at_least.map(Condition::AtLeast),
            self.below.map(Condition::Below),
            self.at_most.map(Condition::AtMost),
            self.anomaly_score_at_least.map(Condition::AnomalyScoreAtLeast),
        ];
        let mut given = given.into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(condition), None) => Some(condition),
            _ => None,
        }
    }
}

/// Two mistakes a set of rules can have beyond its shape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleMistake {
    /// None or several conditions.
    #[error("rule {name:?} needs exactly one of above, at_least, below, at_most and anomaly_score_at_least")]
    Condition {
        /// Which rule, counted from 0.
        index: usize,
        /// Its name.
        name: String,
    },
    /// A name that an earlier rule has.
    #[error("rule {name:?} has the name of an earlier rule; alerts are told apart by it")]
    Name {
        /// Which rule, counted from 0.
        index: usize,
        /// Its name.
        name: String,
    },
}

impl RuleMistake {
    /// Which rule is at fault, counted from 0.
    pub fn index(&self) -> usize {
        match self {
            Self::Condition { index, .. } | Self::Name { index, .. } => *index,
        }
    }
}

impl AlertConfig {
    /// Every mistake of the rules.
    pub fn mistakes(&self) -> Vec<RuleMistake> {
        let mut mistakes = Vec::new();
        for (index, rule) in self.rules.iter().enumerate() {
            let name = rule.name.clone();
            if rule.condition().is_none() {
                mistakes.push(RuleMistake::Condition { index, name: name.clone() });
            }
            if self.rules.iter().take(index).any(|earlier| earlier.name == name) {
                mistakes.push(RuleMistake::Name { index, name });
            }
        }
        mistakes
    }
}
