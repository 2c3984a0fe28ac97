//! When nothing is left to do.

use std::time::Duration;

use tokio::time::sleep;

use crate::queue::{QueueError, QueueName, Queues};

/// How often a drain looks whether the queues are dry; and the same where looks are paid for.
const POLL: Duration = Duration::from_millis(20);
const POLL_PAID: Duration = Duration::from_secs(1);

/// Waits until nothing is on its way to the lake. Alerts may wait for webhooks for as long as these like.
pub(super) async fn until_dry(queues: &Queues) -> Result<(), QueueError> {
    let poll = if queues.capabilities().is_paid { POLL_PAID } else { POLL };
    let ours = QueueName::ALL.into_iter().filter(|queue| *queue != QueueName::Notify);
    while frames_left(queues, ours.clone()).await? > 0 {
        sleep(poll).await;
    }
    Ok(())
}

/// How many frames are in these queues.
pub(super) async fn frames_left(
    queues: &Queues,
    of: impl IntoIterator<Item = QueueName>,
) -> Result<u64, QueueError> {
    let mut frames = 0;
    for queue in of {
        frames += queues.depth(queue).await?.frames;
    }
    Ok(frames)
}
