//! Requests that are paid for, as the console shows them.

#[cfg(feature = "sqs")]
use super::SqsQueues;

/// The shortest lease on SQS: it counts whole seconds, and one may be gone before an answer is here.
pub(crate) const SQS_LEASE_SECS_MIN: u32 = 2;

/// Those of one process so far.
#[derive(Debug, Default)]
pub(crate) struct PaidRequests {
    /// To SQS: about which queue, of which kind, how many, and how many are paid for.
    pub(crate) sqs: Vec<(String, &'static str, u64, u64)>,
    /// To DynamoDB: of which kind, and how many.
    pub(crate) dynamodb: Vec<(&'static str, u64)>,
}

#[cfg(feature = "sqs")]
impl PaidRequests {
    pub(super) fn of(queues: &SqsQueues) -> Self {
        let mut sqs = Vec::new();
        for (queue, requests) in queues.requests_by_queue() {
            for (kind, count) in requests.by_kind() {
                sqs.push((queue.clone(), kind, count.calls, count.chunks));
            }
        }
        let dynamodb = queues.table().map(|table| table.requests().into_iter().collect()).unwrap_or_default();
        Self { sqs, dynamodb }
    }
}
