//! Dead letters as they are kept, and what is done with them.

use stages::frame::{FrameId, Lane, Micros};

use super::QueueName;

/// A dead letter as it is kept, but for its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptLetter {
    /// Its number, which never comes again.
    pub letter: i64,
    /// The queue that its frame was in.
    pub queue: QueueName,
    /// The lane of its rows.
    pub lane: Lane,
    /// The frame.
    pub frame: FrameId,
    /// How many rows it has.
    pub rows: u64,
    /// How many bytes it takes.
    pub bytes: u64,
    /// When the frame was published; of rows that were set aside alone, when that was.
    pub published_at: Micros,
    /// How often it failed.
    pub attempts: u32,
    /// Why it was given up.
    pub reason: String,
    /// When it was.
    pub died_at: Micros,
}

/// Which dead letters. Whatever is given must hold.
#[derive(Debug, Clone, Default)]
pub struct DeadFilter {
    /// Their numbers; empty for any.
    pub letters: Vec<i64>,
    /// Their queue.
    pub queue: Option<QueueName>,
    /// What their reasons have in them.
    pub reason: Option<String>,
    /// They died then or later.
    pub since: Option<Micros>,
    /// They died before.
    pub until: Option<Micros>,
}

/// Part of the dead letters, by number: those after one, up to another.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// Only letters with larger numbers.
    pub after: i64,
    /// Only letters up to this number.
    pub up_to: i64,
}

/// What became of one batch of dead letters.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// The last letter that was looked at; none when none was left.
    pub last: Option<i64>,
    /// Letters and rows of each queue that were dealt with.
    pub done: [Moved; QueueName::ALL.len()],
    /// Letters and rows of each queue that stay because it is full.
    pub no_room: [Moved; QueueName::ALL.len()],
}

/// So many dead letters of a queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moved {
    /// How many.
    pub letters: u64,
    /// Their rows.
    pub rows: u64,
}

impl Moved {
    /// Counts one more letter.
    pub fn add(&mut self, rows: u64) {
        self.letters += 1;
        self.rows += rows;
    }
}

impl Span {
    /// All there are.
    pub const ALL: Self = Self { after: 0, up_to: i64::MAX };
}
