//! The part `alert` of the config.

use std::{collections::BTreeMap, slice};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::condition::{Comparison, Condition};

/// What makes an alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AlertConfig {
    /// Each is checked for every reading of its metric.
    pub rules: Vec<RuleConfig>,
    /// After how many seconds without a reading that a rule looks at its alert of a device expires, and the
    /// device is forgotten.
    #[schemars(range(min = 1))]
    pub idle_secs: u64,
}

impl Default for AlertConfig {
    fn default() -> Self {
        Self { rules: Vec::new(), idle_secs: 604_800 }
    }
}

/// A rule has exactly one of `above`, `at_least`, `below`, `at_most`, `anomaly_score_at_least` and `absent_secs`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// Names the rule in alerts; unique.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The metric it looks at. A rule with `absent_secs` can do without: then any reading of the device counts.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub metric: Option<String>,
    /// Tag → the text, or one of a list of texts, that a reading must have there. The rule looks at no others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, TagTexts>,
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
    /// Fires when a device that was heard of has sent no reading for this many seconds of receipt time.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub absent_secs: Option<u64>,
    /// Takes the place of the threshold once the alert fires: `above: 80` with `clear: 75` resolves at 75 or
    /// less. Default: the threshold.
    #[serde(default)]
    pub clear: Option<f64>,
    /// How long the condition must hold before the alert fires, in seconds of event time.
    #[serde(default)]
    pub for_secs: u64,
    /// How bad it is.
    #[serde(default)]
    pub severity: Severity,
}

/// A text, or a list of which one is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum TagTexts {
    /// This text.
    One(String),
    /// One of these.
    Any(Vec<String>),
}

impl TagTexts {
    pub(super) fn texts(&self) -> &[String] {
        match self {
            Self::One(one) => slice::from_ref(one),
            Self::Any(any) => any,
        }
    }
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

/// What a rule waits for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Cause {
    /// A reading for which this holds.
    Condition(Condition),
    /// No reading for so many seconds.
    Absence { secs: u64 },
}

impl RuleConfig {
    /// What the rule waits for, if it says exactly one thing.
    pub(super) fn cause(&self) -> Option<Cause> {
        let compared = |comparison, threshold: Option<f64>| {
            Some(Cause::Condition(Condition { comparison, threshold: threshold? }))
        };
        let given = [
            compared(Comparison::Above, self.above),
            compared(Comparison::AtLeast, self.at_least),
            compared(Comparison::Below, self.below),
            compared(Comparison::AtMost, self.at_most),
            compared(Comparison::AnomalyScoreAtLeast, self.anomaly_score_at_least),
            self.absent_secs.map(|secs| Cause::Absence { secs }),
        ];
        let mut given = given.into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(cause), None) => Some(cause),
            _ => None,
        }
    }
}
