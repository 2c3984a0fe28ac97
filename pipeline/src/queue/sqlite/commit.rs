//! Consuming, publishing, changing state and counting in one transaction.

use rusqlite::{Connection, params};
use stages::plan::Counts;

use super::{
    SqliteQueues,
    publish::{self, Window},
    settle,
    tally::{Tally, Touched},
};
use crate::{
    database::{Durability, Pending, Turn},
    queue::{Commit, QueueError},
    state,
};

impl SqliteQueues {
    /// See [`Queues::commit`](crate::queue::Queues::commit).
    ///
    /// # Errors
    /// Those given there, per commit.
    pub async fn commit(&self, commits: Vec<Commit>) -> Vec<Result<(), QueueError>> {
        // All wait for room before the first is handed in, so that they stay in order.
        let targets = commits.iter().flat_map(|commit| &commit.publish).map(|entry| entry.queue);
        if let Err(error) = self.wait_for_room(targets).await {
            return vec![Err(error); commits.len()];
        }
        let mut pending = Vec::with_capacity(commits.len());
        for commit in commits {
            pending.push(self.hand_in(commit, Turn::Common, |_| Ok(())).await);
        }
        let mut answers = Vec::with_capacity(pending.len());
        for commit in pending {
            answers.push(match commit {
                Ok(commit) => commit.answer().await.map(drop),
                Err(error) => Err(error),
            });
        }
        answers
    }

    /// Like [`SqliteQueues::commit`] of one commit, with more to do in the same transaction.
    ///
    /// # Errors
    /// Those of a commit, and of `work`; then nothing is kept.
    pub async fn commit_with(
        &self,
        commit: Commit,
        turn: Turn,
        work: impl FnOnce(&Connection) -> Result<(), QueueError> + Send + 'static,
    ) -> Result<(), QueueError> {
        self.wait_for_room(commit.publish.iter().map(|entry| entry.queue)).await?;
        self.hand_in(commit, turn, work).await?.answer().await.map(drop)
    }

    async fn hand_in(
        &self,
        commit: Commit,
        turn: Turn,
        work: impl FnOnce(&Connection) -> Result<(), QueueError> + Send + 'static,
    ) -> Result<Pending<((), Touched), QueueError>, QueueError> {
        commit.publish.iter().try_for_each(|entry| self.check(entry))?;
        let window = self.window();
        let now = self.options().clock.now();
        let all = move |connection: &Connection, tally: &mut Tally| {
            apply(connection, tally, &commit, window)?;
            for letter in &commit.dead {
                settle::keep_dead(connection, tally, letter, now)?;
            }
            work(connection)
        };
        Ok(self.change_in((Durability::Fsync, turn), all).await)
    }
}

fn apply(
    connection: &Connection,
    tally: &mut Tally,
    commit: &Commit,
    window: Window,
) -> Result<(), QueueError> {
    for receipt in &commit.receipts {
        settle::consume(connection, tally, receipt)?;
    }
    // What is consumed in the same transaction leads to its frames once: their ids need not be remembered, each of which
    // would change a page somewhere among those of all others.
    let window = if commit.receipts.is_empty() { window } else { window.closed() };
    let added = publish::insert(connection, tally, &commit.publish, window)?;
    for delta in &commit.deltas {
        state::sqlite::append(connection, delta)?;
    }
    // Who takes nothing from a queue cannot lose a lease, so such a commit may come again after it was made: its frames
    // are known then, and its rows in the books.
    let repeated = commit.receipts.is_empty() && added == 0 && !commit.publish.is_empty();
    if !repeated {
        commit.passed.iter().for_each(|(queue, rows)| tally.passed(*queue, *rows));
        commit.counts.iter().try_for_each(|(stage, counts)| count(connection, stage, counts))?;
    }
    Ok(())
}

fn count(connection: &Connection, stage: &str, counts: &Counts) -> rusqlite::Result<()> {
    let &Counts { consumed, quarantined, repeated, filtered, produced, late } = counts;
    let [consumed, quarantined, repeated, filtered, produced, late] =
        [consumed, quarantined, repeated, filtered, produced, late].map(u64::cast_signed);
    connection
        .prepare_cached(
            "INSERT INTO books (stage, consumed, quarantined, repeated, filtered, produced, late)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (stage) DO UPDATE SET
                consumed = consumed + excluded.consumed, quarantined = quarantined + excluded.quarantined,
                repeated = repeated + excluded.repeated, filtered = filtered + excluded.filtered,
                produced = produced + excluded.produced, late = late + excluded.late",
        )?
        .execute(params![stage, consumed, quarantined, repeated, filtered, produced, late])
        .map(drop)
}
