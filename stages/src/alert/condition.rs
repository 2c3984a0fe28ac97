//! What a rule compares a reading with.

use std::fmt;

/// A comparison with a threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Condition {
    pub(super) comparison: Comparison,
    pub(super) threshold: f64,
}

/// How a reading is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Above,
    AtLeast,
    Below,
    AtMost,
    AnomalyScoreAtLeast,
}

impl Condition {
    pub(super) fn holds(self, value: f64, anomaly_score: f64) -> bool {
        match self.comparison {
            Comparison::Above => value > self.threshold,
            Comparison::AtLeast => value >= self.threshold,
            Comparison::Below => value < self.threshold,
            Comparison::AtMost => value <= self.threshold,
            Comparison::AnomalyScoreAtLeast => anomaly_score >= self.threshold,
        }
    }

    /// The same comparison with another threshold.
    pub(super) fn at(self, threshold: f64) -> Self {
        Self { threshold, ..self }
    }

    /// Whether this holds wherever `other`, the same comparison, does: then a firing alert may stay for as
    /// long as this holds.
    pub(super) fn includes(self, other: Self) -> bool {
        match self.comparison {
            Comparison::Below | Comparison::AtMost => self.threshold >= other.threshold,
            _ => self.threshold <= other.threshold,
        }
    }

    /// When it no longer holds, for people.
    pub(super) fn end(self) -> String {
        let words = match self.comparison {
            Comparison::Above => "at most",
            Comparison::AtLeast | Comparison::AnomalyScoreAtLeast => "below",
            Comparison::Below => "at least",
            Comparison::AtMost => "above",
        };
        format!("{words} {}", self.threshold)
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self.comparison {
            Comparison::Above => "above",
            Comparison::AtLeast => "at least",
            Comparison::Below => "below",
            Comparison::AtMost => "at most",
            Comparison::AnomalyScoreAtLeast => "anomaly score at least",
        };
        write!(f, "{words} {}", self.threshold)
    }
}
