use std::{error::Error, sync::Arc};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{DatabaseError, Durability, Turn, trouble::Trouble};

/// A write that waits for its group.
pub(super) trait Job: Send {
    /// What it asks of the commit.
    fn durability(&self) -> Durability;

    /// When it wants to be done.
    fn turn(&self) -> Turn;

    /// Does the work; answers whether to keep what it changed.
    fn run(&mut self, connection: &Connection) -> bool;

    /// Tells the caller, once the commit is over.
    fn answer(self: Box<Self>, committed: Result<(), DatabaseError>);
}

/// The one kind of job: a closure, and who waits for its result.
pub(super) struct Task<W, N, T, E> {
    durability: Durability,
    turn: Turn,
    trouble: Arc<Trouble>,
    work: Option<W>,
    then: N,
    result: Option<Result<T, E>>,
    answer: oneshot::Sender<Result<T, E>>,
}

impl<W, N, T, E> Task<W, N, T, E>
where
    W: FnOnce(&Connection) -> Result<T, E> + Send,
    N: FnOnce(&Result<T, E>) + Send,
    T: Send,
    E: From<DatabaseError> + Error + Send + 'static,
{
    pub(super) fn new(
        (durability, turn): (Durability, Turn),
        trouble: Arc<Trouble>,
        work: W,
        then: N,
        answer: oneshot::Sender<Result<T, E>>,
    ) -> Self {
        Self { durability, turn, trouble, work: Some(work), then, result: None, answer }
    }
}

impl<W, N, T, E> Job for Task<W, N, T, E>
where
    W: FnOnce(&Connection) -> Result<T, E> + Send,
    N: FnOnce(&Result<T, E>) + Send,
    T: Send,
    E: From<DatabaseError> + Error + Send + 'static,
{
    fn durability(&self) -> Durability {
        self.durability
    }

    fn turn(&self) -> Turn {
        self.turn
    }

    fn run(&mut self, connection: &Connection) -> bool {
        let result = self.work.take().map(|work| work(connection));
        self.result = result.map(|result| result.map_err(|error| self.trouble.look(error)));
        matches!(self.result, Some(Ok(_)))
    }

    fn answer(self: Box<Self>, committed: Result<(), DatabaseError>) {
        let result = match (committed, self.result) {
            // Its own error says more than what became of the group.
            (_, Some(Err(error))) => Err(error),
            (Ok(()), Some(Ok(value))) => Ok(value),
            (Ok(()), None) => Err(DatabaseError::Closed.into()),
            (Err(error), _) => Err(error.into()),
        };
        (self.then)(&result);
        // Whoever asked may have gone: then there is nobody to tell.
        let _told = self.answer.send(result);
    }
}
