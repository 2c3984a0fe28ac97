//! Durable queues between stages, named after the stage that reads them.
//!
//! [`Queues`] is one of the engines. What every engine keeps, clause by clause, is written down as the
//! conformance tests:
//!
//! * Q1 an accepted frame survives the death of this process and of the engine;
//! * Q2 a delivery that is not settled before its lease ends is handed out again;
//! * Q3 a lease can be extended; one that is lost is answered as lost, and settles nothing any more;
//! * Q4 an ordered queue gives the frames of a lane, in order, to one holder at a time; those of a lane of
//!   `notify` can be received by themselves;
//! * Q5 failures count as attempts, lost leases only when the frame was held alone, and being put off untried never;
//! * Q6 a frame id published again within the dedupe window adds nothing;
//! * Q7 bytes come back as they went in, up to a size that is refused before sending;
//! * Q8 one bad entry of a batch neither fails nor acknowledges the others;
//! * Q9 a full queue makes publishers wait, and drops nothing; only `notify` gives up frames instead, the oldest
//!   of the lane that holds the most.

mod balance;
mod body;
mod capabilities;
mod dead;
mod entry;
mod error;
mod mark;
mod name;
pub(crate) mod paid;
mod split;
pub mod sqlite;
#[cfg(feature = "sqs")]
pub mod sqs;

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use stages::{frame::Lane, plan::Counts};

pub(crate) use self::mark::Ending;
use crate::database::Database;

#[cfg(feature = "sqs")]
pub use self::sqs::{SqsError, SqsOptions, SqsQueues};
pub use self::{
    balance::{Account, Audit, Balance, Holding, Miscount, Overview},
    body::Body,
    capabilities::Capabilities,
    dead::{Batch, DeadFilter, KeptLetter, Moved, Span},
    entry::{
        Commit, DeadLetter, Delivery, Depth, EncodedFrame, Holder, NumberedDelta, Publish, Receipt,
        ReceiveLimits, Verdict,
    },
    error::QueueError,
    name::QueueName,
    sqlite::{Clock, SqliteOptions, SqliteQueues},
};
pub(crate) use self::{paid::PaidRequests, split::half_of};

/// The queues of one of the engines; clones share them.
///
/// Calls that take several entries answer for each, in their order.
#[derive(Clone)]
pub enum Queues {
    /// The embedded engine.
    Sqlite(SqliteQueues),
    /// SQS.
    #[cfg(feature = "sqs")]
    Sqs(SqsQueues),
}

impl Queues {
    /// Adds frames to queues; waits while one of them is full, unless it gives way. `Ok` means that the frame is durable. Frames
    /// keep the order of a publisher that awaits each call before the next.
    ///
    /// # Errors
    /// Per frame: [`QueueError::TooLarge`] and [`QueueError::Lane`] before anything is sent, else what
    /// kept the engine from storing it.
    pub async fn publish(&self, entries: Vec<Publish>) -> Vec<Result<(), QueueError>> {
        match self {
            Self::Sqlite(queues) => queues.publish(entries).await,
            #[cfg(feature = "sqs")]
            Self::Sqs(queues) => queues.publish(entries).await,
        }
    }

    /// Whether a frame can be published at all.
    ///
    /// # Errors
    /// What [`Queues::publish`] refuses it for before anything is sent.
    pub fn check(&self, entry: &Publish) -> Result<(), QueueError> {
        match self {
            Self::Sqlite(queues) => queues.check(entry),
            #[cfg(feature = "sqs")]
            Self::Sqs(queues) => queues.check(entry),
        }
    }

    /// The largest frame that is taken, in bytes.
    pub fn frame_bytes_max(&self) -> usize {
        match self {
            Self::Sqlite(queues) => queues.options().frame_bytes_max,
            #[cfg(feature = "sqs")]
            Self::Sqs(queues) => queues.options().frame_bytes_max(),
        }
    }

    /// Leases the frames that are next in `queue` to `holder`, at least one and at most `limits`; of an
    /// ordered queue a run of one lane. SQS hands out what one request brings: runs of several lanes, perhaps, and no more than
    /// ten frames, whatever they weigh. Waits up to `limits.wait` for one; none then is no error.
    ///
    /// The future may be dropped at any time: what it had leased goes back, uncounted; on SQS when its lease ends.
    ///
    /// # Errors
    /// When the engine cannot be asked.
    pub async fn receive(
        &self,
        queue: QueueName,
        holder: Holder,
        limits: ReceiveLimits,
    ) -> Result<Vec<Delivery>, QueueError> {
        match self {
            Self::Sqlite(queues) => queues.receive(queue, holder, limits).await,
            #[cfg(feature = "sqs")]
            Self::Sqs(queues) => queues.receive(queue, holder, limits).await,
        }
    }

    /// Like [`Queues::receive`], but of an ordered queue runs of as many lanes as the limits hold, one after the other: the
    /// whole costs about as much as one run.
    ///
    /// # Errors
    /// When the engine cannot be asked.
    pub async fn receive_runs(
        &self,
        queue: QueueName,
        holder: Holder,
        limits: ReceiveLimits,
    ) -> Result<Vec<Delivery>, QueueError> {
        match self {
            Self::Sqlite(queues) => queues.receive_runs(queue, holder, limits).await,
            #[cfg(feature = "sqs")]
            Self::Sqs(queues) => queues.receive_runs(queue, holder, limits).await,
        }
    }

