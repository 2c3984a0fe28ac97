//! The books of ingest where they are not in the transaction that publishes: devices do not wait for them.

use std::{mem, time::Duration};

use stages::plan::Counts;
use tokio::{task::JoinHandle, time::sleep};
use tracing::{info, warn};

use crate::{
    error::Class,
    pause::spread,
    queue::{Commit, QueueError, Queues},
};

/// How long to wait before another try.
const PAUSE: Duration = Duration::from_secs(1);

/// Writes what was published into the books, one write at a time: what comes meanwhile goes with the next.
pub(in crate::ingest) struct Books {
    /// None where publishing writes them.
    queues: Option<Queues>,
    owed: Counts,
    writing: Option<JoinHandle<Result<(), QueueError>>>,
}

impl Books {
    pub(in crate::ingest) fn new(queues: &Queues) -> Self {
        let apart = !queues.capabilities().commits_at_once;
        Self { queues: apart.then(|| queues.clone()), owed: Counts::default(), writing: None }
    }

    /// Adds to the books, now or soon.
    ///
    /// # Errors
    /// What will not work again in this process.
    pub(super) async fn add(&mut self, counts: Counts) -> Result<(), QueueError> {
        self.owed += counts;
        let is_writing = self.writing.as_ref().is_some_and(|writing| !writing.is_finished());
        if is_writing { Ok(()) } else { self.write().await }
    }

    /// Waits until all is in the books.
    ///
    /// # Errors
    /// What will not work again in this process.
    pub(super) async fn end(&mut self) -> Result<(), QueueError> {
        self.write().await?;
        self.write().await
    }

    /// Waits for the last write, and begins one of what is owed.
    async fn write(&mut self) -> Result<(), QueueError> {
        if let Some(writing) = self.writing.take() {
            // A panic costs the books of what it was about.
            writing.await.unwrap_or(Ok(()))?;
        }
        if let Some(queues) = &self.queues
            && self.owed != Counts::default()
        {
            self.writing = Some(tokio::spawn(write(queues.clone(), mem::take(&mut self.owed))));
        }
        Ok(())
    }
}

/// Writes until it is written.
async fn write(queues: Queues, counts: Counts) -> Result<(), QueueError> {
    let mut failing = false;
    loop {
        let commit = Commit { counts: vec![("ingest", counts)], ..Commit::default() };
        match queues.commit(vec![commit]).await.into_iter().collect() {
            Err(error) if QueueError::class(&error) == Class::Retry => {
                if !failing {
                    warn!(%error, "the books of ingest cannot be written; messages are taken, and it is tried again");
                    failing = true;
                }
                sleep(spread(PAUSE)).await;
            }
            ended => {
                if failing {
                    info!("the books of ingest are written again");
                }
                return ended;
            }
        }
    }
}
