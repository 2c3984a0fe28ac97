use std::error::Error;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use super::Table;
use crate::{
    aws,
    error::{Class, with_causes},
};

/// Why the table could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TableError {
    /// There is none of this name.
    #[error(
        "there is no table {table} in this region and account: make it with `millstream queues create`, or name another"
    )]
    Missing {
        /// Its name.
        table: String,
    },
    /// The credentials have no right to it.
    #[error("cannot {doing} in the table {table}: {said}; give these credentials the right to it")]
    Denied {
        /// Its name.
        table: String,
        /// What was tried.
        doing: &'static str,
        /// What the service says.
        said: String,
    },
    /// The request cannot even be made: no region, say.
    #[error(
        "cannot {doing} in the table {table}: {said}; name a region with state.dynamodb.region or AWS_REGION"
    )]
    Unset {
        /// Its name.
        table: String,
        /// What was tried.
        doing: &'static str,
        /// What is missing.
        said: String,
    },
    /// A table with other keys.
    #[error(
        "the table {table} is one of another program: its keys are not the strings pk and sk; name another"
    )]
    Foreign {
        /// Its name.
        table: String,
    },
    /// It was first used with another number of lanes.
    #[error(
        "the table {table} has {stored} lanes and cannot be used with {asked}: set lanes to {stored}, or run the queues dry \
         and go on with new queues and a new table"
    )]
    Lanes {
        /// Its name.
        table: String,
        /// How many lanes it was first used with.
        stored: u64,
        /// How many the config asks for.
        asked: u16,
    },
    /// It may work later: throttled, not reached, in conflict with another write.
    #[error("cannot {doing} in the table {table} just now: {said}")]
    Busy {
        /// Its name.
        table: String,
        /// What was tried.
        doing: &'static str,
        /// What the service says, or the way to it.
        said: String,
    },
    /// The service does not take it.
    #[error("cannot {doing} in the table {table}: {said}")]
    Refused {
        /// Its name.
        table: String,
        /// What was tried.
        doing: &'static str,
        /// What the service says.
        said: String,
    },
    /// An object for a large state cannot be read or written.
    #[cfg(feature = "object-store")]
    #[error("cannot {doing} the object {path}, for large states: {said}")]
    Object {
        /// What was tried.
        doing: &'static str,
        /// Its name.
        path: String,
        /// What the store says.
        said: String,
    },
    /// A large state is in an object, and there is nothing to read it from.
    #[error(
        "the table {table} says that a state is in the object {path}: name the bucket, and run a millstream that was built \
         with the feature object-store"
    )]
    NoObjects {
        /// Its name.
        table: String,
        /// The object's.
        path: String,
    },
    /// Something is in it that nobody of ours has written.
    #[error(
        "the table {table} is damaged: {what} of {key}; restore it from a backup, or go on with a new one"
    )]
    Damaged {
        /// Its name.
        table: String,
        /// Of which item.
        key: String,
        /// What is wrong with it.
        what: &'static str,
    },
}

impl TableError {
    /// What a caller can do about it.
    pub fn class(&self) -> Class {
        match self {
            Self::Busy { .. } => Class::Retry,
            #[cfg(feature = "object-store")]
            Self::Object { .. } => Class::Retry,
            _ => Class::Fatal,
        }
    }
}

/// Codes of what may work later, beside all that servers say of themselves. Temporary credentials are renewed.
const LATER: [&str; 12] = [
    "ExpiredToken",
    "ExpiredTokenException",
    "InternalServerError",
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "ReplicatedWriteConflictException",
    "RequestLimitExceeded",
    "RequestTimeout",
    "ServiceUnavailable",
    "ThrottlingException",
    "TransactionConflictException",
    "TransactionInProgressException",
];

impl Table {
    /// What went wrong with a call.
    pub(super) fn failed<E>(&self, doing: &'static str, error: &SdkError<E>) -> TableError
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let (table, said) = (self.name().to_owned(), with_causes(error));
        let answer = match error {
            SdkError::ServiceError(answer) => answer,
            error if aws::is_unset(error) => return TableError::Unset { table, doing, said },
            // It was not reached, or not understood.
            _ => return TableError::Busy { table, doing, said },
        };
        let code = answer.err().code().unwrap_or_default();
        if code == "ResourceNotFoundException" {
            TableError::Missing { table }
        } else if aws::is_out_of_time(&said) {
            TableError::Busy { table, doing, said }
        } else if aws::is_refusal(code) {
            TableError::Denied { table, doing, said }
        } else if LATER.contains(&code) || answer.raw().status().is_server_error() {
            TableError::Busy { table, doing, said }
        } else {
            TableError::Refused { table, doing, said }
        }
    }

    pub(crate) fn damaged(&self, key: impl ToString, what: &'static str) -> TableError {
        TableError::Damaged { table: self.name().to_owned(), key: key.to_string(), what }
    }
}
