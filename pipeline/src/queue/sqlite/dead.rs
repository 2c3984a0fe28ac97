//! Dead letters: looked at, put back into their queues, and thrown away.

use bytes::Bytes;
use rusqlite::{Connection, Row, params, params_from_iter, types::Value};
use stages::frame::{FrameId, Lane, Micros};

use super::{SqliteQueues, depth, depth::count, tally::Tally};
use crate::{
    database::{Durability, checked},
    lake,
    queue::{Batch, DeadFilter, KeptLetter, QueueError, QueueName, Span},
};

/// Letters that one transaction moves: others wait for it.
const BATCH_LETTERS: u32 = 256;
/// Their bytes; one is moved however large.
const BATCH_BYTES: u64 = 8 << 20;
/// Letters that are read at once.
const READ_LETTERS: u32 = 10_000;

impl SqliteQueues {
    /// See [`Queues::dead_letters`](crate::queue::Queues::dead_letters).
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn dead_letters(&self, filter: DeadFilter, span: Span) -> Result<Vec<KeptLetter>, QueueError> {
        self.database().read(move |connection| Ok(find(connection, &filter, span, READ_LETTERS)?)).await
    }

    /// See [`Queues::dead_letter`](crate::queue::Queues::dead_letter).
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn dead_letter(&self, letter: i64) -> Result<Option<(KeptLetter, Bytes)>, QueueError> {
        let read = move |connection: &Connection| {
            let only = DeadFilter { letters: vec![letter], ..DeadFilter::default() };
            let Some(kept) = find(connection, &only, Span::ALL, 1)?.pop() else { return Ok(None) };
            Ok(Some((kept, bytes_of(connection, letter)?.0)))
        };
        self.database().read(read).await
    }

    /// See [`Queues::requeue`](crate::queue::Queues::requeue).
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn requeue(&self, filter: DeadFilter, span: Span) -> Result<Batch, QueueError> {
        let now = self.options().clock.now();
        let limits = QueueName::ALL.map(|queue| match queue.gives_way() {
            true => self.options().notify_bytes_max,
            false => self.options().queue_bytes_max,
        });
        let letters = self.next_letters(filter, span).await?;
        let work = move |connection: &Connection, tally: &mut Tally| {
            let mut held = depth::bytes(connection)?;
            batch(connection, &letters, |batch, kept| {
                let at = kept.queue as usize;
                // Nobody's frame may have to give way; elsewhere a queue takes one as long as it is not full.
                let after = if kept.queue.gives_way() { held[at] + kept.bytes } else { held[at] + 1 };
                if after > limits[at] && (held[at] > 0 || kept.queue.gives_way()) {
                    batch.no_room[at].add(kept.rows);
                    return Ok(());
                }
                held[at] += kept.bytes;
                batch.done[at].add(kept.rows);
                put_back(connection, tally, kept, now)
            })
        };
        self.change(Durability::Fsync, work).await.answer().await.map(|(batch, _)| batch)
    }

    /// See [`Queues::drop_dead`](crate::queue::Queues::drop_dead).
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn drop_dead(&self, filter: DeadFilter, span: Span) -> Result<Batch, QueueError> {
        let letters = self.next_letters(filter, span).await?;
        let work = move |connection: &Connection, tally: &mut Tally| {
            batch(connection, &letters, |batch, kept| {
                batch.done[kept.queue as usize].add(kept.rows);
                if kept.queue == QueueName::Store {
                    // Nobody will be handed the frame, and finish or resolve what was begun with it.
                    lake::forget(connection, &[kept.frame])?;
                }
                throw_away(connection, tally, kept.letter, kept.queue, (kept.rows, kept.bytes))
            })
        };
        self.change(Durability::Fsync, work).await.answer().await.map(|(batch, _)| batch)
    }

    /// The numbers of the letters for one transaction. Looked for beside the writer: among a million letters that takes
    /// seconds, for which everybody else would wait.
    async fn next_letters(&self, filter: DeadFilter, span: Span) -> Result<Vec<i64>, QueueError> {
        let read = move |connection: &Connection| Ok(find(connection, &filter, span, BATCH_LETTERS)?);
        let found: Vec<KeptLetter> = self.database().read(read).await.map_err(|error: QueueError| error)?;
        Ok(found.into_iter().map(|kept| kept.letter).collect())
    }
}

/// Throws away the oldest dead letters of a queue, of `bytes` bytes; answers how many.
pub(super) fn drop_oldest(
    connection: &Connection,
    tally: &mut Tally,
    queue: QueueName,
    bytes: u64,
) -> rusqlite::Result<u64> {
    let mut oldest = connection
        .prepare_cached("SELECT letter, rows, length(bytes) FROM dead WHERE queue = ?1 ORDER BY letter")?;
    let mut rows = oldest.query([queue as i64])?;
    let (mut letters, mut sum) = (Vec::new(), 0);
    while sum < bytes
        && let Some(row) = rows.next()?
    {
        let size = (count(row, 1)?, count(row, 2)?);
        sum += size.1;
        letters.push((row.get(0)?, size));
    }
    drop(rows);
    for (letter, size) in &letters {
        throw_away(connection, tally, *letter, queue, *size)?;
    }
    Ok(letters.len() as u64)
}

