//! What the queues hold, and the books.

use std::{collections::BTreeMap, time::Duration};

use rusqlite::{Connection, Row, params};
use stages::{frame::Lane, plan::Counts};

use super::{SqliteQueues, line};
use crate::queue::{Depth, QueueError, QueueName};

impl SqliteQueues {
    /// See [`Queues::depth`](crate::queue::Queues::depth).
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn depth(&self, queue: QueueName) -> Result<Depth, QueueError> {
        let now = self.options().clock.now();
        let lanes = self.options().lanes;
        self.database().read(move |connection| Ok(depth(connection, queue, lanes, now)?)).await
    }

    /// See [`Queues::last_place`](crate::queue::Queues::last_place).
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn last_place(
        &self,
        queue: QueueName,
        lane: Lane,
        until: Option<i64>,
    ) -> Result<Option<i64>, QueueError> {
        let (line, until) = (queue.line(lane), until.unwrap_or(i64::MAX));
        let last = move |connection: &Connection| {
            Ok(connection
                .prepare_cached(
                    "SELECT max(coalesce((SELECT max(seq) FROM frame
                                          WHERE queue = ?1 AND line = ?2 AND holder IS NULL AND seq <= ?3), 0),
                                coalesce((SELECT max(seq) FROM frame
                                          WHERE queue = ?1 AND line = ?2 AND holder >= 0 AND seq <= ?3), 0))",
                )?
                .query_row(params![queue as i64, line, until], |row| row.get(0))
                .map(|last: i64| (last > 0).then_some(last))?)
        };
        self.database().read(last).await
    }

    /// See [`Queues::books`](crate::queue::Queues::books).
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn books(&self) -> Result<BTreeMap<String, Counts>, QueueError> {
        self.database().read(|connection| Ok(books(connection)?)).await
    }
}

/// What became of rows so far, by stage.
pub(super) fn books(connection: &Connection) -> rusqlite::Result<BTreeMap<String, Counts>> {
    let mut books = connection.prepare_cached(
        "SELECT stage, consumed, quarantined, repeated, filtered, produced, late FROM books",
    )?;
    books.query_map([], stage_counts)?.collect()
}

pub(super) fn depth(
    connection: &Connection,
    queue: QueueName,
    lanes: u16,
    now: i64,
) -> rusqlite::Result<Depth> {
    let mut depth = connection
        .prepare_cached(
            "SELECT frames, rows, bytes, dead, dead_rows, dead_bytes FROM queue WHERE queue = ?1",
        )?
        .query_row([queue as i64], |row| {
            Ok(Depth {
                frames: count(row, 0)?,
                rows: count(row, 1)?,
                bytes: count(row, 2)?,
                dead: count(row, 3)?,
                dead_rows: count(row, 4)?,
                dead_bytes: count(row, 5)?,
                ..Depth::default()
            })
        })?;
    // By line, so that only the frames in flight are visited, and of those that wait the first.
    let mut held = connection.prepare_cached(
        "SELECT count(*) FILTER (WHERE holder > 0), min(published_at) FROM frame
         WHERE queue = ?1 AND line = ?2 AND holder >= 0",
    )?;
    let mut first = connection.prepare_cached(
        "SELECT min(published_at) FROM
         (SELECT published_at FROM frame WHERE queue = ?1 AND line = ?2 AND holder IS NULL ORDER BY seq LIMIT 1)",
    )?;
    let mut oldest: Option<i64> = None;
    for line in line::lines_of(connection, queue, lanes)?.into_iter().map(i64::from) {
        let (in_flight, held): (u64, Option<i64>) =
            held.query_row([queue as i64, line], |row| Ok((count(row, 0)?, row.get(1)?)))?;
        let first: Option<i64> = first.query_row([queue as i64, line], |row| row.get(0))?;
        depth.in_flight += in_flight;
        oldest = [oldest, held, first].into_iter().flatten().min();
    }
    depth.oldest_age = oldest.map(|at| Duration::from_micros((now - at).max(0).cast_unsigned()));
    Ok(depth)
}

/// The number of lanes: what it was fixed to before, else `lanes`.
pub(super) fn fix_lanes(connection: &Connection, lanes: u16) -> rusqlite::Result<u16> {
    connection.execute("UPDATE meta SET value = ?1 WHERE key = 'lanes' AND value = 0", [lanes])?;
    self::lanes(connection)
}

/// What the number of lanes was fixed to; 0 where it was not yet.
pub(super) fn lanes(connection: &Connection) -> rusqlite::Result<u16> {
    connection.query_row("SELECT value FROM meta WHERE key = 'lanes'", [], |row| row.get(0))
}

/// Bytes in each queue.
pub(super) fn bytes(connection: &Connection) -> rusqlite::Result<[u64; QueueName::ALL.len()]> {
    let mut bytes = [0; QueueName::ALL.len()];
    let mut statement = connection.prepare_cached("SELECT bytes FROM queue WHERE queue = ?1")?;
    for queue in QueueName::ALL {
        bytes[queue as usize] = statement.query_row([queue as i64], |row| count(row, 0))?;
    }
    Ok(bytes)
}

fn stage_counts(row: &Row<'_>) -> rusqlite::Result<(String, Counts)> {
    let counts = Counts {
        consumed: count(row, 1)?,
        quarantined: count(row, 2)?,
        repeated: count(row, 3)?,
        filtered: count(row, 4)?,
        produced: count(row, 5)?,
        late: count(row, 6)?,
    };
    Ok((row.get(0)?, counts))
}

/// Counts never fall below zero; SQLite's integers are signed.
pub(super) fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(column)?.max(0).cast_unsigned())
}
