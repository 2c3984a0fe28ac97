//! What a process can run of a topology.

use std::{fmt, str::FromStr};

use crate::config::GroupStage;

/// What a process can run of a topology.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The intake.
    Ingest,
    /// A stage between two queues.
    Validate,
    /// A stage between two queues.
    Transform,
    /// A stage between two queues.
    Analyze,
    /// A stage between two queues.
    Alert,
    /// The writer of the lake.
    Store,
    /// Who delivers alerts.
    Notify,
}

impl Part {
    /// Every part, in the order of the way of a reading.
    pub const ALL: [Self; 7] = [
        Self::Ingest,
        Self::Validate,
        Self::Transform,
        Self::Analyze,
        Self::Alert,
        Self::Store,
        Self::Notify,
    ];

    /// The name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Validate => "validate",
            Self::Transform => "transform",
            Self::Analyze => "analyze",
            Self::Alert => "alert",
            Self::Store => "store",
            Self::Notify => "notify",
        }
    }
}

impl From<GroupStage> for Part {
    fn from(stage: GroupStage) -> Self {
        match stage {
            GroupStage::Validate => Self::Validate,
            GroupStage::Transform => Self::Transform,
            GroupStage::Analyze => Self::Analyze,
            GroupStage::Alert => Self::Alert,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::as_str).join(", ");
        Self::ALL
            .into_iter()
            .find(|part| part.as_str() == name)
            .ok_or_else(|| format!("there is no stage {name:?}; the stages are {}", known()))
    }
}
