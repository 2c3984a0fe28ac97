//! What is given up without having been delivered: the oldest frames of a full queue that makes nobody wait, those of
//! lanes that are no more, and the oldest dead letters of such a queue. Each time in one pass: who publishes waits for it.

use std::{cmp::Reverse, collections::VecDeque};

use rusqlite::{Connection, params};
use stages::frame::{Lane, Micros};

use super::{
    SqliteQueues, dead, line,
    tally::{Tally, Touched},
};
use crate::{
    database::Durability,
    queue::{QueueError, QueueName},
};

/// Why the oldest frames became dead letters.
const FULL: &str = "the queue was full, and newer frames came: see notify.queue_bytes_max";

/// A full queue gives up this part of its limit more than it must, so that it is not gone through at every change.
const SPARE: u64 = 16;

/// A frame that nobody holds.
struct Free {
    seq: i64,
    rows: i64,
    bytes: u64,
}

/// What nobody holds in a line.
struct Line {
    bytes: u64,
    oldest: VecDeque<Free>,
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
                let free: Vec<Free> = oldest(connection, queue, line, u64::MAX)?.into();
                bury(connection, tally, queue, &free, &reason, now)?;
                given_up += free.len() as u64;
            }
            Ok(given_up)
        };
        self.change(Durability::Fsync, work).await.answer().await.map(|(given_up, _)| given_up)
    }
}

/// Gives up frames of `queue` once a write made it hold more than `bytes_max`: always the oldest of the line that then has
/// the most, so that nobody's flood costs others theirs. Those that somebody holds stay. A write that adds nothing gives up
/// nothing: it may be of a process with another limit, which is only there to take something away.
pub(super) fn shed(
    connection: &Connection,
    touched: &mut Touched,
    queue: QueueName,
    bytes_max: u64,
    now: Micros,
) -> rusqlite::Result<()> {
    let bytes = touched.bytes[queue as usize].filter(|bytes| *bytes > bytes_max);
    let Some(bytes) = bytes.filter(|_| touched.grown[queue as usize]) else { return Ok(()) };
    let excess = bytes - (bytes_max - bytes_max / SPARE);
    let given_up = of_the_fullest(lines(connection, queue, excess)?, excess);
    let mut tally = Tally::default();
    bury(connection, &mut tally, queue, &given_up, FULL, now)?;
    touched.shed = given_up.len() as u64;
    let after = tally.write(connection)?;
    touched.bytes[queue as usize] = after.bytes[queue as usize].or(Some(bytes));
    touched.dead_bytes[queue as usize] =
        after.dead_bytes[queue as usize].or(touched.dead_bytes[queue as usize]);
    touched.dead_grown[queue as usize] |= after.dead_grown[queue as usize];
    Ok(())
}

/// Throws away the oldest dead letters of `queue` once a write made them hold more than `bytes_max`, where nobody else would.
pub(super) fn forget(
    connection: &Connection,
    touched: &mut Touched,
    queue: QueueName,
    bytes_max: u64,
) -> rusqlite::Result<()> {
    let bytes = touched.dead_bytes[queue as usize].filter(|bytes| *bytes > bytes_max);
    let Some(bytes) = bytes.filter(|_| touched.dead_grown[queue as usize]) else { return Ok(()) };
    let excess = bytes - (bytes_max - bytes_max / SPARE);
    let mut tally = Tally::default();
    touched.forgotten = dead::drop_oldest(connection, &mut tally, queue, excess)?;
    touched.dead_bytes[queue as usize] = tally.write(connection)?.dead_bytes[queue as usize];
    Ok(())
}

/// Frames of `excess` bytes, if there are so many: each is the oldest of the line that has the most when it is taken.
fn of_the_fullest(mut lines: Vec<Line>, mut excess: u64) -> Vec<Free> {
    let mut taken = Vec::new();
    while excess > 0 {
        let waiting = lines.iter_mut().filter(|line| !line.oldest.is_empty());
        let fullest =
            waiting.max_by_key(|line| (line.bytes, line.oldest.front().map(|free| Reverse(free.seq))));
        let Some((line, free)) = fullest.and_then(|line| line.oldest.pop_front().map(|free| (line, free)))
        else {
            break;
        };
        line.bytes = line.bytes.saturating_sub(free.bytes);
        excess = excess.saturating_sub(free.bytes);
        taken.push(free);
    }
    taken
}

/// The lines of a queue, each with its oldest frames of `bytes` bytes.
fn lines(connection: &Connection, queue: QueueName, bytes: u64) -> rusqlite::Result<Vec<Line>> {
    let mut statement = connection.prepare_cached(
        "SELECT line, sum(bytes) FROM frame WHERE queue = ?1 AND (holder IS NULL OR holder = 0) GROUP BY line",
    )?;
    let sums = statement.query_map([queue as i64], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))?;
    sums.map(|sum| {
        let (line, sum): (u16, i64) = sum?;
        let oldest = oldest(connection, queue, line, bytes)?;
        Ok(Line { bytes: sum.max(0).cast_unsigned(), oldest })
    })
    .collect()
}

/// The oldest frames of a line that wait or are put off, up to so many bytes and the frame that is over them.
fn oldest(
    connection: &Connection,
    queue: QueueName,
    line: u16,
    bytes: u64,
) -> rusqlite::Result<VecDeque<Free>> {
    // Both parts are in order by the index, so that no more is read than is taken.
    let mut statement = connection.prepare_cached(
        "SELECT seq, rows, bytes FROM frame WHERE queue = ?1 AND line = ?2 AND holder IS NULL
         UNION ALL SELECT seq, rows, bytes FROM frame WHERE queue = ?1 AND line = ?2 AND holder = 0
         ORDER BY seq",
    )?;
    let mut rows = statement.query(params![queue as i64, line])?;
    let (mut free, mut sum) = (VecDeque::new(), 0_u64);
    while sum < bytes
        && let Some(row) = rows.next()?
    {
        let bytes = row.get::<_, i64>(2)?.max(0).cast_unsigned();
        sum = sum.saturating_add(bytes);
        free.push_back(Free { seq: row.get(0)?, rows: row.get(1)?, bytes });
    }
    Ok(free)
}

/// Moves frames to the dead letters, all at once.
fn bury(
    connection: &Connection,
    tally: &mut Tally,
    queue: QueueName,
    frames: &[Free],
    reason: &str,
    now: Micros,
) -> rusqlite::Result<()> {
    let seqs: Vec<String> = frames.iter().map(|free| free.seq.to_string()).collect();
    let seqs = format!("[{}]", seqs.join(","));
    connection
        .prepare_cached(
            "INSERT INTO dead (queue, lane, id, rows, published_at, attempts, reason, died_at, bytes, sum)
             SELECT queue, lane, id, rows, published_at, attempts, ?2, ?3, body.bytes, body.sum
             FROM frame JOIN body USING (seq) WHERE seq IN (SELECT value FROM json_each(?1)) ORDER BY seq",
        )?
        .execute(params![seqs, reason, now])?;
    for table in ["frame", "body"] {
        connection
            .prepare_cached(&format!("DELETE FROM {table} WHERE seq IN (SELECT value FROM json_each(?1))"))?
            .execute([&seqs])?;
    }
    for free in frames {
        tally.buried(queue, free.rows, free.bytes.cast_signed());
    }
    Ok(())
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
