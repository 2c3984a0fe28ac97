//! Verdicts, and leases that are extended.

use rusqlite::{Connection, OptionalExtension, params};
use stages::frame::Micros;

use super::{
    SqliteQueues,
    lease::{self, Held},
    tally::Tally,
};
use crate::{
    clock::micros,
    database::{Durability, checksum},
    queue::{DeadLetter, QueueError, Receipt, Verdict},
};

impl SqliteQueues {
    /// See [`Queues::settle`](crate::queue::Queues::settle).
    ///
    /// # Errors
    /// Those given there, per delivery.
    pub async fn settle(&self, verdicts: Vec<(Receipt, Verdict)>) -> Vec<Result<(), QueueError>> {
        let (entries, now) = (verdicts.len(), self.options().clock.now());
        let work = move |connection: &Connection, tally: &mut Tally| {
            each(verdicts, |(receipt, verdict)| settle(connection, tally, receipt, verdict, now))
        };
        self.each_answer(Durability::Fsync, entries, work).await
    }

    /// See [`Queues::extend`](crate::queue::Queues::extend).
    ///
    /// # Errors
    /// Those given there, per delivery.
    pub async fn extend(&self, receipts: Vec<Receipt>) -> Vec<Result<(), QueueError>> {
        let (entries, until) = (receipts.len(), self.lease_until());
        let work = move |connection: &Connection, _: &mut Tally| {
            let mut update = connection.prepare_cached(
                "UPDATE frame SET held_until = ?4 WHERE seq = ?1 AND holder = ?2 AND lease = ?3",
            )?;
            each(receipts, |receipt| {
                let row = lease::row(receipt)?;
                match update.execute(params![row.seq, row.holder.key(), row.lease, until])? {
                    0 => Err(lease::lost(receipt)),
                    _ => Ok(()),
                }
            })
        };
        self.each_answer(Durability::Process, entries, work).await
    }

    /// When a lease that begins now ends.
    pub(super) fn lease_until(&self) -> Micros {
        self.options().clock.now().saturating_add(micros(self.options().lease))
    }

    /// Makes a change that answers for each of its entries; what fails the whole is the answer for all.
    async fn each_answer(
        &self,
        durability: Durability,
        entries: usize,
        work: impl FnOnce(&Connection, &mut Tally) -> Result<Answers, QueueError> + Send + 'static,
    ) -> Answers {
        match self.change(durability, work).await.answer().await {
            Ok((answers, _)) => answers,
            Err(error) => vec![Err(error); entries],
        }
    }
}

type Answers = Vec<Result<(), QueueError>>;

/// Does each entry; a lost one is its own answer, any other error fails the whole.
fn each<T>(
    entries: Vec<T>,
    mut work: impl FnMut(&T) -> Result<(), QueueError>,
) -> Result<Answers, QueueError> {
    let mut answers = Vec::with_capacity(entries.len());
    for entry in &entries {
        match work(entry) {
            Err(error @ QueueError::Database(_)) => return Err(error),
            answer => answers.push(answer),
        }
    }
    Ok(answers)
}

fn settle(
    connection: &Connection,
    tally: &mut Tally,
    receipt: &Receipt,
    verdict: &Verdict,
    now: Micros,
) -> Result<(), QueueError> {
    match verdict {
        Verdict::Done => consume(connection, tally, receipt),
        Verdict::Retry(after) => put_off(connection, tally, receipt, 1, now, micros(*after)),
        Verdict::Later(after) => put_off(connection, tally, receipt, 0, now, micros(*after)),
        Verdict::Dead(reason) => {
            let held = lease::find(connection, receipt)?;
            Ok(bury(connection, tally, &held, reason, 1, now)?)
        }
    }
}

/// Removes a delivered frame that is dealt with.
///
/// # Errors
/// [`QueueError::Lost`] when its lease is gone.
pub(super) fn consume(
    connection: &Connection,
    tally: &mut Tally,
    receipt: &Receipt,
) -> Result<(), QueueError> {
    let leased = lease::row(receipt)?;
    let (rows, bytes) = connection
        .prepare_cached(
            "DELETE FROM frame WHERE seq = ?1 AND holder = ?2 AND lease = ?3 RETURNING rows, bytes",
        )?
        .query_row(params![leased.seq, leased.holder.key(), leased.lease], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?
        .ok_or_else(|| lease::lost(receipt))?;
    connection.prepare_cached("DELETE FROM body WHERE seq = ?1")?.execute([leased.seq])?;
    tally.removed(receipt.queue, rows, bytes);
    Ok(())
}

/// Gives back a frame after so many more failures, and keeps it from everybody for a while.
///
/// # Errors
/// [`QueueError::Lost`] when its lease is gone.
fn put_off(
    connection: &Connection,
    tally: &mut Tally,
    receipt: &Receipt,
    failures: u32,
    now: Micros,
    after: Micros,
) -> Result<(), QueueError> {
    let held = lease::find(connection, receipt)?;
    lease::give_back(connection, &held)?;
    let until = (after > 0).then(|| now.saturating_add(after));
    connection
        .prepare_cached(
            "UPDATE frame SET attempts = attempts + ?3, held_until = ?2, holder = iif(?2 IS NULL, NULL, 0)
             WHERE seq = ?1",
        )?
        .execute(params![held.seq, until, failures])?;
    tally.freed(held.queue);
    Ok(())
}

/// Moves a frame to the dead letters, with `failures` more attempts than were counted.
pub(super) fn bury(
    connection: &Connection,
    tally: &mut Tally,
    held: &Held,
    reason: &str,
    failures: u32,
    now: Micros,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO dead (queue, lane, id, rows, published_at, attempts, reason, died_at, bytes, sum)
             SELECT queue, lane, id, rows, published_at, attempts + ?2, ?3, ?4, body.bytes, body.sum
             FROM frame JOIN body USING (seq) WHERE seq = ?1",
        )?
        .execute(params![held.seq, failures, reason, now])?;
    let (rows, bytes) = connection
        .prepare_cached("DELETE FROM frame WHERE seq = ?1 RETURNING rows, bytes")?
        .query_row([held.seq], |row| Ok((row.get(0)?, row.get(1)?)))?;
    connection.prepare_cached("DELETE FROM body WHERE seq = ?1")?.execute([held.seq])?;
    tally.buried(held.queue, rows, bytes);
    Ok(())
}

/// Adds rows of a delivered frame to the dead letters.
pub(super) fn keep_dead(
    connection: &Connection,
    tally: &mut Tally,
    letter: &DeadLetter,
    now: Micros,
) -> rusqlite::Result<()> {
    let DeadLetter { queue, frame, attempts, reason } = letter;
    connection
        .prepare_cached(
            "INSERT INTO dead (queue, lane, id, rows, published_at, attempts, reason, died_at, bytes, sum)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?5, ?8, ?9)",
        )?
        .execute(params![
            *queue as i64,
            frame.lane.0,
            frame.id.0,
            frame.rows,
            now,
            attempts,
            reason,
            &frame.bytes[..],
            checksum(&frame.bytes)
        ])?;
    let bytes = i64::try_from(frame.bytes.len()).unwrap_or(i64::MAX);
    tally.died(*queue, frame.rows.into(), bytes);
    Ok(())
}
