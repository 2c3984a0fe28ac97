//! How the store worker comes to its queue.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::{BACKOFF_MAX, Mode, Store};
use crate::{
    error::Class,
    lake::LakeError,
    queue::{Delivery, QueueName, ReceiveLimits},
};

/// How long to wait for a frame before a flush.
const FLUSH_IDLE: Duration = Duration::from_millis(20);
/// How long frames gather in the queue after fewer than half of this, and where looks are paid for: nobody waits for them.
const GATHER: Duration = Duration::from_millis(50);
const GATHER_PAID: Duration = Duration::from_secs(1);
/// Frames and bytes taken from the queue at once: they grow about sixfold when they are decoded, beside what is collected
/// already.
const RECEIVED_FRAMES: usize = 256;
const RECEIVED_BYTES: usize = 2 << 20;
/// As much as one request brings that is paid for.
const RECEIVED_FRAMES_PAID: usize = 10;

impl Store {
    /// What is next in the queue; nothing when there is nothing, or the world stands in the way.
    pub(super) async fn receive(&mut self) -> Result<Vec<Delivery>, LakeError> {
        let now = Instant::now();
        let wait = match *self.mode.borrow() {
            Mode::Collect => {
                self.due.unwrap_or(now + self.queues.capabilities().wait()).min(self.leases.due()) - now
            }
            Mode::Flush | Mode::Stop => FLUSH_IDLE,
        };
        if *self.mode.borrow() == Mode::Collect {
            tokio::select! {
                () = sleep_until(self.opens_at) => {}
                _ = self.mode.changed() => return Ok(Vec::new()),
            }
        }
        let is_paid = self.queues.capabilities().is_paid;
        let frames = if is_paid { RECEIVED_FRAMES_PAID } else { RECEIVED_FRAMES };
        let limits = ReceiveLimits { frames, bytes: RECEIVED_BYTES, wait };
        let received = tokio::select! {
            received = self.queues.receive(QueueName::Store, self.holder, limits) => received,
            _ = self.mode.changed() => return Ok(Vec::new()),
        };
        match received {
            Err(error) if error.class() == Class::Retry => {
                self.trouble.tell(&error);
                self.leases.keep(sleep(BACKOFF_MAX / 10)).await;
                Ok(Vec::new())
            }
            received => {
                let received = received?;
                self.trouble.is_over();
                let bytes: usize = received.iter().map(|delivery| delivery.frame.bytes.len()).sum();
                let few = received.len() < frames / 2 && bytes < RECEIVED_BYTES / 2;
                if !received.is_empty() && few {
                    self.opens_at = Instant::now() + self.gathers();
                }
                Ok(received)
            }
        }
    }

    /// For how long frames gather in the queue: longer where each look is paid for, but not so long that leases end.
    fn gathers(&self) -> Duration {
        if self.queues.capabilities().is_paid { GATHER_PAID.min(self.queues.lease() / 10) } else { GATHER }
    }
}
