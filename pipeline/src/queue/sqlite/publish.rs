//! Publishing, and waiting for room.

use std::{mem, time::Duration};

use rusqlite::{Connection, Row, params};
use stages::frame::Micros;
use tokio::{select, time::sleep};

use super::{
    SqliteQueues, depth,
    handover::{Place, Written},
    tally::Tally,
};
use crate::{
    clock::micros,
    database::{Durability, checksum},
    queue::{Publish, QueueError, QueueName},
};

/// A full queue is looked at this often even when nothing tells of room.
const RECHECK: Duration = Duration::from_secs(1);

impl SqliteQueues {
    /// See [`Queues::publish`](crate::queue::Queues::publish).
    ///
    /// # Errors
    /// Those given there, per frame.
    pub async fn publish(&self, entries: Vec<Publish>) -> Vec<Result<(), QueueError>> {
        let mut answers: Vec<_> = entries.iter().map(|entry| self.check(entry)).collect();
        let sound = entries.into_iter().zip(&answers).filter(|(_, answer)| answer.is_ok());
        let sound: Vec<Publish> = sound.map(|(entry, _)| entry).collect();
        if !sound.is_empty()
            && let Err(error) = self.publish_sound(sound).await
        {
            for answer in answers.iter_mut().filter(|answer| answer.is_ok()) {
                *answer = Err(error.clone());
            }
        }
        answers
    }

    async fn publish_sound(&self, entries: Vec<Publish>) -> Result<(), QueueError> {
        self.wait_for_room(entries.iter().map(|entry| entry.queue)).await?;
        let window = self.window();
        let add = move |connection: &Connection, tally: &mut Tally| {
            Ok(insert(connection, tally, &entries, window).map(drop)?)
        };
        self.change(Durability::Fsync, add).await.answer().await.map(drop)
    }

    /// Waits until each of these queues holds less than its limit, but for those that give way.
    pub(super) async fn wait_for_room(
        &self,
        queues: impl Iterator<Item = QueueName>,
    ) -> Result<(), QueueError> {
        let mut asked = [false; QueueName::ALL.len()];
        for queue in queues {
            if !queue.gives_way() && !mem::replace(&mut asked[queue as usize], true) {
                self.wait_for_room_in(queue).await?;
            }
        }
        Ok(())
    }

    async fn wait_for_room_in(&self, queue: QueueName) -> Result<(), QueueError> {
        let signal = self.inner.signals.of(queue);
        let max = self.options().queue_bytes_max;
        let mut others = self.database().others();
        while signal.bytes() >= max {
            let room = signal.room.notified();
            others.mark_unchanged();
            // Another process may have made room without this one knowing.
            let bytes =
                self.database().read(|connection| Ok::<_, QueueError>(depth::bytes(connection)?)).await?;
            signal.saw(bytes[queue as usize]);
            if signal.bytes() >= max {
                select! {
                    () = room => {}
                    _ = others.changed() => {}
                    () = sleep(RECHECK) => {}
                }
            }
        }
        Ok(())
    }

    /// The dedupe window as it stands now.
    pub(super) fn window(&self) -> Window {
        Window { now: self.options().clock.now(), length: micros(self.options().dedupe_window) }
    }
}

/// The time up to now in which a frame id counts as published.
#[derive(Clone, Copy)]
pub(super) struct Window {
    pub(super) now: Micros,
    length: Micros,
}

impl Window {
    /// One in which no id counts as published.
    pub(super) fn closed(self) -> Self {
        Self { length: 0, ..self }
    }
}

/// Adds the frames whose ids are new; answers how many are.
pub(super) fn insert(
    connection: &Connection,
    tally: &mut Tally,
    entries: &[Publish],
    window: Window,
) -> rusqlite::Result<usize> {
    let mut added = 0;
    let mut frames = connection.prepare_cached(
        "INSERT INTO frame (queue, line, lane, id, rows, bytes, published_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    let mut bodies = connection.prepare_cached("INSERT INTO body (seq, bytes, sum) VALUES (?1, ?2, ?3)")?;
    for Publish { queue, frame } in entries {
        if window.length > 0 && is_repeated(connection, *queue, &frame.id.0, window)? {
            continue;
        }
        let line = queue.line(frame.lane);
        let bytes = i64::try_from(frame.bytes.len()).unwrap_or(i64::MAX);
        let row = params![*queue as i64, line, frame.lane.0, frame.id.0, frame.rows, bytes, window.now];
        let seq = frames.insert(row)?;
        bodies.execute(params![seq, &frame.bytes[..], checksum(&frame.bytes)])?;
        if frame.bytes.decoded_bytes().is_some() {
            let place = Place { seq, id: frame.id, published_at: window.now };
            tally.written.push(Written { queue: *queue, place, body: frame.bytes.clone() });
        }
        tally.added(*queue, frame.rows.into(), bytes);
        added += 1;
    }
    forget(connection, entries.len(), window)?;
    Ok(added)
}

/// Whether the id was published within the window; from now on it was.
fn is_repeated(
    connection: &Connection,
    queue: QueueName,
    id: &[u8],
    window: Window,
) -> rusqlite::Result<bool> {
    let bucket = window.now.div_euclid(window.length);
    let since = window.now.saturating_sub(window.length);
    let mut seen = connection.prepare_cached(
        "SELECT 1 FROM published WHERE bucket IN (?1, ?1 - 1) AND queue = ?2 AND id = ?3 AND at > ?4",
    )?;
    if seen.exists(params![bucket, queue as i64, id, since])? {
        return Ok(true);
    }
    connection
        .prepare_cached("REPLACE INTO published (bucket, queue, id, at) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![bucket, queue as i64, id, window.now])?;
    Ok(false)
}

/// Forgets ids that left the window, a few more than came in, so that no single write has to forget many.
fn forget(connection: &Connection, added: usize, window: Window) -> rusqlite::Result<()> {
    let Some(bucket) = window.now.checked_div_euclid(window.length) else { return Ok(()) };
    let at_once = i64::try_from(2 * added).unwrap_or(i64::MAX);
    let mut old = connection
        .prepare_cached("SELECT bucket, queue, id FROM published WHERE bucket < ?1 - 1 LIMIT ?2")?;
    let key = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let old: Vec<(i64, i64, [u8; 16])> = old.query_map([bucket, at_once], key)?.collect::<Result<_, _>>()?;
    // One by one: given all keys at once, SQLite goes through all ids of a bucket and queue for each of them.
    let mut delete =
        connection.prepare_cached("DELETE FROM published WHERE bucket = ?1 AND queue = ?2 AND id = ?3")?;
    old.into_iter().try_for_each(|key| delete.execute(key).map(drop))
}
