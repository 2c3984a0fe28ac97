//! Which queue lies behind which way out of a stage.

use stages::{plan::Port, stage::Stage};

use crate::queue::QueueName;

/// The queue that a stage reads.
pub fn before(stage: &Stage) -> QueueName {
    match stage {
        Stage::Validate(_) => QueueName::Validate,
        Stage::Transform(_) => QueueName::Transform,
        Stage::Analyze(_) => QueueName::Analyze,
        Stage::Alert(_) => QueueName::Alert,
    }
}

/// The queue that frames leave a stage for.
pub fn behind(stage: &Stage, port: Port) -> QueueName {
    match (stage, port) {
        (_, Port::Refused | Port::Alerts | Port::Aggregates) | (Stage::Alert(_), Port::Next) => {
            QueueName::Store
        }
        (Stage::Validate(_), Port::Next) => QueueName::Transform,
        (Stage::Transform(_), Port::Next) => QueueName::Analyze,
        (Stage::Analyze(_), Port::Next) => QueueName::Alert,
    }
}
