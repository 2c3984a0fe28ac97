//! A commit where queues and state are apart: it goes in steps.
//!
//! In an ordered lane it publishes, saves state, settles. Nothing is lost, since a frame is settled only after what it leads to is
//! published and saved. Nothing counts twice: whoever is handed a frame again before its state was saved makes the same frames
//! of it, with the same ids; and afterwards the state knows its id. What fences is the number of the state, so the worker plans
//! on the last one there is.
//!
//! Without order a lane is in several hands, and another frame may change the state in between. So state is saved first, with
//! all that is to be published beside it, as one change; then that is published, then the frame settled. A frame that comes
//! again has what was saved published once more, under the same ids, before it is settled.

use stages::{frame::FrameId, plan::Counts};

use super::{SqsQueues, sending::Sending};
use crate::{
    error::Class,
    failpoint::fail_point,
    queue::{Commit, NumberedDelta, QueueError, QueueName, Receipt, Verdict},
    state::dynamodb::{Outbox, Table},
};

impl SqsQueues {
    /// The same with the table that commits save state and books in. Without one they may have neither.
    #[must_use]
    pub fn with_table(self, table: Table) -> Self {
        Self { table: Some(table), ..self }
    }

    /// That table.
    pub fn table(&self) -> Option<&Table> {
        self.table.as_ref()
    }

    /// See [`Queues::commit`](crate::queue::Queues::commit): in steps, of which any may be the last one.
    ///
    /// # Errors
    /// Those given there, per commit.
    pub async fn commit(&self, commits: Vec<Commit>) -> Vec<Result<(), QueueError>> {
        let mut answers = Vec::with_capacity(commits.len());
        for commit in commits {
            answers.push(self.commit_one(commit).await);
        }
        answers
    }

    async fn commit_one(&self, commit: Commit) -> Result<(), QueueError> {
        // Rows that only passed a queue were in none, and no account of queues is kept.
        let Commit { receipts, publish, deltas, counts, passed: _, dead, applied, repeated } = commit;
        // What is too large for SQS must be known before anything is done.
        publish.iter().try_for_each(|entry| self.check(entry))?;
        receipts.iter().try_for_each(|receipt| self.is_held(receipt))?;
        let (mut sending, mut outbox) = (Sending { publish, dead }, None);
        if let (Some(receipt), false) = (receipts.first(), self.options().fifo) {
            let queue = receipt.queue();
            if !deltas.is_empty() {
                outbox = Some(Outbox { queue, frames: applied, bytes: sending.encode() });
            }
            for frame in repeated {
                self.add_saved(&mut sending, queue, frame).await?;
            }
        }
        if outbox.is_some() {
            self.save(deltas, counts, outbox).await?;
            self.send(sending).await?;
        } else {
            self.send(sending).await?;
            self.save(deltas, counts, None).await?;
        }
        self.settle_all(receipts).await
    }

    /// Adds what `frame` led to when it was applied: nobody may have sent that yet. What is not there was sent, or is too old.
    async fn add_saved(
        &self,
        sending: &mut Sending,
        queue: QueueName,
        frame: FrameId,
    ) -> Result<(), QueueError> {
        let Some(table) = &self.table else { return Ok(()) };
        let Some(bytes) = table.outbox(queue, frame).await? else { return Ok(()) };
        let saved = Sending::decode(&bytes).ok_or_else(|| table.damaged(frame, "what it led to"))?;
        sending.add(saved);
        Ok(())
    }

    async fn send(&self, Sending { publish, dead }: Sending) -> Result<(), QueueError> {
        self.publish(publish).await.into_iter().collect::<Result<(), _>>()?;
        self.keep_dead(&dead).await.into_iter().collect::<Result<(), _>>()?;
        fail_point!("sqs_published");
        Ok(())
    }

    async fn save(
        &self,
        deltas: Vec<NumberedDelta>,
        counts: Vec<(&'static str, Counts)>,
        outbox: Option<Outbox>,
    ) -> Result<(), QueueError> {
        match &self.table {
            Some(table) => table.append_with(deltas, counts, outbox).await?,
            None if deltas.is_empty() && counts.is_empty() => {}
            None => return Err(QueueError::Embedded { what: "a commit without a table for its state" }),
        }
        fail_point!("sqs_appended");
        Ok(())
    }

    async fn settle_all(&self, receipts: Vec<Receipt>) -> Result<(), QueueError> {
        let done = receipts.into_iter().map(|receipt| (receipt, Verdict::Done)).collect();
        for answer in self.settle(done).await {
            match answer {
                Err(error) if error.class() == Class::Fatal => return Err(error),
                // The step is done, whoever settles the frame: when it comes again, it is known.
                Ok(()) | Err(_) => {}
            }
        }
        fail_point!("sqs_settled");
        Ok(())
    }
}