    /// Like [`Queues::receive`], of one lane of a queue whose lanes are received by themselves.
    ///
    /// # Errors
    /// When the engine cannot be asked.
    pub async fn receive_lane(
        &self,
        queue: QueueName,
        lane: Lane,
        holder: Holder,
        limits: ReceiveLimits,
    ) -> Result<Vec<Delivery>, QueueError> {
        match self {
            Self::Sqlite(queues) => queues.receive_lane(queue, lane, holder, limits).await,
            #[cfg(feature = "sqs")]
            Self::Sqs(queues) => queues.receive_lane(queue, lane, holder, limits).await,
        }
    }

    /// Begins anew with a queue whose lanes are received by themselves: what is put off in `lanes` is handed out
    /// at once, in the order of publishing, and the frames of all other lanes become dead letters. Answers how
    /// many did.
    ///
    /// # Errors
    /// When the engine cannot be asked.
    pub async fn keep_lanes(
        &self,
        queue: QueueName,
        lanes: Vec<Lane>,
        reason: String,
    ) -> Result<u64, QueueError> {
        match self {
            Self::Sqlite(queues) => queues.keep_lanes(queue, lanes, reason).await,
            #[cfg(feature = "sqs")]
            // Each webhook has a queue of its own, and nobody knows of those of others.
            Self::Sqs(_) => Ok(0),
        }
    }

    /// Ends leases, each with its verdict, in this order.
    ///
    /// # Errors
    /// Per delivery: [`QueueError::Lost`] when its lease is gone, else what kept the engine from it.
    pub async fn settle(&self, verdicts: Vec<(Receipt, Verdict)>) -> Vec<Result<(), QueueError>> {
        let ending = Ending::of(verdicts.iter().map(|(receipt, _)| receipt));
        let answers = match self {
            Self::Sqlite(queues) => queues.settle(verdicts).await,
            #[cfg(feature = "sqs")]
            Self::Sqs(queues) => queues.settle(verdicts).await,
        };
        ending.answered(&answers);
        answers
    }

    /// Gives leases their full time again, from now.
    ///
    /// # Errors
    /// As [`Queues::settle`].
    pub async fn extend(&self, receipts: Vec<Receipt>) -> Vec<Result<(), QueueError>> {
        match self {
            Self::Sqlite(queues) => queues.extend(receipts).await,
            #[cfg(feature = "sqs")]
            Self::Sqs(queues) => queues.extend(receipts).await,
        }
    }

    /// Consumes, publishes, changes state and counts: all or nothing, or in steps ([`Capabilities`]). Waits while a queue published
    /// to is full. A frame that is made of what a commit consumes is published also where one of its id was of late (Q6).
    ///
    /// # Errors
    /// Per commit: [`QueueError::Lost`] when a lease is gone, [`QueueError::Fenced`] when the state has
    /// moved on, and those of [`Queues::publish`].
    pub async fn commit(&self, commits: Vec<Commit>) -> Vec<Result<(), QueueError>> {
        let ending: Vec<_> = commits.iter().map(|commit| Ending::of(&commit.receipts)).collect();
        let answers = match self {
            Self::Sqlite(queues) => queues.commit(commits).await,
            #[cfg(feature = "sqs")]
            Self::Sqs(queues) => queues.commit(commits).await,
        };
        ending.into_iter().zip(&answers).for_each(|(ending, answer)| ending.ended(answer));
        answers
    }

    /// The place of the last frame that a lane has in `queue`, as far as it is not after `until`, an answer from before: with
    /// it, none tells that all that stood there at that answer has left. Always none on SQS, which knows no places.
    ///
    /// # Errors
    /// When the engine cannot be asked.
    pub async fn last_place(
        &self,
        queue: QueueName,
        lane: Lane,
        until: Option<i64>,
    ) -> Result<Option<i64>, QueueError> {
        match self {
            Self::Sqlite(queues) => queues.last_place(queue, lane, until).await,
            #[cfg(feature = "sqs")]
            Self::Sqs(_) => Ok(None),
        }
    }

    /// What `queue` holds.
    ///
    /// # Errors
    /// When the engine cannot be asked.
    pub async fn depth(&self, queue: QueueName) -> Result<Depth, QueueError> {
        match self {
            Self::Sqlite(queues) => queues.depth(queue).await,
            #[cfg(feature = "sqs")]
            Self::Sqs(queues) => queues.depth(queue).await,
        }
    }

    /// What became of rows so far, by stage; nothing on SQS without a table.
    ///
    /// # Errors
    /// When the engine cannot be asked.
    pub async fn books(&self) -> Result<BTreeMap<String, Counts>, QueueError> {
        match self {
            Self::Sqlite(queues) => queues.books().await,
            #[cfg(feature = "sqs")]
            Self::Sqs(queues) => queues.books().await,
        }
    }

