//! Publishes again what would pass now.
//!
//! Messages are collected into portions, a few frames each. The stages as the config has them now say which of a portion
//! would pass; these are published, and remembered as replayed, in one transaction. So each comes back at most once,
//! whatever is killed when and whoever else replays, and what was not published yet waits for the next run. On SQS it is
//! two steps, and the next run finishes what lies between them (`steps`).

#[cfg(feature = "sqs")]
mod steps;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    mem,
    sync::Arc,
    time::Duration,
};

use rusqlite::Connection;
use stages::{
    frame::{Frame, FrameId, Header, Kind, Lane, Messages, MessagesBuilder, Quarantine},
    plan::Counts,
    replay::{self, Trial},
};
use tokio::time::{Instant, sleep_until, timeout};

use super::{Picked, QuarantineError, Reader, Replayed, STAGE, replayed::remember};
use crate::{
    clock,
    config::Stages,
    database::Turn,
    failpoint::fail_point,
    ingest::PackerOptions,
    queue::{Commit, EncodedFrame, Publish, QueueError, QueueName, Queues},
};

/// How many portions a second a limited rate is made of.
const PORTIONS_PER_SEC: u64 = 10;
/// After how long somebody wants to know what is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// How much to replay, and how fast.
#[derive(Debug, Clone, Copy)]
pub struct ReplayOptions {
    /// Messages per second; 0 for as fast as it goes.
    pub rate: u64,
    /// Messages at most.
    pub limit: Option<u64>,
    /// Only look what would be done.
    pub dry_run: bool,
}

/// What became of the rows that were looked at.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Messages that were published again, or would be.
    pub replayed: u64,
    /// Messages that a replay that was interrupted had claimed, and that were published for it.
    pub finished: u64,
    /// Rows whose messages were replayed before, or by somebody else meanwhile.
    pub before: u64,
    /// Messages that would be refused again, by stage and reason.
    pub refused: BTreeMap<(String, String), u64>,
    /// Whether there may be more, beyond the limit.
    pub limited: bool,
}

/// A replay.
pub struct Replay<'a> {
    queues: &'a Queues,
    stages: &'a Stages,
    packer: PackerOptions,
    options: ReplayOptions,
    /// Told once, when the queue has been full for a while.
    waits: &'a mut dyn FnMut(),
    portion: Portion,
    outcome: Outcome,
}

/// Messages to be tried together.
#[derive(Default)]
struct Portion {
    lanes: BTreeMap<Lane, MessagesBuilder>,
    messages: HashSet<u64>,
    bytes: usize,
}

impl<'a> Replay<'a> {
    /// A replay into `queues`, by `stages`, in frames as ingest makes them. `waits` is called when the queue is full for long.
    pub fn new(
        (queues, stages): (&'a Queues, &'a Stages),
        packer: PackerOptions,
        options: ReplayOptions,
        waits: &'a mut dyn FnMut(),
    ) -> Self {
        let (portion, outcome) = (Portion::default(), Outcome::default());
        Self { queues, stages, packer, options, waits, portion, outcome }
    }

    /// Replays what `reader` picks.
    ///
    /// # Errors
    /// When rows cannot be read, or messages not be published. What was published until then is remembered.
    pub async fn run(mut self, mut reader: Reader) -> Result<Outcome, QuarantineError> {
        let began = Instant::now();
        #[cfg(feature = "sqs")]
        if let (Some(claims), false) = (reader.replayed().claims(), self.options.dry_run) {
            self.finish_others(claims).await?;
        }
        if self.at_limit() {
            return Ok(self.outcome);
        }
        while let Some(picked) = reader.next().await? {
            let rows = picked.rows()?;
            for row in 0..rows.len() {
                // As ingest does: only a message that is larger alone makes a larger frame.
                if self.is_full() || self.portion.bytes + rows.payload(row).len() > self.packer.sure_bytes() {
                    self.publish(reader.replayed()).await?;
                    self.pace(began).await;
                    if self.at_limit() {
                        self.outcome.limited = true;
                        return Ok(self.outcome);
                    }
                }
                self.add(&picked, &rows, row);
            }
        }
        self.publish(reader.replayed()).await?;
        Ok(self.outcome)
    }

    /// Takes up the message in `row`, unless it has come back since.
    fn add(&mut self, picked: &Picked, rows: &Quarantine<'_>, row: usize) {
        let message = rows.message(row);
        if picked.was_replayed(rows, row) || !self.portion.messages.insert(message) {
            self.outcome.before += 1;
            return;
        }
        let topic = rows.topic(row);
        let found = self.stages.topics.find(topic);
        let lane = Lane::of(found.map_or(topic, |found| found.device_or_topic()), self.packer.lanes);
        let builder = self.portion.lanes.entry(lane).or_default();
        let before = builder.bytes();
        replay::append(builder, rows, row);
        self.portion.bytes += builder.bytes() - before;
    }

