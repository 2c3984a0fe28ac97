use std::{fmt, str::FromStr};

use stages::frame::Lane;

/// A queue, named after the stage that reads it. The numbers stand in data files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QueueName {
    /// *messages* as they came.
    Validate = 0,
    /// *messages* that fit their schema.
    Transform = 1,
    /// *readings*.
    Analyze = 2,
    /// *readings* with scores.
    Alert = 3,
    /// Whatever goes to the lake.
    Store = 4,
    /// *alerts* for people.
    Notify = 5,
}

impl QueueName {
    /// Every queue, in the order of the way of a reading.
    pub const ALL: [Self; 6] =
        [Self::Validate, Self::Transform, Self::Analyze, Self::Alert, Self::Store, Self::Notify];

    /// The name in configs, logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Validate => "validate",
            Self::Transform => "transform",
            Self::Analyze => "analyze",
            Self::Alert => "alert",
            Self::Store => "store",
            Self::Notify => "notify",
        }
    }

    /// The queue with this number in a data file.
    pub(super) fn numbered(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|queue| *queue as i64 == number)
    }

    /// Whether the frames of a lane go to one holder at a time, in order.
    pub fn is_ordered(self) -> bool {
        matches!(self, Self::Transform | Self::Analyze | Self::Alert)
    }

    /// Whether each lane is received by itself: those of `notify` are webhooks, and none may hold up another.
    pub fn is_by_lane(self) -> bool {
        self == Self::Notify
    }

    /// Whether it makes nobody wait: when it is full, its oldest frames become dead letters.
    pub fn gives_way(self) -> bool {
        self == Self::Notify
    }

    /// The line that a frame of `lane` stands in.
    pub(super) fn line(self, lane: Lane) -> u16 {
        if self.is_ordered() || self.is_by_lane() { lane.0 } else { 0 }
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for QueueName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::as_str).join(", ");
        let found = Self::ALL.into_iter().find(|queue| queue.as_str() == name);
        found.ok_or_else(|| format!("there is no queue {name:?}; the queues are {}", known()))
    }
}
