//! The store worker: collects frames, and now and then rolls them into files.

mod held;
mod receive;
#[cfg(test)]
mod tests;

use std::{collections::HashSet, mem, sync::Arc, time::Duration};

use stages::{
    frame::FrameError,
    plan::Counts,
    store::{self, Granularity},
};
use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{Instant, sleep},
};
use tracing::{error, info, warn};

use self::held::{Held, decode};
use super::{
    Lake, LakeError,
    collection::{Collection, GroupKey},
    intents::{Claim, Intents, Looked, Past},
    roll::{self, Roll},
};
use crate::{
    clock,
    error::Class,
    failpoint::fail_point,
    pause::spread,
    queue::{Delivery, Holder, QueueError, Queues, Receipt, Verdict},
    worker::{Leases, QueueTrouble},
};

/// How long to wait before a failed roll is tried again: at first, and at most.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// So many frames are held at the most where each is extended by a request that others share: all must be before leases end.
const HELD_FRAMES_PAID: usize = 2000;

/// When the store worker rolls.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// How much time a directory of the lake holds.
    pub granularity: Granularity,
    /// Rows after which it rolls.
    pub rows_max: usize,
    /// Bytes in memory after which it rolls.
    pub bytes_max: usize,
    /// The age of the oldest row at which it rolls.
    pub age: Duration,
    /// What that age grows to while little comes in: it doubles with each roll that was not full.
    pub age_max: Duration,
}

/// What the worker is to do with what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Collect until a file is worth writing.
    Collect,
    /// Write what is there as soon as the queue is empty.
    Flush,
    /// Write what is in hand, then end.
    Stop,
}

/// The store worker: one per process.
pub struct Store {
    lake: Lake,
    queues: Queues,
    intents: Intents,
    options: StoreOptions,
    mode: watch::Receiver<Mode>,
    holder: Holder,
    leases: Leases,
    collection: Collection,
    /// Rows of the frames held, those included that an interrupted roll had written.
    rows: u64,
    /// The age at which the next roll is due, and when that is.
    age: Duration,
    due: Option<Instant>,
    /// When the queue is to be looked at again.
    opens_at: Instant,
    trouble: QueueTrouble,
}

impl Store {
    /// A worker that takes from the `store` queue and writes into `lake`, and has its intents where it can.
    pub fn new(
        lake: Lake,
        queues: Queues,
        intents: Intents,
        options: StoreOptions,
        mode: watch::Receiver<Mode>,
    ) -> Self {
        let (holder, leases, age) = (queues.holder(), Leases::new(queues.clone()), options.age);
        let (collection, rows, due) = (Collection::default(), 0, None);
        let opens_at = Instant::now();
        let trouble = QueueTrouble::new(store::STAGE);
        Self {
            lake,
            queues,
            intents,
            options,
            mode,
            holder,
            leases,
            collection,
            rows,
            age,
            due,
            opens_at,
            trouble,
        }
    }

