//! What `run` and `replay` share: publishes from sources over connections, with the ledger and the report.

mod alive;
mod connection;
mod feed;
mod progress;
mod tally;

use std::{
    future::Future,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::JoinSet};

use crate::{
    SimError,
    client::Target,
    ledger::{Book, Recorder},
    report::RunReport,
};
use connection::Connection;
use progress::Progress;
pub(crate) use tally::Tally;

/// One message to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Publish {
    pub(crate) topic: Arc<str>,
    pub(crate) payload: String,
    /// What is wrong with it on purpose, as the ledger labels it.
    pub(crate) faults: Vec<String>,
}

/// What a source has to say.
#[derive(Debug)]
pub(crate) enum Next {
    Publish(Publish),
    /// Nothing before this long after the start.
    Wait(Duration),
    End,
}

/// Where the publishes of one connection come from.
pub(crate) trait Source: Send + 'static {
    /// The next publish that is due `elapsed` after the start.
    fn next(&mut self, elapsed: Duration) -> Result<Next, SimError>;
}

/// A load: one source per connection.
pub(crate) struct Load<S> {
    pub(crate) target: Target,
    pub(crate) sources: Vec<S>,
    pub(crate) ledger: Option<PathBuf>,
    /// After this long everything ends, acknowledged or not.
    pub(crate) limit: Option<Duration>,
    /// Publishes that will come, if known, for the progress bar; `None` for no bar.
    pub(crate) progress: Option<Option<u64>>,
}

impl<S: Source> Load<S> {
    /// Publishes all and waits for the last acknowledgement, for `stop`, or for the limit.
    ///
    /// # Errors
    /// From a source, the ledger, or a broker that will never serve us. What was in flight then is settled first
    /// where a source failed.
    pub(crate) async fn run(self, stop: impl Future<Output = ()>) -> Result<RunReport, SimError> {
        let book = match &self.ledger {
            Some(path) => Some(Book::open(path, &self.target.client_prefix)?),
            None => None,
        };
        let (stop_now, stopped) = watch::channel(false);
        let shared = Arc::new(Shared {
            started: Instant::now(),
            target: self.target,
            tally: Mutex::new(Tally::new()),
            ending: AtomicBool::new(false),
            away: AtomicUsize::new(0),
            progress: Progress::new(self.progress),
        });
        let mut connections = JoinSet::new();
        for (number, source) in (0u16..).zip(self.sources) {
            let recorder = book.as_ref().map(|book| book.recorder(number));
            let connection = Connection::new(Arc::clone(&shared), number, source, recorder, stopped.clone());
            connections.spawn(connection.run());
        }
        let outcome = supervise(connections, &shared, stop, self.limit, &stop_now).await;
        shared.progress.finish();
        let closed = match book {
            Some(book) => book.close().await,
            None => Ok(()),
        };
        // A ledger that cannot be written ends the connections: its reason is the one to tell.
        closed?;
        outcome?;
        Ok(shared.tally().report(shared.started.elapsed()))
    }
}

/// Waits for the connections; the first failure, `stop` and the limit end them all.
async fn supervise(
    mut connections: JoinSet<Result<(), SimError>>,
    shared: &Shared,
    stop: impl Future<Output = ()>,
    limit: Option<Duration>,
    stop_now: &watch::Sender<bool>,
) -> Result<(), SimError> {
    let mut outcome = Ok(());
    let limit = tokio::time::sleep(limit.unwrap_or(Duration::MAX));
    tokio::pin!(limit, stop);
    let mut ticks = tokio::time::interval(progress::INTERVAL);
    loop {
        tokio::select! {
            joined = connections.join_next() => {
                let result = match joined {
                    None => return outcome,
                    Some(Ok(result)) => result,
                    Some(Err(error)) => Err(SimError::Task(error.to_string())),
                };
                if let Err(error) = result {
                    // After a source's failure the other connections settle what they have in flight.
                    if !shared.ending.load(Ordering::Relaxed) {
                        stop_now.send_replace(true);
                    }
                    outcome = outcome.and(Err(error));
                }
            }
            () = &mut stop, if !*stop_now.borrow() => {
                stop_now.send_replace(true);
            }
            () = &mut limit, if !*stop_now.borrow() => {
                stop_now.send_replace(true);
            }
            _ = ticks.tick() => shared.progress.show(&shared.tally()),
        }
    }
}

/// What all connections of a load see.
pub(crate) struct Shared {
    started: Instant,
    target: Target,
    tally: Mutex<Tally>,
    /// No source is asked any more.
    ending: AtomicBool,
    /// Connections that are trying to connect again.
    away: AtomicUsize,
    progress: Progress,
}

impl Shared {
    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        // Counters stay usable whatever a panicking task was doing.
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection is down: says so if it is the first.
    fn lost(&self, reason: &str) {
        if self.away.fetch_add(1, Ordering::Relaxed) == 0 {
            self.progress.say(&format!("no connection to {}: {reason}; trying again", self.target.broker));
        }
    }

    /// A connection is up again: says so if it was the last that was down.
    fn regained(&self) {
        if self.away.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.progress.say(&format!("connected to {} again", self.target.broker));
        }
    }
}

/// Writes into the ledger if there is one.
pub(crate) type Ledger = Option<Recorder>;
