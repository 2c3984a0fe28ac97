use std::{sync::Arc, time::Duration};

use stages::{frame::Lane, topic::Topics};

use super::{line::Names, message::FRAME_BYTES_MAX};
use crate::queue::{QueueName, paid::SQS_LEASE_SECS_MIN};

/// Names, limits and times of queues on SQS.
#[derive(Debug, Clone)]
pub struct SqsOptions {
    /// What the names of all queues begin with.
    pub prefix: String,
    /// How many lanes there are.
    pub lanes: u16,
    /// How long a delivery is leased for: whole seconds, two at the least.
    pub lease: Duration,
    /// Whether `transform`, `analyze` and `alert` keep the order of their lanes.
    pub fifo: bool,
    /// Each has a queue of its own.
    pub webhooks: Vec<SqsWebhook>,
    /// The largest frame that is taken, as far as a message holds it.
    pub frame_bytes_max: usize,
    /// How often a frame may fail before its worker gives it up.
    pub max_attempts: u32,
    /// For how long queues that are created keep a message.
    pub retention: Duration,
    /// What sorts plain messages into lanes.
    pub topics: Arc<Topics>,
    /// The topic of plain messages that are nothing but a payload.
    pub plain_topic: Option<String>,
}

/// A webhook, as far as queues know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqsWebhook {
    /// Its name.
    pub name: String,
    /// The lane of its frames.
    pub lane: Lane,
}

impl Default for SqsOptions {
    fn default() -> Self {
        Self {
            prefix: "millstream-".into(),
            lanes: 4,
            lease: Duration::from_secs(30),
            fifo: true,
            webhooks: Vec::new(),
            frame_bytes_max: FRAME_BYTES_MAX,
            max_attempts: 5,
            retention: Duration::from_secs(4 * 24 * 3600),
            topics: Arc::new(Topics::new(Vec::new())),
            plain_topic: None,
        }
    }
}

impl SqsOptions {
    /// The largest frame that is taken.
    pub fn frame_bytes_max(&self) -> usize {
        self.frame_bytes_max.min(FRAME_BYTES_MAX)
    }

    /// How long a delivery is leased for.
    pub fn lease(&self) -> Duration {
        self.lease.max(Duration::from_secs(SQS_LEASE_SECS_MIN.into()))
    }

    /// The queues that a topology has on SQS.
    pub(super) fn names(&self) -> Vec<Names> {
        let Self { prefix, fifo, .. } = self;
        let mut all = Vec::new();
        for queue in QueueName::ALL {
            if queue.is_by_lane() {
                let of = |webhook: &SqsWebhook| {
                    Names::new(queue, Some(webhook.lane), &format!("{prefix}{queue}-{}", webhook.name), false)
                };
                all.extend(self.webhooks.iter().map(of));
            } else {
                all.push(Names::new(queue, None, &format!("{prefix}{queue}"), *fifo && queue.is_ordered()));
            }
        }
        all
    }
}
