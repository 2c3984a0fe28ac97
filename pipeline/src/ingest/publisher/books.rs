//! The books of ingest where they are not in the transaction that publishes: devices do not wait for them.

use std::time::Duration;

use stages::plan::Counts;
use tokio::{
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    task::JoinHandle,
    time::sleep,
};
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
    writer: Option<Writer>,
}

struct Writer {
    owed: UnboundedSender<Counts>,
    writing: JoinHandle<Result<(), QueueError>>,
}

impl Books {
    pub(in crate::ingest) fn new(queues: &Queues) -> Self {
        let apart = !queues.capabilities().commits_at_once;
        let writer = apart.then(|| {
            let (sender, owed) = mpsc::unbounded_channel();
            Writer { owed: sender, writing: tokio::spawn(write_all(queues.clone(), owed)) }
        });
        Self { writer }
    }

    /// Adds to the books, soon.
    ///
    /// # Errors
    /// What will not work again in this process.
    pub(super) async fn add(&mut self, counts: Counts) -> Result<(), QueueError> {
        let is_over = self.writer.as_ref().is_some_and(|writer| writer.owed.send(counts).is_err());
        if is_over { self.end().await } else { Ok(()) }
    }

    /// Waits until all is in the books.
    ///
    /// # Errors
    /// What will not work again in this process.
    pub(super) async fn end(&mut self) -> Result<(), QueueError> {
        let Some(Writer { owed, writing }) = self.writer.take() else { return Ok(()) };
        drop(owed);
        // A panic costs the books of what it was about.
        writing.await.unwrap_or(Ok(()))
    }
}

/// Writes what comes until nothing more will.
async fn write_all(queues: Queues, mut owed: UnboundedReceiver<Counts>) -> Result<(), QueueError> {
    while let Some(mut counts) = owed.recv().await {
        while let Ok(more) = owed.try_recv() {
            counts += more;
        }
        if counts != Counts::default() {
            write(&queues, counts).await?;
        }
    }
    Ok(())
}

/// Writes until it is written.
async fn write(queues: &Queues, counts: Counts) -> Result<(), QueueError> {
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
