//! How leases end without a verdict: they run out, their owner dies, or they are handed back.

use rusqlite::{Connection, OptionalExtension, params};
use stages::frame::Micros;

use super::{settle, tally::Tally};
use crate::{
    database::{Owner, Registration},
    queue::{QueueError, QueueName, Receipt, entry::Row},
};

/// Lost leases after which a frame is suspected to bring its holders down. The number also stands in the
/// index `frame_suspect`. Ordinary restarts cost innocent frames a lease too, hence some patience.
pub(super) const SUSPECT: u32 = 3;

/// Lost leases after which a frame is handed out alone, and the next loss counts as an attempt.
const ALONE: u32 = 5;

/// How many frames may be handed out together with one that was lost so often: the company is quartered at
/// each loss, until a frame that brings down its holder stands alone.
pub(super) fn company(losses: u32) -> usize {
    match losses {
        ..SUSPECT => usize::MAX,
        SUSPECT => 16,
        4 => 4,
        ALONE.. => 1,
    }
}

/// A frame that is leased or put off.
pub(super) struct Held {
    pub(super) seq: i64,
    pub(super) queue: QueueName,
    pub(super) line: i64,
}

/// What a receipt stands for.
///
/// # Errors
/// [`QueueError::Lost`] when it stands for nothing any more.
pub(super) fn find(connection: &Connection, receipt: &Receipt) -> Result<Held, QueueError> {
    let row = row(receipt)?;
    let line = connection
        .prepare_cached("SELECT line FROM frame WHERE seq = ?1 AND holder = ?2 AND lease = ?3")?
        .query_row(params![row.seq, row.holder.key(), row.lease], |row| row.get(0))
        .optional()?;
    match line {
        Some(line) => Ok(Held { seq: row.seq, queue: receipt.queue, line }),
        None => Err(lost(receipt)),
    }
}

/// The row that was leased.
///
/// # Errors
/// [`QueueError::Lost`] for the receipt of another engine.
pub(super) fn row(receipt: &Receipt) -> Result<Row, QueueError> {
    receipt.row().ok_or_else(|| lost(receipt))
}

pub(super) fn lost(receipt: &Receipt) -> QueueError {
    QueueError::Lost { queue: receipt.queue, frame: receipt.frame }
}

/// Gives back a frame and, in an ordered queue, those held after it; nothing is counted.
pub(super) fn give_back(connection: &Connection, held: &Held) -> rusqlite::Result<()> {
    // A frame that is put off stays so: only a holder's come back.
    let sql = if held.queue.is_ordered() {
        "UPDATE frame SET holder = NULL, lease = NULL, held_until = NULL
         WHERE queue = ?1 AND line = ?2 AND holder > 0 AND seq >= ?3"
    } else {
        "UPDATE frame SET holder = NULL, lease = NULL, held_until = NULL
         WHERE queue = ?1 AND line = ?2 AND holder > 0 AND seq = ?3"
    };
    connection.prepare_cached(sql)?.execute(params![held.queue as i64, held.line, held.seq]).map(drop)
}

/// Gives back everything that `owner` holds; nothing is counted.
pub(super) fn release(connection: &Connection, owner: Owner) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE frame SET holder = NULL, lease = NULL, held_until = NULL
             WHERE holder IS NOT NULL AND holder >> 32 = ?1",
        )?
        .execute([owner.0])
        .map(drop)
}

/// Frees frames whose time has come: leases that ran out are lost, what was put off waits again.
pub(super) fn free_due(
    connection: &Connection,
    tally: &mut Tally,
    now: Micros,
    max_attempts: u32,
) -> rusqlite::Result<()> {
    let due = holdings(connection, "holder IS NOT NULL AND held_until <= ?1", now)?;
    for (held, holder) in due {
        if holder == 0 {
            connection
                .prepare_cached(
                    "UPDATE frame SET holder = NULL, held_until = NULL WHERE seq = ?1 AND holder = 0",
                )?
                .execute([held.seq])?;
            tally.freed(held.queue);
        } else {
            lose(connection, tally, &held, now, max_attempts)?;
        }
    }
    Ok(())
}

