//! What goes into queues and comes out of them.

use std::time::Duration;

use stages::{
    frame::{Frame, FrameError, FrameId, Lane, Source},
    plan::Counts,
};

use super::{Body, QueueName, mark::Mark};
use crate::database::Owner;

/// A frame as it crosses a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedFrame {
    /// Names the frame for ever.
    pub id: FrameId,
    /// The lane of all its rows.
    pub lane: Lane,
    /// How many rows it has.
    pub rows: u32,
    /// The frame in the one codec.
    pub bytes: Body,
}

impl EncodedFrame {
    /// Encodes a frame.
    ///
    /// # Errors
    /// Those of [`Body::of`].
    pub fn of(frame: &Frame) -> Result<Self, FrameError> {
        Self::made_from(frame, &[])
    }

    /// Encodes a frame that was made from others.
    ///
    /// # Errors
    /// Those of [`Body::made_from`].
    pub fn made_from(frame: &Frame, inputs: &[Source<'_>]) -> Result<Self, FrameError> {
        let bytes = Body::made_from(frame, inputs)?;
        let rows = u32::try_from(frame.rows.num_rows()).unwrap_or(u32::MAX);
        Ok(Self { id: frame.header.id, lane: frame.header.lane, rows, bytes })
    }
}

/// A frame on its way into a queue.
#[derive(Debug, Clone)]
pub struct Publish {
    /// Which queue.
    pub queue: QueueName,
    /// What to add.
    pub frame: EncodedFrame,
}

/// One hand-out of a frame.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Settles it.
    pub receipt: Receipt,
    /// What was published.
    pub frame: EncodedFrame,
    /// How often it has failed before.
    pub attempts: u32,
    /// Processes have ended again and again while they held this frame, so its holder gets nothing else
    /// from the queue until it is settled. Work on it at once.
    pub suspect: bool,
}

/// What settles a delivery, as long as its lease lasts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Receipt {
    pub(super) queue: QueueName,
    pub(super) frame: FrameId,
    pub(super) token: Token,
    pub(super) mark: Mark,
}

/// What the engine that made a receipt knows the delivery by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Token {
    /// A row of the data file.
    Row(Row),
    /// A lease that this process counted.
    #[cfg(feature = "sqs")]
    Lease(u64),
}

/// A leased row of the data file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Row {
    pub(super) seq: i64,
    pub(super) holder: Holder,
    pub(super) lease: i64,
}

impl Receipt {
    /// The row of the data file; none of a receipt that another engine made.
    pub(super) fn row(&self) -> Option<Row> {
        match self.token {
            Token::Row(row) => Some(row),
            #[cfg(feature = "sqs")]
            Token::Lease(_) => None,
        }
    }

    /// The lease; none of a receipt that another engine made.
    #[cfg(feature = "sqs")]
    pub(super) fn lease(&self) -> Option<u64> {
        match self.token {
            Token::Lease(lease) => Some(lease),
            Token::Row(_) => None,
        }
    }

    /// Where the frame was leased from.
    pub fn queue(&self) -> QueueName {
        self.queue
    }

    /// Which frame.
    pub fn frame(&self) -> FrameId {
        self.frame
    }
}

/// One worker task, to which frames are leased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Holder {
    pub(super) owner: Owner,
    pub(super) worker: u32,
}

/// How much to receive at once, and how long to wait for it.
#[derive(Debug, Clone, Copy)]
pub struct ReceiveLimits {
    /// Frames at most; 0 counts as 1.
    pub frames: usize,
    /// Bytes at most, but one frame is handed out however large.
    pub bytes: usize,
    /// How long to wait for a first frame.
    pub wait: Duration,
}

/// What becomes of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is dealt with.
    Done,
    /// It failed: hand it out again after this time. An ordered lane waits for it.
    Retry(Duration),
    /// It was not tried: hand it out again after this time, uncounted. An ordered lane waits for it.
    Later(Duration),
    /// It is given up, with the reason, and kept as a dead letter.
    Dead(String),
}

/// All that one step of a hop leads to.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// The deliveries that are dealt with.
    pub receipts: Vec<Receipt>,
    /// The frames they led to.
    pub publish: Vec<Publish>,
    /// How the state of the lane changed, of each stage in order.
    pub deltas: Vec<NumberedDelta>,
    /// What became of the rows, for the books of the named stages.
    pub counts: Vec<(&'static str, Counts)>,
    /// Rows that entered a queue and were taken from it within the hop: no frame of them was ever there.
    pub passed: Vec<(QueueName, u64)>,
    /// Rows of the deliveries that are given up.
    pub dead: Vec<DeadLetter>,
    /// The frames that the changes deal with, where consuming them is another step than changing state.
    pub applied: Vec<FrameId>,
    /// Frames that earlier changes dealt with, there: they came again.
    pub repeated: Vec<FrameId>,
}

/// A frame that is given up, with the reason: kept with the dead letters of the queue it was read from.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// Where its rows were read from.
    pub queue: QueueName,
    /// What is given up.
    pub frame: EncodedFrame,
    /// How often it failed.
    pub attempts: u32,
    /// Why.
    pub reason: String,
}

/// A change of a lane's state. Numbers fence: only the one after the last is taken.
#[derive(Debug, Clone)]
pub struct NumberedDelta {
    /// Whose state.
    pub stage: &'static str,
    /// Of which lane.
    pub lane: Lane,
    /// The last number plus 1; the first is 1. With neither bytes nor a snapshot nor frames applied the last number itself:
    /// then nothing is added, and the commit only counts if the state has not moved on.
    pub number: u64,
    /// What changed.
    pub bytes: Vec<u8>,
    /// The whole state after this change, now and then: it replaces all deltas so far.
    pub snapshot: Option<Vec<u8>>,
    /// The frames that this change deals with, where consuming them is another step than this one; with a snapshot all that
    /// are remembered of the lane, the oldest first. Not in the data file, where it is the same step.
    pub applied: Vec<FrameId>,
}

/// What a queue holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// Frames in all, those in flight included.
    pub frames: u64,
    /// Their rows.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Frames that are leased.
    pub in_flight: u64,
    /// Dead letters.
    pub dead: u64,
    /// Their rows.
    pub dead_rows: u64,
    /// Their bytes.
    pub dead_bytes: u64,
    /// How long ago the oldest frame was published.
    pub oldest_age: Option<Duration>,
}
