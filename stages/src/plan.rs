//! What one delivery leads to: the join between the pure core and the shells that call it.

use std::ops::AddAssign;

use crate::frame::{Frame, FrameError};

/// What a stage makes of one frame.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// The frames to publish, and where each goes; never one without rows, but for a tick.
    pub publish: Vec<(Port, Frame)>,
    /// What changed in the lane's state.
    pub delta: Delta,
    /// The books of this frame.
    pub counts: Counts,
}

/// A way out of a stage. Which queue lies behind it is the topology's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Port {
    /// To the next stage.
    Next,
    /// To the quarantine.
    Refused,
    /// To whoever is told of alerts.
    Alerts,
    /// To the lake: windows that are closed.
    Aggregates,
}

impl Port {
    /// The name that ids of frames are made with.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Refused => "refused",
            Self::Alerts => "alerts",
            Self::Aggregates => "aggregates",
        }
    }
}

/// A change of a lane's state, as bytes that only its stage reads; empty where nothing changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delta(pub Vec<u8>);

/// What became of a frame's rows: `input rows = consumed + quarantined + repeated + filtered`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows that went on, or led to rows that did.
    pub consumed: u64,
    /// Rows that were refused and kept with the reason.
    pub quarantined: u64,
    /// Rows that had been seen before.
    pub repeated: u64,
    /// Rows that the config leaves out.
    pub filtered: u64,
    /// Rows that came out, counted apart.
    pub produced: u64,
    /// Rows that came after the watermark: a mark, not a fate.
    pub late: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.consumed += other.consumed;
        self.quarantined += other.quarantined;
        self.repeated += other.repeated;
        self.filtered += other.filtered;
        self.produced += other.produced;
        self.late += other.late;
    }
}

/// Why a frame led to no plan. Another try on the same state would end the same.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The frame is not what the stage reads.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The state is not what the stage wrote.
    #[error(transparent)]
    State(#[from] StateError),
}

impl From<arrow_schema::ArrowError> for PlanError {
    fn from(error: arrow_schema::ArrowError) -> Self {
        Self::Frame(error.into())
    }
}

/// State that its stage cannot read.
#[derive(Debug, thiserror::Error)]
#[error("the state of a lane cannot be used: {0}")]
pub struct StateError(String);

impl StateError {
    pub(crate) fn new(error: postcard::Error) -> Self {
        Self(error.to_string())
    }

    pub(crate) fn gap(device: &str, metric: &str) -> Self {
        Self(format!("it lacks a window of {metric} of {device} that it speaks of"))
    }

    pub(crate) fn missing(stage: &str) -> Self {
        Self(format!("there is none for {stage}"))
    }

    pub(crate) fn other_lane(stage: &str) -> Self {
        Self(format!("{stage} was sent a frame of another lane than that of its state"))
    }

    pub(crate) fn rows(device: &str) -> Self {
        Self(format!("it lacks rows of {device} that it goes on with"))
    }

    pub(crate) fn foreign(stage: &str) -> Self {
        Self(format!("it is not a state of {stage}"))
    }
}