    /// Whether each row that entered a queue is still somewhere, in one look. With `recount`, every frame and dead letter
    /// is counted anew, which takes as long as reading them. Nothing where the engine keeps no account of rows.
    ///
    /// # Errors
    /// When the engine cannot be asked.
    pub async fn audit(&self, recount: bool) -> Result<Audit, QueueError> {
        match self {
            Self::Sqlite(queues) => queues.audit(recount).await,
            #[cfg(feature = "sqs")]
            Self::Sqs(_) => Ok(Audit::default()),
        }
    }

    /// All of [`Queues::depth`] and [`Queues::books`], and with `check` [`Queues::audit`] with a recount, in one look.
    ///
    /// # Errors
    /// When the engine cannot be asked.
    pub async fn overview(&self, check: bool) -> Result<Overview, QueueError> {
        match self {
            Self::Sqlite(queues) => queues.overview(check).await,
            #[cfg(feature = "sqs")]
            Self::Sqs(queues) => queues.overview().await,
        }
    }

    /// The dead letters of `span` that fit `filter`, by number; some thousand at once: those after the last are asked
    /// for next.
    ///
    /// # Errors
    /// When the engine cannot be asked.
    pub async fn dead_letters(&self, filter: DeadFilter, span: Span) -> Result<Vec<KeptLetter>, QueueError> {
        match self {
            Self::Sqlite(queues) => queues.dead_letters(filter, span).await,
            #[cfg(feature = "sqs")]
            Self::Sqs(queues) => queues.dead_letters(filter, span).await,
        }
    }

    /// One dead letter with its bytes, if it is there.
    ///
    /// # Errors
    /// When the engine cannot be asked.
    pub async fn dead_letter(&self, letter: i64) -> Result<Option<(KeptLetter, Bytes)>, QueueError> {
        match self {
            Self::Sqlite(queues) => queues.dead_letter(letter).await,
            #[cfg(feature = "sqs")]
            Self::Sqs(queues) => queues.dead_letter(letter).await,
        }
    }

    /// Puts a batch of dead letters back at the end of their lanes, as if they had never failed. Those whose queue is
    /// full stay: `span` goes on after the last one that was looked at.
    ///
    /// # Errors
    /// When the engine cannot be asked; then none was put back on the embedded one, and some may be on others.
    pub async fn requeue(&self, filter: DeadFilter, span: Span) -> Result<Batch, QueueError> {
        match self {
            Self::Sqlite(queues) => queues.requeue(filter, span).await,
            #[cfg(feature = "sqs")]
            Self::Sqs(queues) => queues.requeue(filter, span).await,
        }
    }

    /// Throws away a batch of dead letters, whose rows stay in the books as dropped.
    ///
    /// # Errors
    /// When the engine cannot be asked; then all are there.
    pub async fn drop_dead(&self, filter: DeadFilter, span: Span) -> Result<Batch, QueueError> {
        match self {
            Self::Sqlite(queues) => queues.drop_dead(filter, span).await,
            #[cfg(feature = "sqs")]
            Self::Sqs(queues) => queues.drop_dead(filter, span).await,
        }
    }

    /// The requests that this process has made so far, where they are paid for.
    pub(crate) fn requests(&self) -> PaidRequests {
        match self {
            Self::Sqlite(_) => PaidRequests::default(),
            #[cfg(feature = "sqs")]
            Self::Sqs(queues) => PaidRequests::of(queues),
        }
    }

    /// A new identity for one worker task of this process.
    pub fn holder(&self) -> Holder {
        match self {
            Self::Sqlite(queues) => queues.holder(),
            #[cfg(feature = "sqs")]
            Self::Sqs(queues) => queues.holder(),
        }
    }

    /// How long a delivery is leased for, unless it is extended.
    pub fn lease(&self) -> Duration {
        match self {
            Self::Sqlite(queues) => queues.options().lease,
            #[cfg(feature = "sqs")]
            Self::Sqs(queues) => queues.options().lease(),
        }
    }

    /// What the engine keeps of the clauses that not every engine can keep.
    pub fn capabilities(&self) -> Capabilities {
        match self {
            Self::Sqlite(_) => Capabilities::SQLITE,
            #[cfg(feature = "sqs")]
            Self::Sqs(queues) => Capabilities::sqs(queues.options().fifo),
        }
    }

    /// The data file, where the queues are in one.
    pub fn database(&self) -> Option<&Database> {
        match self {
            Self::Sqlite(queues) => Some(queues.database()),
            #[cfg(feature = "sqs")]
            Self::Sqs(_) => None,
        }
    }

    /// The embedded engine, for what is made for it alone.
    ///
    /// # Errors
    /// [`QueueError::Embedded`] when these are queues of another engine; `what` says what needs it.
    #[cfg_attr(not(feature = "sqs"), expect(unused_variables, reason = "there is no other engine"))]
    pub fn embedded(&self, what: &'static str) -> Result<&SqliteQueues, QueueError> {
        match self {
            Self::Sqlite(queues) => Ok(queues),
            #[cfg(feature = "sqs")]
            Self::Sqs(_) => Err(QueueError::Embedded { what }),
        }
    }
}
