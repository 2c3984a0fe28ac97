//! The one task that makes frames durable.

mod books;

#[cfg(feature = "sqs")]
use std::mem;
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use rusqlite::Connection;
use stages::{
    frame::{Frame, FrameError, FrameId, Header, Kind, Lane},
    plan::Counts,
};

pub(super) use self::books::Books;
use super::{
    IngestError,
    counters::Counters,
    now,
    packer::{Batch, Packer, Rows},
    sessions::{Held, PacketChanges},
};
use crate::{
    database::{Database, Durability, Turn},
    error::Class,
    pause::spread,
    queue::{Commit, EncodedFrame, Publish, QueueError, QueueName, Queues},
};

/// The first pause before a failed publish is tried again; each further one is twice as long…
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// … up to this.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Takes what is due out of the packer, one publish at a time: what comes meanwhile is due together
/// when it is over.
pub(super) struct Publisher {
    pub(super) packer: Arc<Packer>,
    pub(super) queues: Queues,
    pub(super) database: Database,
    pub(super) held: Arc<Held>,
    pub(super) counters: Arc<Counters>,
    pub(super) epoch: u64,
    pub(super) frames: u64,
    pub(super) books: Books,
}

/// Begins an epoch: message numbers and frame ids are unique within one. It is counted where the state of the queues is.
///
/// # Errors
/// When it cannot be written.
pub(super) async fn next_epoch(queues: &Queues, database: &Database) -> Result<u64, QueueError> {
    #[cfg(feature = "sqs")]
    if let Queues::Sqs(engine) = queues
        && let Some(table) = engine.table()
    {
        return Ok(table.next_epoch().await?);
    }
    let _ = queues;
    let next = |connection: &Connection| -> Result<u64, QueueError> {
        let sql = "UPDATE meta SET value = value + 1 WHERE key = 'ingest_epoch' RETURNING value";
        let epoch: i64 = connection.query_row(sql, [], |row| row.get(0))?;
        Ok(epoch.unsigned_abs())
    };
    database.write(Durability::Fsync, next).await
}

impl Publisher {
    /// Publishes until the packer is finished and empty.
    ///
    /// # Errors
    /// When publishing cannot work again in this process.
    pub(super) async fn run(mut self) -> Result<(), IngestError> {
        while let Some(mut batches) = self.packer.due().await {
            let mut commit = Commit::default();
            let (mut counts, mut packets) = (Counts::default(), PacketChanges::default());
            for batch in &mut batches {
                packets.taken.append(&mut batch.taken);
                packets.released.append(&mut batch.released);
                if batch.rows.len() > 0 {
                    commit.publish.append(&mut self.close(batch, &mut counts)?);
                }
            }
            let frames = commit.publish.len();
            if frames > 0 {
                commit.counts = vec![("ingest", counts)];
            }
            if frames > 0 || !packets.is_empty() {
                self.commit(commit, packets).await?;
            }
            self.counters.published(frames, &counts);
            self.packer.settle(batches);
            self.books.add(counts).await?;
            if self.packer.wants_epoch() {
                self.epoch = next_epoch(&self.queues, &self.database).await?;
                self.packer.renumber(self.epoch);
            }
        }
        self.books.end().await?;
        Ok(())
    }

    /// Makes a batch into the frame that goes to a queue, or several where the queue would not take it in one.
    fn close(&mut self, batch: &mut Batch, counts: &mut Counts) -> Result<Vec<Publish>, FrameError> {
        let id = self.next_id();
        let header =
            |kind, lane| Header { id, kind, lane, created_at: now(), epoch: self.epoch, trace: None };
        let rows = u64::try_from(batch.rows.len()).unwrap_or(u64::MAX);
        let (queue, frame): (QueueName, Frame) = match &mut batch.rows {
            Rows::Messages(lane, builder) => {
                counts.consumed += rows;
                counts.produced += rows;
                (QueueName::Validate, builder.finish(header(Kind::Messages, *lane))?)
            }
            // The store takes frames in any order, so that their lane says nothing.
            Rows::Refused(builder) => {
                counts.quarantined += rows;
                (QueueName::Store, builder.finish(header(Kind::Quarantine, Lane(0)))?)
            }
        };
        let bytes_max = self.queues.frame_bytes_max();
        let frames = EncodedFrame::fitting(&frame, &[], bytes_max, &mut |_, _| self.next_id())?;
        self.packer.learn(batch, frames.iter().map(|frame| frame.bytes.len()).sum());
        frames.iter().for_each(|frame| self.counters.closed_frame(frame.rows.into()));
        Ok(frames.into_iter().map(|frame| Publish { queue, frame }).collect())
    }

    fn next_id(&mut self) -> FrameId {
        let id = FrameId::ingested(self.epoch, self.frames);
        self.frames += 1;
        id
    }

    /// Makes frames durable, and what is remembered of their messages, again and again while that may help: the ids of the
    /// frames make a repeat harmless.
    async fn commit(&self, mut commit: Commit, packets: PacketChanges) -> Result<(), QueueError> {
        let packets = Arc::new(packets);
        let mut pause = PAUSE_MIN;
        let ended = loop {
            let ended = Arc::new(OnceLock::new());
            let (packets, told) = (Arc::clone(&packets), Arc::clone(&ended));
            let remember = move |connection: &Connection| {
                let ended = packets.write(connection)?;
                told.get_or_init(|| ended);
                Ok(())
            };
            let Err(error) = self.try_commit(&mut commit, remember).await else { break ended };
            if error.class() != Class::Retry {
                return Err(error);
            }
            if pause == PAUSE_MIN {
                tracing::warn!(%error, "cannot publish; acknowledgements wait until it works again");
                self.counters.set_stalled(true);
            }
            tokio::time::sleep(spread(pause)).await;
            pause = (pause * 2).min(PAUSE_MAX);
        };
        self.held.lose(ended.get().map_or(&[], Vec::as_slice));
        if pause > PAUSE_MIN {
            tracing::info!("publishing works again");
            self.counters.set_stalled(false);
        }
        Ok(())
    }

    /// One try; in one transaction where the queues are in the data file. Else `commit` keeps what is still to be done.
    async fn try_commit(
        &self,
        commit: &mut Commit,
        remember: impl FnOnce(&Connection) -> Result<(), QueueError> + Send + 'static,
    ) -> Result<(), QueueError> {
        match &self.queues {
            // Devices wait for it, with their windows full: the stages do not.
            Queues::Sqlite(queues) => queues.commit_with(commit.clone(), Turn::First, remember).await,
            #[cfg(feature = "sqs")]
            // The books come after the acknowledgements.
            Queues::Sqs(queues) => {
                let entries = mem::take(&mut commit.publish);
                let answers = queues.publish(entries.clone()).await;
                let mut refused = Ok(());
                for (entry, answer) in entries.into_iter().zip(answers) {
                    if let Err(error) = answer {
                        commit.publish.push(entry);
                        refused = refused.and(Err(error));
                    }
                }
                refused?;
                // Their messages are safe. What is remembered of them comes after that: a message of QoS 2 whose packet id is
                // lost is sent again, and analyze drops it.
                self.database.write(Durability::Fsync, remember).await
            }
        }
    }
}
