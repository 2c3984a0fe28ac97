//! What one write adds to and takes from the queues, summed up before it is written.

use rusqlite::{Connection, Row, params};

use super::handover::Written;
use crate::queue::QueueName;

/// The sum of one write's changes.
#[derive(Default)]
pub(super) struct Tally {
    queues: [Change; QueueName::ALL.len()],
    /// Frames that need not be read from the file.
    pub(super) written: Vec<Written>,
}

#[derive(Clone, Copy, Default)]
struct Change {
    touched: bool,
    frames: i64,
    rows: i64,
    bytes: i64,
    dead: i64,
    dead_rows: i64,
    dead_bytes: i64,
    entered: i64,
    dropped: i64,
}

/// What a write led to.
#[derive(Debug)]
pub(super) struct Touched {
    /// Bytes in each queue that it touched, after it.
    pub(super) bytes: [Option<u64>; QueueName::ALL.len()],
    /// Bytes in the dead letters of each, after it.
    pub(super) dead_bytes: [Option<u64>; QueueName::ALL.len()],
    /// Queues that have more bytes than before it.
    pub(super) grown: [bool; QueueName::ALL.len()],
    /// Those whose dead letters have more.
    pub(super) dead_grown: [bool; QueueName::ALL.len()],
    /// Frames that a full queue gave up.
    pub(super) shed: u64,
    /// Dead letters that were thrown away for newer ones.
    pub(super) forgotten: u64,
}

impl Tally {
    /// A frame was published.
    pub(super) fn added(&mut self, queue: QueueName, rows: i64, bytes: i64) {
        self.of(queue).entered += rows;
        self.came(queue, rows, bytes);
    }

    /// Rows came and were taken at once, without a frame that anybody could have received.
    pub(super) fn passed(&mut self, queue: QueueName, rows: u64) {
        self.queues[queue as usize].entered += rows.cast_signed();
    }

    /// A frame is gone.
    pub(super) fn removed(&mut self, queue: QueueName, rows: i64, bytes: i64) {
        let change = self.of(queue);
        change.frames -= 1;
        change.rows -= rows;
        change.bytes -= bytes;
    }

    /// A frame is gone, to the dead letters.
    pub(super) fn buried(&mut self, queue: QueueName, rows: i64, bytes: i64) {
        self.removed(queue, rows, bytes);
        self.died(queue, rows, bytes);
    }

    /// There is one more dead letter.
    pub(super) fn died(&mut self, queue: QueueName, rows: i64, bytes: i64) {
        let change = self.of(queue);
        change.dead += 1;
        change.dead_rows += rows;
        change.dead_bytes += bytes;
    }

    /// A dead letter is a frame of its queue again, which its rows had entered before.
    pub(super) fn requeued(&mut self, queue: QueueName, rows: i64, bytes: i64) {
        self.exhumed(queue, rows, bytes);
        self.came(queue, rows, bytes);
    }

    /// A dead letter was thrown away.
    pub(super) fn dropped(&mut self, queue: QueueName, rows: i64, bytes: i64) {
        self.exhumed(queue, rows, bytes);
        self.of(queue).dropped += rows;
    }

    fn came(&mut self, queue: QueueName, rows: i64, bytes: i64) {
        let change = self.of(queue);
        change.frames += 1;
        change.rows += rows;
        change.bytes += bytes;
    }

    fn exhumed(&mut self, queue: QueueName, rows: i64, bytes: i64) {
        let change = self.of(queue);
        change.dead -= 1;
        change.dead_rows -= rows;
        change.dead_bytes -= bytes;
    }

    /// Something may be ready to be received that was not before.
    pub(super) fn freed(&mut self, queue: QueueName) {
        self.of(queue);
    }

    fn of(&mut self, queue: QueueName) -> &mut Change {
        let change = &mut self.queues[queue as usize];
        change.touched = true;
        change
    }

    pub(super) fn write(self, connection: &Connection) -> rusqlite::Result<Touched> {
        let (mut bytes, mut dead_bytes) = ([None; QueueName::ALL.len()], [None; QueueName::ALL.len()]);
        let grown = self.queues.map(|change| change.bytes > 0);
        let dead_grown = self.queues.map(|change| change.dead_bytes > 0);
        let mut statement = connection.prepare_cached(
            "UPDATE queue SET frames = frames + ?2, rows = rows + ?3, bytes = bytes + ?4, dead = dead + ?5,
                dead_rows = dead_rows + ?6, dead_bytes = dead_bytes + ?7, entered = entered + ?8,
                dropped = dropped + ?9
             WHERE queue = ?1 RETURNING bytes, dead_bytes",
        )?;
        let after = |row: &Row<'_>, column| row.get(column).map(|sum: i64| Some(sum.max(0).cast_unsigned()));
        for queue in QueueName::ALL {
            let change = self.queues[queue as usize];
            if change.touched || change.entered != 0 {
                let Change { touched, frames, rows, dead, dead_rows, entered, dropped, .. } = change;
                let (added, dead_added) = (change.bytes, change.dead_bytes);
                let change =
                    params![queue as i64, frames, rows, added, dead, dead_rows, dead_added, entered, dropped];
                let held = statement.query_row(change, |row| Ok((after(row, 0)?, after(row, 1)?)))?;
                if touched {
                    (bytes[queue as usize], dead_bytes[queue as usize]) = held;
                }
            }
        }
        Ok(Touched { bytes, dead_bytes, grown, dead_grown, shed: 0, forgotten: 0 })
    }
}
