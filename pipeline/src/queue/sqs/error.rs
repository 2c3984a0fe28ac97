use std::error::Error;

use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use stages::frame::{FrameId, Lane};

use super::{api::SEND, message::MESSAGE_BYTES_MAX};
use crate::{
    aws,
    error::{Class, with_causes},
    queue::QueueName,
};

/// Why SQS did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SqsError {
    /// Queues are not there.
    #[error(
        "there is no queue {} on SQS in this region and account: make the queues with `millstream queues create`, or \
         correct queues.sqs.prefix, queues.sqs.fifo or the region", .queues.join(", ")
    )]
    Missing {
        /// Their names.
        queues: Vec<String>,
    },
    /// A queue takes no messages as large as frames are.
    #[error(
        "the queue {queue} takes messages of {bytes} bytes at the most: set its MaximumMessageSize to {MESSAGE_BYTES_MAX}"
    )]
    Small {
        /// Its name.
        queue: String,
        /// What it takes.
        bytes: usize,
    },
    /// A frame for a webhook that these queues do not have.
    #[error("there is no queue for lane {lane} of {queue}: each process must have the same webhooks")]
    NoQueue {
        /// Where it was to go.
        queue: QueueName,
        /// Its lane.
        lane: Lane,
    },
    /// The rights are missing, or the credentials are none.
    #[error(
        "SQS refuses {action} on the queue {queue}: {reason}; docs/engines.md lists the rights that each stage needs"
    )]
    Refused {
        /// What was asked for.
        action: &'static str,
        /// Of which queue.
        queue: String,
        /// What SQS says.
        reason: String,
    },
    /// It was asked for something that it will never do.
    #[error("SQS cannot carry out {action} on the queue {queue}: {reason}")]
    Invalid {
        /// What was asked for.
        action: &'static str,
        /// Of which queue.
        queue: String,
        /// What SQS says.
        reason: String,
    },
    /// It cannot be reached, or has too much to do, or credentials have run out: it may work later.
    #[error(
        "SQS did not carry out {action} on the queue {queue}: {reason}; is the region or the endpoint right, are there \
         credentials, and a route?"
    )]
    Unavailable {
        /// What was asked for.
        action: &'static str,
        /// Of which queue.
        queue: String,
        /// What happened.
        reason: String,
    },
    /// The request cannot even be made: no region, say.
    #[error(
        "cannot ask SQS for {action} on the queue {queue}: {reason}; name a region with queues.sqs.region or AWS_REGION"
    )]
    Unset {
        /// What was asked for.
        action: &'static str,
        /// Of which queue.
        queue: String,
        /// What is missing.
        reason: String,
    },
    /// What SQS says it has is not what was sent.
    #[error("frame {frame} did not reach the queue {queue} as it was: its {what} has another MD5 there")]
    Altered {
        /// Which frame.
        frame: FrameId,
        /// Where it was sent to.
        queue: String,
        /// Body or attributes.
        what: &'static str,
    },
}

/// What SQS says about one entry of a batch, or a whole request.
pub(super) enum Said {
    /// The lease is over.
    Lost,
    /// The queue is not there.
    Missing,
    /// Anything else.
    Other(SqsError),
}

/// Codes, or parts of them, of what passes.
const PASSING: [&str; 9] = [
    "Throttl",
    "Expired",
    "RequestLimitExceeded",
    "TooManyRequests",
    "OverLimit",
    "InternalError",
    "InternalFailure",
    "ServiceUnavailable",
    "QueueDeletedRecently",
];

impl SqsError {
    /// Of a request that came to no end.
    pub(super) fn unanswered(action: &'static str, queue: &str) -> Self {
        Self::Unavailable { action, queue: queue.to_owned(), reason: "it came to no end".to_owned() }
    }

    /// What a caller can do about it.
    pub fn class(&self) -> Class {
        match self {
            Self::Unavailable { .. } | Self::Altered { .. } => Class::Retry,
            // What a frame must be like is known before it is sent: what SQS does not like is not the frame.
            Self::Invalid { action, .. } if *action == SEND => Class::Retry,
            Self::NoQueue { .. } | Self::Invalid { .. } => Class::Dead,
            Self::Missing { .. } | Self::Small { .. } | Self::Refused { .. } | Self::Unset { .. } => {
                Class::Fatal
            }
        }
    }