/// Deals with these letters, as far as they are still there and one transaction may.
fn batch(
    connection: &Connection,
    letters: &[i64],
    mut deal: impl FnMut(&mut Batch, &KeptLetter) -> rusqlite::Result<()>,
) -> Result<Batch, QueueError> {
    let (mut batch, mut bytes) = (Batch::default(), 0);
    if letters.is_empty() {
        return Ok(batch);
    }
    let numbered = DeadFilter { letters: letters.to_vec(), ..DeadFilter::default() };
    for kept in find(connection, &numbered, Span::ALL, BATCH_LETTERS)? {
        bytes += kept.bytes;
        if batch.last.is_some() && bytes > BATCH_BYTES {
            return Ok(batch);
        }
        batch.last = Some(kept.letter);
        deal(&mut batch, &kept)?;
    }
    // Somebody else may have dealt with the last ones meanwhile, or with all.
    batch.last = letters.last().copied();
    Ok(batch)
}

/// The frame of a letter, and its checksum, which fits.
fn bytes_of(connection: &Connection, letter: i64) -> rusqlite::Result<(Bytes, Option<i64>)> {
    let mut select = connection.prepare_cached("SELECT bytes, sum FROM dead WHERE letter = ?1")?;
    select.query_row([letter], |row| {
        let sum = row.get(1)?;
        let bytes = checked(
            row.get_ref(0)?.as_blob()?,
            sum,
            format_args!("dead letter {letter} (let it go by `dead drop {letter}`)"),
        )?;
        Ok((Bytes::copy_from_slice(bytes), sum))
    })
}

/// Makes a letter the last frame of its line again, as if it had never failed. Whether its id was published of late does not
/// matter: it was this frame.
fn put_back(
    connection: &Connection,
    tally: &mut Tally,
    kept: &KeptLetter,
    now: Micros,
) -> rusqlite::Result<()> {
    let KeptLetter { letter, queue, lane, .. } = kept;
    let (rows, bytes) = (kept.rows.cast_signed(), kept.bytes.cast_signed());
    let frame = params![*queue as i64, queue.line(*lane), lane.0, kept.frame.0, rows, bytes, now];
    let seq = connection
        .prepare_cached(
            "INSERT INTO frame (queue, line, lane, id, rows, bytes, published_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .insert(frame)?;
    // A stage that is handed a damaged one ends its process.
    let (body, sum) = bytes_of(connection, *letter)?;
    let body = params![seq, &body[..], sum];
    connection.prepare_cached("INSERT INTO body (seq, bytes, sum) VALUES (?1, ?2, ?3)")?.execute(body)?;
    connection.prepare_cached("DELETE FROM dead WHERE letter = ?1")?.execute([letter])?;
    tally.requeued(*queue, rows, bytes);
    Ok(())
}

fn throw_away(
    connection: &Connection,
    tally: &mut Tally,
    letter: i64,
    queue: QueueName,
    (rows, bytes): (u64, u64),
) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM dead WHERE letter = ?1")?.execute([letter])?;
    tally.dropped(queue, rows.cast_signed(), bytes.cast_signed());
    Ok(())
}

/// Letters by number, at most `limit`.
fn find(
    connection: &Connection,
    filter: &DeadFilter,
    span: Span,
    limit: u32,
) -> rusqlite::Result<Vec<KeptLetter>> {
    let DeadFilter { letters, queue, reason, since, until } = filter;
    let (mut clauses, mut values) = (Vec::new(), Vec::new());
    let mut must = |clause: &'static str, value: Option<Value>| {
        if let Some(value) = value {
            clauses.push(clause);
            values.push(value);
        }
    };
    must("letter > ?", Some(span.after.into()));
    must("letter <= ?", Some(span.up_to.into()));
    let numbers: Vec<String> = letters.iter().map(i64::to_string).collect();
    let numbers = (!letters.is_empty()).then(|| format!("[{}]", numbers.join(",")).into());
    must("letter IN (SELECT value FROM json_each(?))", numbers);
    must("queue = ?", queue.map(|queue| (queue as i64).into()));
    must("instr(reason, ?) > 0", reason.clone().map(Value::from));
    must("died_at >= ?", since.map(Value::from));
    must("died_at < ?", until.map(Value::from));
    let sql = format!(
        "SELECT letter, queue, lane, id, rows, length(bytes), published_at, attempts, reason, died_at
         FROM dead WHERE {} ORDER BY letter LIMIT {limit}",
        clauses.join(" AND ")
    );
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_map(params_from_iter(values), kept)?.collect()
}

fn kept(row: &Row<'_>) -> rusqlite::Result<KeptLetter> {
    let number = row.get(1)?;
    let queue = QueueName::numbered(number).ok_or(rusqlite::Error::IntegralValueOutOfRange(1, number))?;
    Ok(KeptLetter {
        letter: row.get(0)?,
        queue,
        lane: Lane(row.get(2)?),
        frame: FrameId(row.get(3)?),
        rows: count(row, 4)?,
        bytes: count(row, 5)?,
        published_at: row.get(6)?,
        attempts: row.get(7)?,
        reason: row.get(8)?,
        died_at: row.get(9)?,
    })
}
