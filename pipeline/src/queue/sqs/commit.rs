//! Commits, as far as they are nothing but publishing and settling.

use super::SqsQueues;
use crate::queue::{Commit, QueueError, Verdict};

impl SqsQueues {
    /// See [`Queues::commit`](crate::queue::Queues::commit): what is given up is kept, then frames are published, then receipts
    /// settled.
    ///
    /// # Errors
    /// Those given there, per commit. State, books and rows within a hop have no place here.
    pub async fn commit(&self, commits: Vec<Commit>) -> Vec<Result<(), QueueError>> {
        let mut answers = Vec::with_capacity(commits.len());
        for commit in commits {
            answers.push(self.commit_one(commit).await);
        }
        answers
    }

    async fn commit_one(&self, commit: Commit) -> Result<(), QueueError> {
        let Commit { receipts, publish, deltas, counts, passed, dead } = commit;
        if !(deltas.is_empty() && counts.is_empty() && passed.is_empty()) {
            return Err(QueueError::Embedded { what: "a commit with state and books" });
        }
        publish.iter().try_for_each(|entry| self.check(entry))?;
        self.keep_dead(&dead).await.into_iter().collect::<Result<(), _>>()?;
        self.publish(publish).await.into_iter().collect::<Result<(), _>>()?;
        let done = receipts.into_iter().map(|receipt| (receipt, Verdict::Done)).collect();
        self.settle(done).await.into_iter().collect()
    }
}