/// What is held until after `latest` is held until then: the clock was ahead when that was written, and has been
/// put back. Who works on it extends its lease as ever.
pub(super) fn rein_in(connection: &Connection, latest: Micros) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE frame INDEXED BY frame_held SET held_until = ?1 WHERE holder IS NOT NULL AND held_until > ?1",
        )?
        .execute([latest])
        .map(drop)
}

/// Frees what dead processes held; answers whether there was any.
pub(super) fn free_dead(
    connection: &Connection,
    tally: &mut Tally,
    registration: &Registration,
    now: Micros,
    max_attempts: u32,
) -> rusqlite::Result<bool> {
    let mut owners = connection.prepare_cached(
        "SELECT DISTINCT holder >> 32 FROM frame INDEXED BY frame_held WHERE holder IS NOT NULL AND holder > 0",
    )?;
    let owners: Vec<u32> = owners.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut freed = false;
    for owner in owners.into_iter().filter(|owner| registration.is_dead(Owner(*owner))) {
        for (held, _) in holdings(connection, "holder IS NOT NULL AND holder >> 32 = ?1", owner.into())? {
            lose(connection, tally, &held, now, max_attempts)?;
            freed = true;
        }
    }
    Ok(freed)
}

/// When the next lease runs out or the next frame that was put off comes back.
pub(super) fn next_due(connection: &Connection) -> rusqlite::Result<Option<Micros>> {
    connection
        .prepare_cached("SELECT min(held_until) FROM frame INDEXED BY frame_held WHERE holder IS NOT NULL")?
        .query_row([], |row| row.get(0))
}

/// Ends a lease that its holder has lost, and those after it in an ordered queue.
fn lose(
    connection: &Connection,
    tally: &mut Tally,
    held: &Held,
    now: Micros,
    max_attempts: u32,
) -> rusqlite::Result<()> {
    let sql = if held.queue.is_ordered() {
        "UPDATE frame SET holder = NULL, lease = NULL, held_until = NULL,
                attempts = attempts + (losses >= ?4), losses = losses + 1
         WHERE queue = ?1 AND line = ?2 AND holder > 0 AND seq >= ?3 RETURNING seq, attempts, losses"
    } else {
        "UPDATE frame SET holder = NULL, lease = NULL, held_until = NULL,
                attempts = attempts + (losses >= ?4), losses = losses + 1
         WHERE queue = ?1 AND line = ?2 AND holder > 0 AND seq = ?3 RETURNING seq, attempts, losses"
    };
    let lost: Vec<(i64, u32, u32)> = connection
        .prepare_cached(sql)?
        .query_map(params![held.queue as i64, held.line, held.seq, ALONE], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?
        .collect::<Result<_, _>>()?;
    for (seq, attempts, losses) in lost {
        if losses > ALONE && attempts > max_attempts {
            let reason = format!(
                "lost {attempts} times by a holder that held nothing else: it may bring its holders down"
            );
            let frame = Held { seq, queue: held.queue, line: held.line };
            settle::bury(connection, tally, &frame, &reason, 0, now)?;
        }
    }
    tally.freed(held.queue);
    Ok(())
}

/// Frames that are leased or put off, with their holders.
fn holdings(connection: &Connection, filter: &str, value: i64) -> rusqlite::Result<Vec<(Held, i64)>> {
    let sql = format!(
        "SELECT seq, queue, line, holder FROM frame INDEXED BY frame_held WHERE {filter} ORDER BY seq"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([value], |row| {
        let number = row.get(1)?;
        let queue = QueueName::numbered(number).ok_or(rusqlite::Error::IntegralValueOutOfRange(1, number))?;
        Ok((Held { seq: row.get(0)?, queue, line: row.get(2)? }, row.get(3)?))
    })?;
    rows.collect()
}