    /// What a failed request means.
    pub(super) fn of<E>(error: &SdkError<E>, action: &'static str, queue: &str) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let queue = queue.to_owned();
        let status = error.raw_response().map(|response| response.status().as_u16());
        match error {
            error if aws::is_unset(error) => Self::Unset { action, queue, reason: with_causes(error) },
            SdkError::ServiceError(context) if status.is_none_or(|status| status < 500) => {
                let (code, text) = (context.err().code(), context.err().message());
                let code = code.unwrap_or("an error without a code");
                match said(code, text.unwrap_or_default(), action, &queue) {
                    Said::Missing => Self::Missing { queues: vec![queue] },
                    Said::Other(error) => error,
                    // Only entries of batches have leases.
                    Said::Lost => Self::Invalid { action, queue, reason: code.to_owned() },
                }
            }
            _ => Self::Unavailable { action, queue, reason: with_causes(error) },
        }
    }
}

/// What a code of SQS means.
pub(super) fn said(code: &str, text: &str, action: &'static str, queue: &str) -> Said {
    let queue = queue.to_owned();
    let reason = if text.is_empty() { code.to_owned() } else { format!("{text} ({code})") };
    let lost = ["ReceiptHandleIsInvalid", "MessageNotInflight", "InvalidIdFormat"];
    let is_over = ["expired", "does not exist or is not available"].iter().any(|over| text.contains(over));
    if (code.contains("InvalidParameterValue") && is_over) || lost.iter().any(|lost| code.contains(lost)) {
        return Said::Lost;
    }
    if code.contains("NonExistentQueue") || code.contains("QueueDoesNotExist") {
        return Said::Missing;
    }
    if PASSING.iter().any(|passing| code.contains(passing)) || aws::is_out_of_time(&reason) {
        return Said::Other(SqsError::Unavailable { action, queue, reason });
    }
    if aws::is_refusal(code) {
        return Said::Other(SqsError::Refused { action, queue, reason });
    }
    Said::Other(SqsError::Invalid { action, queue, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(code: &str, text: &str) -> Option<Class> {
        match said(code, text, "SendMessageBatch", "q") {
            Said::Lost => None,
            Said::Missing => Some(Class::Fatal),
            Said::Other(error) => Some(error.class()),
        }
    }

    #[test]
    fn codes_tell_what_can_be_done() {
        for (code, text, expected) in [
            ("ReceiptHandleIsInvalid", "", None),
            ("InvalidParameterValue", "Reason: The receipt handle has expired.", None),
            ("AWS.SimpleQueueService.MessageNotInflight", "", None),
            ("InvalidParameterValue", "Value q for parameter MessageGroupId is invalid", Some(Class::Retry)),
            ("AWS.SimpleQueueService.NonExistentQueue", "", Some(Class::Fatal)),
            ("AccessDenied", "User is not authorized", Some(Class::Fatal)),
            (
                "InvalidParameterValue",
                "Reason: Message does not exist or is not available for visibility …",
                None,
            ),
            ("InvalidSignatureException", "Signature expired: 20261122T060000Z is now …", Some(Class::Retry)),
            ("InvalidSignatureException", "The signature does not match", Some(Class::Fatal)),
            ("ExpiredToken", "", Some(Class::Retry)),
            ("ExpiredTokenException", "", Some(Class::Retry)),
            ("RequestThrottled", "", Some(Class::Retry)),
            ("ThrottlingException", "Rate exceeded", Some(Class::Retry)),
            ("KmsThrottled", "", Some(Class::Retry)),
            ("InternalError", "", Some(Class::Retry)),
            ("InvalidMessageContents", "", Some(Class::Retry)),
        ] {
            assert_eq!(class(code, text), expected, "{code} {text}");
        }
        let Said::Other(error) = said("InvalidParameterValue", "", "ReceiveMessage", "q") else {
            panic!("not a queue, nor a lease");
        };
        assert_eq!(error.class(), Class::Dead);
    }
}
