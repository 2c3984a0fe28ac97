//! Which frames are next: the oldest that wait, by the rules of order and of suspicion.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};
use stages::frame::{FrameId, Lane};

use super::{
    handover::Place,
    lease::{SUSPECT, company},
    receive::{Lines, Look},
};
use crate::{
    database::{checked, damage},
    queue::{
        Body, Delivery, EncodedFrame, Holder, QueueName, Receipt, ReceiveLimits,
        entry::{Row as Leased, Token},
        mark::Mark,
    },
};

/// Leases what is next to `holder`; nothing when all that waits is kept from it.
pub(super) fn hand_out(
    connection: &Connection,
    look: &Look,
    holder: Holder,
) -> rusqlite::Result<Vec<Delivery>> {
    let lines = choose(connection, look)?;
    if lines.is_empty() || holds_suspect(connection, look)? {
        return Ok(Vec::new());
    }
    let mut run = Run::within(look.limits);
    for line in lines {
        if !collect(connection, look, holder, line, &mut run)? {
            break;
        }
    }
    if run.is_suspect() && holds_any(connection, look)? {
        return Ok(Vec::new());
    }
    let mut lease = connection
        .prepare_cached("UPDATE frame SET holder = ?2, lease = ?3, held_until = ?4 WHERE seq = ?1")?;
    for delivery in &run.deliveries {
        let seq = delivery.receipt.row().map(|row| row.seq);
        lease.execute(params![seq, look.holder, look.lease, look.until])?;
    }
    Ok(run.deliveries)
}

/// The lines to take from, that with the oldest frame that waits before the others. Of an ordered queue only those that
/// nobody else holds and where nothing is put off.
fn choose(connection: &Connection, look: &Look) -> rusqlite::Result<Vec<u16>> {
    let mut lines = connection.prepare_cached(
        "SELECT (SELECT min(seq) FROM frame WHERE queue = ?1 AND line = ?2 AND holder IS NULL),
                (SELECT min(holder) FROM frame WHERE queue = ?1 AND line = ?2 AND holder >= 0)",
    )?;
    let all = match look.lines {
        Lines::Only(line) => vec![line],
        Lines::One | Lines::All => lines_of(connection, look.queue, look.lanes)?,
    };
    let mut chosen: Vec<(i64, u16)> = Vec::with_capacity(all.len());
    for line in all {
        let (next, held_by): (Option<i64>, Option<i64>) =
            lines.query_row(params![look.queue as i64, line], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let free = !look.queue.is_ordered() || held_by.is_none_or(|other| other == look.holder);
        chosen.extend(next.filter(|_| free).map(|seq| (seq, line)));
    }
    chosen.sort_unstable();
    if look.lines == Lines::One {
        chosen.truncate(1);
    }
    Ok(chosen.into_iter().map(|(_, line)| line).collect())
}

/// The lines of a queue, where ordered ones have so many lanes; where they are no partition of devices, those
/// with frames in them.
pub(super) fn lines_of(connection: &Connection, queue: QueueName, lanes: u16) -> rusqlite::Result<Vec<u16>> {
    if !queue.is_by_lane() {
        return Ok((0..if queue.is_ordered() { lanes } else { 1 }).collect());
    }
    // From one line to the next, so that their frames are not visited.
    let mut lines = connection.prepare_cached(
        "WITH RECURSIVE next (line) AS (
            SELECT min(line) FROM frame WHERE queue = ?1
            UNION ALL
            SELECT (SELECT min(frame.line) FROM frame WHERE queue = ?1 AND frame.line > next.line)
            FROM next WHERE next.line IS NOT NULL
         )
         SELECT line FROM next WHERE line IS NOT NULL",
    )?;
    lines.query_map([queue as i64], |row| row.get(0))?.collect()
}

/// What is handed out at once.
struct Run {
    deliveries: Vec<Delivery>,
    /// How many there may be, and of how many bytes.
    frames: usize,
    bytes: usize,
}

impl Run {
    fn within(limits: ReceiveLimits) -> Self {
        Self { deliveries: Vec::new(), frames: limits.frames.max(1), bytes: limits.bytes }
    }

    /// Whether it is of frames that may bring down who holds them.
    fn is_suspect(&self) -> bool {
        self.deliveries.first().is_some_and(|first| first.suspect)
    }

    /// Whether a frame that was lost so often may come into it; suspects stand apart from the others.
    fn takes(&mut self, bytes: usize, losses: u32) -> bool {
        self.frames = self.frames.min(company(losses));
        let fits = bytes <= self.bytes && self.deliveries.len() < self.frames;
        let takes = self.deliveries.is_empty() || (fits && self.is_suspect() == (losses >= SUSPECT));
        self.bytes = self.bytes.saturating_sub(if takes { bytes } else { 0 });
        takes
    }
}

/// Takes what stands at the head of a line into the run; answers whether there is room for more.
fn collect(
    connection: &Connection,
    look: &Look,
    holder: Holder,
    line: u16,
    run: &mut Run,
) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, lane, id, rows, bytes, attempts, losses, published_at FROM frame
         WHERE queue = ?1 AND line = ?2 AND holder IS NULL ORDER BY seq",
    )?;
    let mut waiting = statement.query(params![look.queue as i64, line])?;
    while run.deliveries.len() < run.frames
        && let Some(row) = waiting.next()?
    {
        let losses = row.get(6)?;
        if !run.takes(row.get::<_, u32>(4)? as usize, losses) {
            return Ok(false);
        }
        run.deliveries.push(delivery(connection, row, look, holder, losses >= SUSPECT)?);
    }
    Ok(run.deliveries.len() < run.frames)
}

fn delivery(
    connection: &Connection,
    row: &Row<'_>,
    look: &Look,
    holder: Holder,
    suspect: bool,
) -> rusqlite::Result<Delivery> {
    let id = FrameId(row.get(2)?);
    let place = Place { seq: row.get(0)?, id, published_at: row.get(7)? };
    let bytes = match look.handover.take(place) {
        Some(body) => body,
        None => read(connection, place.seq)?,
    };
    let frame = EncodedFrame { id, lane: Lane(row.get(1)?), rows: row.get(3)?, bytes };
    let token = Token::Row(Leased { seq: place.seq, holder, lease: look.lease });
    let receipt = Receipt { queue: look.queue, frame: id, token, mark: Mark::default() };
    Ok(Delivery { receipt, frame, attempts: row.get(5)?, suspect })
}

/// The content of a frame, as the file has it.
fn read(connection: &Connection, seq: i64) -> rusqlite::Result<Body> {
    let mut find = connection.prepare_cached("SELECT bytes, sum FROM body WHERE seq = ?1")?;
    let body = find.query_row([seq], |row| {
        let bytes = checked(row.get_ref(0)?.as_blob()?, row.get(1)?, "a frame")?;
        Ok(Bytes::copy_from_slice(bytes).into())
    });
    // A frame and its bytes come and go in one transaction.
    body.optional()?.ok_or_else(|| damage("the bytes of a frame are gone".to_owned()))
}

fn holds_suspect(connection: &Connection, look: &Look) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT 1 FROM frame INDEXED BY frame_suspect WHERE queue = ?1 AND holder = ?2 AND losses >= 3",
        )?
        .exists(params![look.queue as i64, look.holder])
}

fn holds_any(connection: &Connection, look: &Look) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM frame INDEXED BY frame_held WHERE holder IS NOT NULL AND holder = ?2 AND queue = ?1")?
        .exists(params![look.queue as i64, look.holder])
}
