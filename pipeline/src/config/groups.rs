//! Which stages are run as one hop.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{finding::Finding, topology::Topology};

/// A stage that may be in a group: one between two queues, in the order of the way of a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GroupStage {
    /// Checks messages.
    Validate,
    /// Makes readings of them.
    Transform,
    /// Compares readings with those before them.
    Analyze,
    /// Runs rules.
    Alert,
}

impl GroupStage {
    /// The name in configs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Validate => "validate",
            Self::Transform => "transform",
            Self::Analyze => "analyze",
            Self::Alert => "alert",
        }
    }

    /// The stage that reads what this one sends on.
    fn next(self) -> Option<Self> {
        match self {
            Self::Validate => Some(Self::Transform),
            Self::Transform => Some(Self::Analyze),
            Self::Analyze => Some(Self::Alert),
            Self::Alert => None,
        }
    }
}

/// What is wrong with the groups of a topology.
pub(super) fn mistakes(topology: &Topology) -> Vec<Finding> {
    let mut mistakes = Vec::new();
    let mut taken: Vec<GroupStage> = Vec::new();
    for (number, group) in topology.groups.iter().enumerate() {
        let pointer = format!("/groups/{number}");
        if group.len() < 2 {
            let text = "a hop has at least two stages; leave the group out: a stage in none is run by itself";
            mistakes.push(Finding::of_value(&pointer, text.to_owned()));
        }
        for (index, stage) in group.iter().enumerate() {
            let before = index.checked_sub(1).and_then(|before| group.get(before));
            let text = match before {
                _ if taken.contains(stage) => Some(twice(*stage)),
                Some(before) => unfit(*before, *stage),
                None => None,
            };
            mistakes.extend(text.map(|text| Finding::of_value(&format!("{pointer}/{index}"), text)));
            taken.push(*stage);
        }
    }
    mistakes
}

fn twice(stage: GroupStage) -> String {
    format!("{} is in a group already; a stage is in one at most, and once", stage.as_str())
}

/// Why `stage` cannot come behind `before` in a hop, if it cannot.
fn unfit(before: GroupStage, stage: GroupStage) -> Option<String> {
    if (before, stage) == (GroupStage::Transform, GroupStage::Analyze) {
        return Some(
            "analyze cannot be in one hop with transform, which sorts readings into the lanes of their devices: \
             begin another group with it"
                .to_owned(),
        );
    }
    let name = stage.as_str();
    (before.next() != Some(stage)).then(|| {
        let before = before.as_str();
        format!("{name} does not read what {before} sends on; groups are [validate, transform] and [analyze, alert]")
    })
}
