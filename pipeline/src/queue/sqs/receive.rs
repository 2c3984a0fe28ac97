//! Receiving frames: long polling, and what becomes of messages that are none.

use std::{collections::HashSet, sync::Arc, time::Duration};

use aws_sdk_sqs::types::Message;
use stages::frame::{Lane, Micros};
use tokio::time::{Instant, sleep};
use tracing::{error, warn};

use super::{
    SqsQueues,
    held::Lease,
    line::Line,
    message::{Incoming, LANE},
    plain,
    settle::whole_secs,
};
use crate::queue::{
    Delivery, EncodedFrame, Holder, QueueError, QueueName, Receipt, ReceiveLimits, entry::Token, mark::Mark,
};

/// The longest that SQS waits for a message.
const WAIT_MAX: Duration = Duration::from_secs(20);
/// How long to wait before another look where several queues are looked at in turn.
const ROUND: Duration = Duration::from_secs(1);
/// For how long a message is put back whose body is not what SQS says it is.
const ALTERED_SECS: i32 = 1;

impl SqsQueues {
    /// See [`Queues::receive`](crate::queue::Queues::receive), of as much as one request brings: ten frames at the most. Of an
    /// ordered queue these are runs of one lane or several, as SQS likes.
    ///
    /// What a dropped future had leased comes back when its lease ends.
    ///
    /// # Errors
    /// When SQS cannot be asked.
    pub async fn receive(
        &self,
        queue: QueueName,
        _: Holder,
        limits: ReceiveLimits,
    ) -> Result<Vec<Delivery>, QueueError> {
        let lines: Vec<_> = self.lines(queue).cloned().collect();
        match &lines[..] {
            [line] => self.receive_from(line, limits).await,
            lines => self.receive_in_turn(lines, limits).await,
        }
    }

    /// See [`Queues::receive_runs`](crate::queue::Queues::receive_runs), which is no other thing here.
    ///
    /// # Errors
    /// When SQS cannot be asked.
    pub async fn receive_runs(
        &self,
        queue: QueueName,
        holder: Holder,
        limits: ReceiveLimits,
    ) -> Result<Vec<Delivery>, QueueError> {
        self.receive(queue, holder, limits).await
    }

    /// See [`Queues::receive_lane`](crate::queue::Queues::receive_lane).
    ///
    /// # Errors
    /// When SQS cannot be asked.
    pub async fn receive_lane(
        &self,
        queue: QueueName,
        lane: Lane,
        _: Holder,
        limits: ReceiveLimits,
    ) -> Result<Vec<Delivery>, QueueError> {
        let line = Arc::clone(self.line(queue, lane)?);
        self.receive_from(&line, limits).await
    }

    async fn receive_in_turn(
        &self,
        lines: &[Arc<Line>],
        limits: ReceiveLimits,
    ) -> Result<Vec<Delivery>, QueueError> {
        let deadline = Instant::now() + limits.wait;
        let look = ReceiveLimits { wait: Duration::ZERO, ..limits };
        loop {
            for line in lines {
                let found = self.receive_from(line, look).await?;
                if !found.is_empty() {
                    return Ok(found);
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Vec::new());
            }
            sleep(left.min(ROUND)).await;
        }
    }

    async fn receive_from(
        &self,
        line: &Arc<Line>,
        limits: ReceiveLimits,
    ) -> Result<Vec<Delivery>, QueueError> {
        let lease = self.options().lease();
        // Half of a lease may be gone by waiting, as it is measured from before that.
        let wait_max = Duration::from_secs((lease / 2).as_secs()).min(WAIT_MAX);
        let deadline = Instant::now() + limits.wait;
        loop {
            let asked_at = Instant::now();
            let wait = whole_secs(deadline.saturating_duration_since(asked_at).min(wait_max));
            let api = &self.inner.api;
            let messages = api.receive(&line.main, limits.frames, whole_secs(lease), wait).await?;
            let found = self.accept(line, &messages, asked_at).await;
            if !found.is_empty() || Instant::now() >= deadline {
                return Ok(found);
            }
        }
    }

    /// Makes deliveries of messages. What is no frame goes to the dead letters; what is not whole goes back.
    async fn accept(&self, line: &Arc<Line>, messages: &[Message], asked_at: Instant) -> Vec<Delivery> {
        let (mut found, mut back, mut held_back) = (Vec::new(), Vec::new(), HashSet::new());
        for message in messages.iter().map(Incoming) {
            let lane = message.attribute(LANE).filter(|_| line.fifo);
            if message.is_altered() || lane.is_some_and(|lane| held_back.contains(lane)) {
                warn!(queue = line.main.name, id = message.id(), "a message is put back: its MD5 is another");
                held_back.extend(lane);
                back.push((message.handle().to_owned(), ALTERED_SECS));
                continue;
            }
            match self.read(line, message) {
                Ok((frame, published_at)) => {
                    found.push(self.deliver(line, message, frame, published_at, asked_at));
                }
                Err(reason) => self.bury_message(line, message, &reason).await,
            }
        }
        if !back.is_empty() {
            // What cannot be put back comes back when its lease ends.
            self.inner.api.change(&line.main, &back).await;
        }
        found
    }

    fn read(&self, line: &Line, message: Incoming<'_>) -> Result<(EncodedFrame, Micros), String> {
        if message.is_frame() {
            return message.frame();
        }
        match line.queue {
            QueueName::Validate => plain::frame(message, self.options()),
            _ => Err("it is no frame: it has no attribute frame".to_owned()),
        }
    }

    fn deliver(
        &self,
        line: &Arc<Line>,
        message: Incoming<'_>,
        frame: EncodedFrame,
        published_at: Micros,
        asked_at: Instant,
    ) -> Delivery {
        let spared = self.inner.leases.spared(line.queue, frame.id);
        let attempts = message.attempts().saturating_sub(spared);
        let lease = Lease {
            line: Arc::clone(line),
            handle: message.handle().to_owned(),
            frame: frame.clone(),
            published_at,
            attempts,
            received_at: asked_at,
            until: asked_at + self.options().lease(),
        };
        let number = self.inner.leases.add(lease, Instant::now());
        let receipt = Receipt {
            queue: line.queue,
            frame: frame.id,
            token: Token::Lease(number),
            mark: Mark::default(),
        };
        Delivery { receipt, frame, attempts, suspect: false }
    }

    /// What no stage can read becomes a dead letter, as it came. If that fails, it comes again.
    async fn bury_message(&self, line: &Line, message: Incoming<'_>, reason: &str) {
        let (queue, id) = (&line.main.name, message.id());
        match self.keep_message(line, message, reason).await {
            Ok(()) => warn!(queue, id, reason, "a message is no frame: it is now a dead letter"),
            Err(why) => {
                error!(queue, id, reason, error = %why, "a message is no frame, and cannot be set aside")
            }
        }
    }
}
