//! A commit where queues and state are apart: publish, save state, settle.
//!
//! Nothing is lost, since a frame is settled only after what it leads to is published and saved. Nothing counts twice: whoever
//! is handed a frame again before its state was saved makes the same frames of it, with the same ids; and afterwards the state
//! knows its id. What fences is the number of the state, so the worker plans on the last one there is.

use super::SqsQueues;
use crate::{
    error::Class,
    queue::{Commit, QueueError, Verdict},
    state::dynamodb::Table,
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
        let Commit { receipts, publish, deltas, counts, passed: _, dead } = commit;
        // What is too large for SQS must be known before the first frame is sent.
        publish.iter().try_for_each(|entry| self.check(entry))?;
        receipts.iter().try_for_each(|receipt| self.is_held(receipt))?;
        self.publish(publish).await.into_iter().collect::<Result<(), _>>()?;
        self.keep_dead(&dead).await.into_iter().collect::<Result<(), _>>()?;
        match &self.table {
            Some(table) => table.append(deltas, counts).await?,
            None if deltas.is_empty() && counts.is_empty() => {}
            None => return Err(QueueError::Embedded { what: "a commit without a table for its state" }),
        }
        let done = receipts.into_iter().map(|receipt| (receipt, Verdict::Done)).collect();
        for answer in self.settle(done).await {
            match answer {
                Err(error) if error.class() == Class::Fatal => return Err(error),
                // The step is done, whoever settles the frame: when it comes again, it is known.
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}
