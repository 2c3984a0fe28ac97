//! What engines do not do alike.

use std::time::Duration;

use super::{Audit, QueueError, Queues};

/// How long to wait for a frame before another look; and the same where looks are paid for, the longest that SQS waits.
const WAIT: Duration = Duration::from_secs(1);
const WAIT_PAID: Duration = Duration::from_secs(20);

/// What an engine keeps of the clauses that not every engine can keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// A commit is one transaction. Else it goes in steps: it publishes, then saves state, then settles; or saves state first, where
    /// queues are not `ordered`.
    pub commits_at_once: bool,
    /// `transform`, `analyze` and `alert` give the frames of a lane in order to one holder at a time (Q4).
    pub ordered: bool,
    /// A repeated id adds nothing in any queue; else in those that are ordered (Q6).
    pub dedupes_all: bool,
    /// A full queue makes publishers wait, and `notify` gives up its oldest (Q9).
    pub has_limits: bool,
    /// Rows and bytes in queues are known, and so is where each row is that entered one: their account can be held against the
    /// books of the stages, which every engine keeps.
    pub keeps_books: bool,
    /// The age of the oldest frame in a queue is known, and counts are of this moment.
    pub tells_ages: bool,
    /// A hop may look whether the queues within it are dry.
    pub tells_places: bool,
    /// Each request is paid for: better few that bring much than many.
    pub is_paid: bool,
}

impl Queues {
    /// Whether the engine answers: with the account of rows, or none where it keeps none.
    ///
    /// # Errors
    /// When the engine cannot be asked.
    pub(crate) async fn probe(&self) -> Result<Option<Audit>, QueueError> {
        match self {
            Self::Sqlite(queues) => queues.audit(false).await.map(Some),
            #[cfg(feature = "sqs")]
            Self::Sqs(queues) => queues.probe().await.map(|()| None),
        }
    }
}

impl Capabilities {
    /// How long a look at an empty queue is to wait for a frame.
    pub const fn wait(self) -> Duration {
        if self.is_paid { WAIT_PAID } else { WAIT }
    }

    /// Of the embedded engine.
    pub const SQLITE: Self = Self {
        commits_at_once: true,
        ordered: true,
        dedupes_all: true,
        has_limits: true,
        keeps_books: true,
        tells_ages: true,
        tells_places: true,
        is_paid: false,
    };

    /// Of SQS, with FIFO queues or without.
    pub const fn sqs(fifo: bool) -> Self {
        Self {
            commits_at_once: false,
            ordered: fifo,
            dedupes_all: false,
            has_limits: false,
            keeps_books: false,
            tells_ages: false,
            tells_places: false,
            is_paid: true,
        }
    }
}
