//! What is given up without having been delivered: the oldest frames of a full queue that makes nobody wait, and
//! those of lanes that are no more.

use rusqlite::{Connection, params};
use stages::frame::{Lane, Micros};

use super::{
    SqliteQueues,
    lease::Held,
    line, settle,
    tally::{Tally, Touched},
};
use crate::{
    database::Durability,
    queue::{QueueError, QueueName},
};

/// Why the oldest frame became a dead letter.
const FULL: &str = "the queue was full, and newer frames came: see notify.queue_bytes_max";

/// A frame that nobody holds.
struct Free {
    seq: i64,
    line: u16,
    bytes: u64,
}

impl SqliteQueues {
    /// See [`Queues::keep_lanes`](crate::queue::Queues::keep_lanes).
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn keep_lanes(
        &self,
        queue: QueueName,
        lanes: Vec<Lane>,
        reason: String,
    ) -> Result<u64, QueueError> {
        let (ordered_lanes, now) = (self.options().lanes, self.options().clock.now());
        let work = move |connection: &Connection, tally: &mut Tally| {
            let mut given_up = 0;
            for line in line::lines_of(connection, queue, ordered_lanes)? {
                if lanes.iter().any(|lane| queue.line(*lane) == line) {
                    resume(connection, queue, line)?;
                    tally.freed(queue);
                    continue;
                }
                while let Some(free) = oldest(connection, queue, line)? {
                    bury(connection, tally, queue, &free, &reason, now)?;
                    given_up += 1;
                }
            }
            Ok(given_up)
        };
        self.change(Durability::Fsync, work).await.answer().await.map(|(given_up, _)| given_up)
    }
}

/// Gives up the oldest frames of `queue` for as long as it holds more than `bytes_max`. Those that somebody holds
/// stay.
pub(super) fn shed(
    connection: &Connection,
    touched: &mut Touched,
    queue: QueueName,
    bytes_max: u64,
    now: Micros,
) -> rusqlite::Result<()> {
    let Some(mut bytes) = touched.bytes[queue as usize].filter(|bytes| *bytes > bytes_max) else {
        return Ok(());
    };
    let mut tally = Tally::default();
    while bytes > bytes_max {
        let mut free = Vec::new();
        for line in line::lines_of(connection, queue, 0)? {
            free.extend(oldest(connection, queue, line)?);
        }
        let Some(first) = free.into_iter().min_by_key(|free| free.seq) else { break };
        bury(connection, &mut tally, queue, &first, FULL, now)?;
        bytes = bytes.saturating_sub(first.bytes);
        touched.shed += 1;
    }
    touched.bytes[queue as usize] = tally.write(connection)?.bytes[queue as usize].or(Some(bytes));
    Ok(())
}

fn bury(
    connection: &Connection,
    tally: &mut Tally,
    queue: QueueName,
    free: &Free,
    reason: &str,
    now: Micros,
) -> rusqlite::Result<()> {
    let held = Held { seq: free.seq, queue, line: free.line.into() };
    settle::bury(connection, tally, &held, reason, 0, now)
}

/// The oldest frame of a line that waits or is put off.
fn oldest(connection: &Connection, queue: QueueName, line: u16) -> rusqlite::Result<Option<Free>> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, bytes FROM frame WHERE seq = (SELECT min(seq) FROM (
            SELECT min(seq) AS seq FROM frame WHERE queue = ?1 AND line = ?2 AND holder IS NULL
            UNION ALL SELECT min(seq) FROM frame WHERE queue = ?1 AND line = ?2 AND holder = 0))",
    )?;
    let mut rows = statement.query(params![queue as i64, line])?;
    rows.next()?
        .map(|row| {
            let bytes: i64 = row.get(1)?;
            Ok(Free { seq: row.get(0)?, line, bytes: bytes.max(0).cast_unsigned() })
        })
        .transpose()
}

/// What is put off in a line waits again.
fn resume(connection: &Connection, queue: QueueName, line: u16) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE frame SET holder = NULL, held_until = NULL WHERE queue = ?1 AND line = ?2 AND holder = 0",
        )?
        .execute(params![queue as i64, line])
        .map(drop)
}
