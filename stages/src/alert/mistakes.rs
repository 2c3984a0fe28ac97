//! What can be wrong with a set of rules beyond its shape.

use super::{
    condition::{Comparison, Condition},
    config::{AlertConfig, Cause, RuleConfig},
};

/// A rule that cannot be carried out.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("rule {name:?} {fault}")]
pub struct RuleMistake {
    index: usize,
    name: String,
    fault: Fault,
}

/// What is wrong with a rule.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
enum Fault {
    #[error("needs exactly one of above, at_least, below, at_most, anomaly_score_at_least and absent_secs")]
    Cause,
    #[error("has the name of an earlier rule; alerts are told apart by it")]
    Name,
    #[error("needs the key metric; only one with absent_secs can do without")]
    Metric,
    #[error("fires when {condition}, so it can clear only at {allowed}, not at {clear}")]
    Clear { condition: Condition, allowed: String, clear: f64 },
    #[error("has absent_secs, beside which {key} means nothing; leave it out")]
    BesideAbsence { key: &'static str },
    #[error(
        "would fire after {absent_secs} s, but a silent device is forgotten after alert.idle_secs \
         ({idle_secs}); make that greater"
    )]
    Forgotten { absent_secs: u64, idle_secs: u64 },
    #[error("allows no text for the tag {tag:?}, and could never fire; name one or leave the tag out")]
    NoText { tag: String },
    #[error("looks at the tag {tag:?}, which no topic defines; {}", .known.as_str())]
    Tag { tag: String, known: String },
}

impl RuleMistake {
    /// Where, as a JSON pointer into the list of rules: `/2/clear`.
    pub fn pointer(&self) -> String {
        let key = match &self.fault {
            Fault::Cause | Fault::Metric => String::new(),
            Fault::Name => "/name".to_owned(),
            Fault::Clear { .. } => "/clear".to_owned(),
            Fault::BesideAbsence { key } => format!("/{key}"),
            Fault::Forgotten { .. } => "/absent_secs".to_owned(),
            Fault::NoText { tag } | Fault::Tag { tag, .. } => {
                format!("/tags/{}", tag.replace('~', "~0").replace('/', "~1"))
            }
        };
        format!("/{}{key}", self.index)
    }
}

impl AlertConfig {
    /// Every mistake of the rules, but for [`AlertConfig::unknown_tags`].
    pub fn mistakes(&self) -> Vec<RuleMistake> {
        let mut mistakes = Vec::new();
        for (index, rule) in self.rules.iter().enumerate() {
            let mut faults = rule.faults(self.idle_secs);
            if self.rules.iter().take(index).any(|earlier| earlier.name == rule.name) {
                faults.push(Fault::Name);
            }
            mistakes.extend(faults.into_iter().map(|fault| rule.mistake(index, fault)));
        }
        mistakes
    }

    /// Every tag in a rule that is not among `known`, the tags that readings have.
    pub fn unknown_tags(&self, known: &[String]) -> Vec<RuleMistake> {
        let way_out = match known {
            [] => "none defines any".to_owned(),
            _ => format!("known here: {}", known.join(", ")),
        };
        let mut mistakes = Vec::new();
        for (index, rule) in self.rules.iter().enumerate() {
            for tag in rule.tags.keys().filter(|tag| !known.contains(tag)) {
                mistakes.push(rule.mistake(index, Fault::Tag { tag: tag.clone(), known: way_out.clone() }));
            }
        }
        mistakes
    }
}

impl RuleConfig {
    fn mistake(&self, index: usize, fault: Fault) -> RuleMistake {
        RuleMistake { index, name: self.name.clone(), fault }
    }

    /// What is wrong with the rule by itself.
    fn faults(&self, idle_secs: u64) -> Vec<Fault> {
        let mut faults = Vec::new();
        let textless = self.tags.iter().filter(|(_, texts)| texts.texts().is_empty());
        faults.extend(textless.map(|(tag, _)| Fault::NoText { tag: tag.clone() }));
        match self.cause() {
            None => faults.push(Fault::Cause),
            Some(Cause::Condition(condition)) => {
                if self.metric.is_none() {
                    faults.push(Fault::Metric);
                }
                faults.extend(self.clear.and_then(|clear| wrong_clear(condition, clear)));
            }
            Some(Cause::Absence { secs: absent_secs }) => {
                let beside = [("clear", self.clear.is_some()), ("for_secs", self.for_secs > 0)];
                let beside = beside.into_iter().filter(|(_, given)| *given);
                faults.extend(beside.map(|(key, _)| Fault::BesideAbsence { key }));
                if absent_secs >= idle_secs {
                    faults.push(Fault::Forgotten { absent_secs, idle_secs });
                }
            }
        }
        faults
    }
}

/// An alert that fires must be able to stay, and one that clears to go: no score is below 0.
fn wrong_clear(condition: Condition, clear: f64) -> Option<Fault> {
    let Condition { comparison, threshold } = condition;
    let endless = comparison == Comparison::AnomalyScoreAtLeast && clear <= 0.0;
    let allowed = match comparison {
        Comparison::Below | Comparison::AtMost => format!("{threshold} or more"),
        Comparison::AnomalyScoreAtLeast => format!("{threshold} or less, and more than 0"),
        Comparison::Above | Comparison::AtLeast => format!("{threshold} or less"),
    };
    let wrong = endless || !condition.at(clear).includes(condition);
    wrong.then_some(Fault::Clear { condition, allowed, clear })
}
