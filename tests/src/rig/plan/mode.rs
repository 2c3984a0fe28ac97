//! The ways in which Millstream is run.

use std::fmt;

/// How Millstream is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `up`: all in one process.
    AllInOne,
    /// `run STAGE`: a process for each, and two of some.
    ProcessPerStage,
    /// `up` behind Mosquitto, which is restarted.
    BehindBroker,
    /// `run STAGE` with queues on SQS, ordered ones FIFO, and state on DynamoDB: two processes of each stage with state.
    OnSqs,
    /// The same with standard queues alone.
    OnSqsWithoutOrder,
}

impl Mode {
    /// Those that there are rounds of, in their order.
    pub const ALL: [Self; 5] =
        [Self::AllInOne, Self::BehindBroker, Self::ProcessPerStage, Self::OnSqs, Self::OnSqsWithoutOrder];

    /// Whether queues and state are services of AWS.
    pub(in crate::rig) fn is_on_aws(self) -> bool {
        matches!(self, Self::OnSqs | Self::OnSqsWithoutOrder)
    }

    /// Whether each stage has processes of its own.
    pub(super) fn is_apart(self) -> bool {
        self == Self::ProcessPerStage || self.is_on_aws()
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AllInOne => "all in one",
            Self::ProcessPerStage => "process per stage",
            Self::BehindBroker => "behind Mosquitto",
            Self::OnSqs => "on SQS",
            Self::OnSqsWithoutOrder => "on SQS without order",
        })
    }
}
