//! What engines do not do alike.

/// What an engine keeps of the clauses that not every engine can keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// A commit is one transaction. Else it goes in steps: it publishes, then saves state, then settles; or saves state first, where
    /// queues are not `ordered`.
    pub commits_at_once: bool,
    /// `transform`, `analyze` and `alert` give the frames of a lane in order to one holder at a time (Q4).
    pub ordered: bool,
    /// The leases of a process that died are free at once (Q2).
    pub frees_the_dead: bool,
    /// Attempts are failures alone; else each time that a frame is handed out again is one, also when a lease was lost, unless
    /// this process knows better (Q5).
    pub counts_failures: bool,
    /// A repeated id adds nothing in any queue; else in those that are ordered (Q6).
    pub dedupes_all: bool,
    /// A full queue makes publishers wait, and `notify` gives up its oldest (Q9).
    pub has_limits: bool,
    /// Rows, bytes and ages are known, and so are the books.
    pub keeps_books: bool,
    /// A hop may look whether the queues within it are dry.
    pub tells_places: bool,
}

impl Capabilities {
    /// Of the embedded engine.
    pub const SQLITE: Self = Self {
        commits_at_once: true,
        ordered: true,
        frees_the_dead: true,
        counts_failures: true,
        dedupes_all: true,
        has_limits: true,
        keeps_books: true,
        tells_places: true,
    };

    /// Of SQS, with FIFO queues or without.
    pub const fn sqs(fifo: bool) -> Self {
        Self {
            commits_at_once: false,
            ordered: fifo,
            frees_the_dead: false,
            counts_failures: false,
            dedupes_all: false,
            has_limits: false,
            keeps_books: false,
            tells_places: false,
        }
    }
}