    fn at_limit(&self) -> bool {
        self.options.limit.is_some_and(|limit| self.outcome.replayed >= limit)
    }

    /// Whether the portion is as large as a frame of ingest may be, as the rate wants it, or as the limit leaves room.
    fn is_full(&self) -> bool {
        let mut rows_max = u64::try_from(self.packer.frame_rows_max).unwrap_or(u64::MAX);
        if self.options.rate > 0 {
            rows_max = rows_max.min(self.options.rate.div_ceil(PORTIONS_PER_SEC));
        }
        if let Some(limit) = self.options.limit {
            rows_max = rows_max.min(limit - self.outcome.replayed);
        }
        self.portion.messages.len() as u64 >= rows_max || self.portion.bytes >= self.packer.sure_bytes()
    }

    /// Has the stages look at the portion, and publishes what they would let pass.
    async fn publish(&mut self, replayed: &Replayed) -> Result<(), QuarantineError> {
        let Portion { lanes, .. } = mem::take(&mut self.portion);
        let mut passing = Vec::with_capacity(lanes.len());
        for (lane, mut messages) in lanes {
            // Which run of ingest they stem from their numbers say, each its own.
            let header = Header {
                id: FrameId::replayed([]),
                kind: Kind::Messages,
                lane,
                created_at: clock::now(),
                epoch: 0,
                trace: None,
            };
            let frame = messages.finish(header)?;
            let trial = Trial::of(&frame, &self.stages.validate, &self.stages.transform)?;
            for frame in &trial.refused {
                let rows = Quarantine::of(frame)?;
                for row in 0..rows.len() {
                    let why = (rows.stage(row).to_owned(), rows.reason(row).to_owned());
                    *self.outcome.refused.entry(why).or_default() += 1;
                }
            }
            passing.extend(trial.passing);
        }
        #[cfg(feature = "sqs")]
        if let (Some(claims), false) = (replayed.claims(), self.options.dry_run) {
            return self.publish_in_steps(passing, (claims, replayed)).await;
        }
        while !passing.is_empty() {
            let rows = passing.iter().map(|frame| frame.rows.num_rows() as u64).sum::<u64>();
            if self.options.dry_run {
                self.outcome.replayed += rows;
                return Ok(());
            }
            match self.commit(&passing, rows).await {
                Ok(()) => {
                    self.outcome.replayed += rows;
                    return Ok(());
                }
                Err(QuarantineError::Queue(QueueError::Replayed { .. })) => {
                    passing = waiting(&passing, replayed).await?;
                    let left = passing.iter().map(|frame| frame.rows.num_rows() as u64).sum::<u64>();
                    self.outcome.before += rows - left;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Publishes frames and remembers their messages, in one transaction; waits while the queue is full.
    async fn commit(&mut self, frames: &[Frame], rows: u64) -> Result<(), QuarantineError> {
        let (mut commit, mut names) = (Commit::default(), Vec::new());
        for frame in frames {
            commit.publish.push(Publish { queue: QueueName::Validate, frame: EncodedFrame::of(frame)? });
            names.extend(messages_of(frame)?);
        }
        commit.counts = vec![(STAGE, Counts { consumed: rows, produced: rows, ..Counts::default() })];
        let queues = self.queues.embedded("quarantine replay")?;
        let names = Arc::new(names);
        let work = move |connection: &Connection| remember(connection, &names);
        let mut committed = Box::pin(queues.commit_with(commit, Turn::Common, work));
        if let Ok(committed) = timeout(PATIENCE, &mut committed).await {
            committed?;
        } else {
            (self.waits)();
            committed.await?;
        }
        fail_point!("replay_committed");
        Ok(())
    }

    /// Waits until the rate allows more.
    async fn pace(&self, began: Instant) {
        if let Some(millis) = (self.outcome.replayed * 1000).checked_div(self.options.rate)
            && !self.options.dry_run
        {
            sleep_until(began + Duration::from_millis(millis)).await;
        }
    }
}

/// The number of each message, and how often it has come back with this frame.
fn messages_of(frame: &Frame) -> Result<Vec<(u64, u32)>, QuarantineError> {
    let messages = Messages::of(frame)?;
    Ok((0..messages.len()).map(|row| (messages.message(row), messages.replays(row))).collect())
}

/// What nobody has replayed meanwhile.
async fn waiting(frames: &[Frame], replayed: &Replayed) -> Result<Vec<Frame>, QuarantineError> {
    let mut waiting = Vec::with_capacity(frames.len());
    for frame in frames {
        let messages: Vec<u64> = messages_of(frame)?.into_iter().map(|(message, _)| message).collect();
        let counts = replayed.of(messages.clone()).await?;
        let counts: HashMap<u64, u32> = messages.into_iter().zip(counts).collect();
        let waits = |message, replays| counts.get(&message).is_none_or(|count| *count < replays);
        waiting.extend(replay::keep(frame, waits)?);
    }
    Ok(waiting)
}