    /// Works until the mode is [`Mode::Stop`].
    ///
    /// # Errors
    /// Only what will not work again in this process.
    pub async fn run(mut self) -> Result<(), LakeError> {
        while *self.mode.borrow_and_update() != Mode::Stop {
            let deliveries = self.receive().await?;
            let idle = deliveries.is_empty();
            self.leases.extend_if_due().await;
            if self.leases.has_lost() {
                // What was just received is none of it, even if it was before.
                self.let_go().await?;
            }
            self.admit(deliveries).await?;
            if self.is_full() {
                self.age = self.options.age;
                self.roll().await?;
            } else if self.is_due(idle) {
                self.age = (self.age * 2).min(self.options.age_max);
                self.roll().await?;
            }
        }
        if !self.collection.is_empty() {
            self.roll().await?;
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        let Collection { rows, bytes, ref frames, .. } = self.collection;
        let most = if self.queues.capabilities().is_paid { HELD_FRAMES_PAID } else { usize::MAX };
        rows >= self.options.rows_max || bytes >= self.options.bytes_max || frames.len() >= most
    }

    fn is_due(&self, idle: bool) -> bool {
        let flush = *self.mode.borrow() != Mode::Collect;
        let aged = self.due.is_some_and(|due| Instant::now() >= due);
        !self.collection.is_empty() && (aged || (idle && flush))
    }

    /// Takes rows into the collection, but for those that an interrupted roll has written.
    async fn admit(&mut self, deliveries: Vec<Delivery>) -> Result<(), LakeError> {
        if deliveries.is_empty() {
            return Ok(());
        }
        let wait = if deliveries.iter().any(|delivery| delivery.suspect) { Duration::ZERO } else { self.age };
        let (frames, refused) = spawn_blocking(move || decode(deliveries)).await?;
        self.refuse(refused).await?;
        for held in &frames {
            self.leases.hold(held.receipt.clone());
        }
        let past = self.past(&frames).await?;
        let frames = self.unfinished(frames.into_iter().zip(past)).await?;
        let mut collection = mem::take(&mut self.collection);
        let collected = spawn_blocking(move || {
            let mut known: HashSet<_> = collection.frames.iter().map(|claim| claim.frame).collect();
            let mut taken = 0;
            for (Held { frame, key, .. }, Past { written, rolls, .. }) in frames {
                // Twice in the queue it is one frame all the same: settled with the other, its rows are there once.
                if known.insert(frame.header.id) {
                    taken += frame.rows.num_rows() as u64;
                    let rows = store::without_written(key.dataset, &frame.rows, &written)?;
                    collection.add(Claim { frame: frame.header.id, rolls }, key, rows)?;
                }
            }
            Ok::<_, FrameError>((collection, taken))
        });
        let (collection, taken) = collected.await??;
        (self.collection, self.rows) = (collection, self.rows + taken);
        if self.collection.is_empty() {
            return Ok(());
        }
        let due = Instant::now() + wait;
        self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
        Ok(())
    }

    /// Settles those frames whose rows are in the lake and counted; the others are left.
    async fn unfinished(
        &mut self,
        frames: impl Iterator<Item = (Held, Past)>,
    ) -> Result<Vec<(Held, Past)>, LakeError> {
        let (finished, left): (Vec<_>, Vec<_>) = frames.partition(|(_, past)| past.finished);
        for (Held { receipt, .. }, _) in &finished {
            self.leases.release(receipt);
        }
        let done = finished.into_iter().map(|(held, _)| (held.receipt, Verdict::Done));
        self.settle(done.collect()).await?;
        Ok(left)
    }

    async fn refuse(&self, refused: Vec<(Receipt, String)>) -> Result<(), LakeError> {
        for (receipt, reason) in refused {
            warn!(frame = %receipt.frame(), reason, "store cannot read a frame; it is now a dead letter");
            self.settle(vec![(receipt, Verdict::Dead(reason))]).await?;
        }
        Ok(())
    }

    /// What cannot be settled now comes again when its lease ends.
    async fn settle(&self, verdicts: Vec<(Receipt, Verdict)>) -> Result<(), LakeError> {
        if verdicts.is_empty() {
            return Ok(());
        }
        for answer in self.queues.settle(verdicts).await {
            answer.or_else(|error| if error.class() == Class::Fatal { Err(error) } else { Ok(()) })?;
        }
        Ok(())
    }

    /// What became of each frame, once the interrupted rolls that it was part of are resolved.
    async fn past(&mut self, frames: &[Held]) -> Result<Vec<Past>, LakeError> {
        let mut backoff = BACKOFF_MIN;
        let asked: Vec<_> = frames.iter().map(|held| (held.frame.header.id, held.key)).collect();
        loop {
            match self.intents.look(&asked).await {
                Err(error) if error.class() == Class::Retry => self.back_off(&mut backoff, &error).await,
                Err(error) => return Err(error),
                Ok(Looked::Past(past)) => return Ok(past),
                Ok(Looked::Interrupted(interrupted)) => {
                    info!(
                        roll = interrupted.roll,
                        "a worker was interrupted while it wrote; its files are looked through"
                    );
                    match roll::resolve(&self.lake, &self.intents, interrupted).await {
                        Err(error) if error.class() == Class::Retry => {
                            self.back_off(&mut backoff, &error).await;
                        }
                        resolved => drop(resolved?),
                    }
                }
            }
        }
    }

    /// Writes everything held into the lake, however long it takes.
    async fn roll(&mut self) -> Result<(), LakeError> {
        let mut backoff = BACKOFF_MIN;
        while let Err(failure) = self.try_roll(&mut backoff).await {
            match failure {
                Failure::Again(LakeError::Queue(QueueError::Lost { .. })) => {
                    warn!("frames were lost while they were written: who has them now goes on with them");
                    return self.let_go().await;
                }
                Failure::Again(LakeError::Queue(error)) if error.class() == Class::Fatal => {
                    return Err(error.into());
                }
                Failure::Again(error) => self.back_off(&mut backoff, &error).await,
                Failure::Abandoned(error) => {
                    error!(%error, "rows could not be written: their frames go back to the queue");
                    return self.let_go().await;
                }
            }
        }
        self.forget();
        Ok(())
    }

    /// Gives back, uncounted, what is still its own of frames of which some are lost: all are handed out again, to
    /// whoever asks next.
    async fn let_go(&mut self) -> Result<(), LakeError> {
        let held = self.leases.held().iter().cloned();
        let back = held.map(|receipt| (receipt, Verdict::Later(Duration::ZERO))).collect();
        self.forget();
        self.settle(back).await
    }

    fn forget(&mut self) {
        self.leases.clear();
        self.collection = Collection::default();
        (self.rows, self.due) = (0, None);
    }

    /// Waits before the lake is tried again, and says why the first time.
    async fn back_off(&mut self, backoff: &mut Duration, error: &LakeError) {
        if *backoff == BACKOFF_MIN {
            error!(%error, "the lake cannot be written: rows stay queued, and it is tried again");
        }
        self.lake.meters().troubled(Some(error.to_string()));
        self.leases.keep(sleep(spread(*backoff))).await;
        *backoff = (*backoff * 2).min(BACKOFF_MAX);
    }

    async fn try_roll(&mut self, backoff: &mut Duration) -> Result<(), Failure> {
        let (granularity, now) = (self.options.granularity, clock::now());
        let collection = mem::take(&mut self.collection);
        let planned = spawn_blocking(move || Roll::plan(collection, granularity, now));
        let roll = self.leases.keep(planned).await.map_err(LakeError::from);
        let roll = roll.and_then(|planned| Ok(Arc::new(planned?))).map_err(Failure::Abandoned)?;
        let receipts = self.leases.held().to_vec();
        // Once they are settled all their rows are in the lake, whoever wrote them.
        let counts = Counts { consumed: self.rows, produced: self.rows, ..Counts::default() };
        let write = async {
            let (staging, lake) = (Arc::clone(&roll), self.lake.clone());
            let staging = spawn_blocking(move || staging.stage(&lake)).await??;
            fail_point!("intent_before");
            roll.open(&self.intents, &receipts).await?;
            fail_point!("intent_after");
            let (writing, lake) = (Arc::clone(&roll), self.lake.clone());
            spawn_blocking(move || writing.write(&lake, staging)).await??;
            fail_point!("settle_before");
            roll.settle(&self.intents, &receipts, counts).await?;
            fail_point!("settle_after");
            Ok(())
        };
        let Err(error) = self.leases.keep(write).await else {
            if self.lake.meters().troubled(None) {
                info!("the lake can be written again");
            }
            return Ok(());
        };
        self.collection = self.take_back(&roll, backoff).await.map_err(Failure::Abandoned)?;
        Err(Failure::Again(error))
    }

    /// The rows of a failed roll that are not in the lake, as soon as it can be told which these are. Until then
    /// the frames are held: each lease that ran out would make them look as if they brought their holders down.
    async fn take_back(&mut self, roll: &Arc<Roll>, backoff: &mut Duration) -> Result<Collection, LakeError> {
        loop {
            let left = roll.give_up(&self.lake, &self.intents);
            match self.leases.keep(left).await {
                Err(error) if error.class() == Class::Retry => self.back_off(backoff, &error).await,
                left => return left,
            }
        }
    }
}

/// Why a roll did not come to its end.
enum Failure {
    /// The collection holds what is not in the lake yet.
    Again(LakeError),
    /// The rows in memory are gone; those in the queue are not.
    Abandoned(LakeError),
}
