//! What one write adds to and takes from the queues, summed up before it is written.

use rusqlite::{Connection, params};

use crate::queue::QueueName;

/// The sum of one write's changes.
#[derive(Default)]
pub(super) struct Tally {
    queues: [Change; QueueName::ALL.len()],
}

#[derive(Clone, Copy, Default)]
struct Change {
    touched: bool,
    frames: i64,
    rows: i64,
    bytes: i64,
    dead: i64,
}

/// What a write led to.
#[derive(Debug)]
pub(super) struct Touched {
    /// Bytes in each queue that it touched, after it.
    pub(super) bytes: [Option<u64>; QueueName::ALL.len()],
    /// Frames that a full queue gave up.
    pub(super) shed: u64,
}

impl Tally {
    /// A frame was added.
    pub(super) fn added(&mut self, queue: QueueName, rows: i64, bytes: i64) {
        let change = self.of(queue);
        change.frames += 1;
        change.rows += rows;
        change.bytes += bytes;
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
        self.died(queue);
    }

    /// There is one more dead letter.
    pub(super) fn died(&mut self, queue: QueueName) {
        self.of(queue).dead += 1;
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
        let mut bytes = [None; QueueName::ALL.len()];
        let mut statement = connection.prepare_cached(
            "UPDATE queue SET frames = frames + ?2, rows = rows + ?3, bytes = bytes + ?4, dead = dead + ?5
             WHERE queue = ?1 RETURNING bytes",
        )?;
        for queue in QueueName::ALL {
            let Change { touched, frames, rows, bytes: added, dead } = self.queues[queue as usize];
            if touched {
                let change = params![queue as i64, frames, rows, added, dead];
                let after: i64 = statement.query_row(change, |row| row.get(0))?;
                bytes[queue as usize] = Some(after.max(0).cast_unsigned());
            }
        }
        Ok(Touched { bytes, shed: 0 })
    }
}
