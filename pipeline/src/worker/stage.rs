//! A worker task of a hop.

mod advance;

use std::{collections::BTreeMap, panic::resume_unwind, slice, sync::Arc, time::Duration};

use stages::{frame::Lane, hop::Hop};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};
use tracing::{error, warn};

use super::{
    Flow, Forgotten, Leases, QueueTrouble,
    hop::SharedHop,
    turnstile::{Found, Turnstile},
};
use crate::{
    error::Class,
    notify::Recipients,
    pause::spread,
    queue::{Delivery, Holder, QueueError, Queues, ReceiveLimits, Verdict},
    route,
    state::StateStore,
};

/// What a task takes at once: enough to amortise a commit, little enough to go on soon.
const RUN_FRAMES: usize = 64;
const RUN_BYTES: usize = 1 << 20;
/// As much as one request brings that is paid for.
const RUN_FRAMES_PAID: usize = 10;
/// How often a hop looks whether the queues within it are dry.
const INNER_POLL: Duration = Duration::from_millis(20);
/// How long to wait before another try: at first, and at most.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// One task of a hop, mostly of one stage. Several share the lanes; each lane is one task's at a time.
#[derive(Clone)]
pub struct StageWorker {
    /// The stages of the run in hand.
    hop: Hop,
    /// The same as others share them, with those of the next run.
    shared: SharedHop,
    queues: Queues,
    state: StateStore,
    max_attempts: u32,
    recipients: Recipients,
    turnstile: Arc<Turnstile>,
    forgotten: Forgotten,
    flow: Flow,
    trouble: QueueTrouble,
    stop: watch::Receiver<bool>,
}

/// How a run is planned.
#[derive(Debug, Clone, Copy)]
enum Manner {
    /// Its frames as one.
    Joined,
    /// Each frame in halves, down to the rows that fail.
    InPieces {
        /// How often they have failed, for their dead letters.
        attempts: u32,
    },
}

/// What became of a run.
enum Outcome {
    /// Nothing more can be done for it.
    Ended(End),
    /// Planning or publishing it fails, and will again.
    Failed(String),
}

/// How a worker is done with frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    /// All are settled.
    Settled,
    /// Some could not be, and may be leased to it for a while yet. What stands behind them in their lane must not be
    /// handed to the same holder before them.
    Abandoned,
}

impl StageWorker {
    /// A task of a hop that works until `stop` turns true. Before each run it goes over to the stages that are then in
    /// force. Clones of it share the state of lanes.
    pub fn new(
        shared: SharedHop,
        queues: Queues,
        state: StateStore,
        max_attempts: u32,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let (hop, recipients) = (shared.in_force(), Recipients::default());
        let turnstile = Arc::new(Turnstile::new(queues.capabilities().is_paid));
        let (forgotten, flow) = (Forgotten::default(), Flow::default());
        let trouble = QueueTrouble::new(hop.first().name());
        Self {
            hop,
            shared,
            queues,
            state,
            max_attempts,
            recipients,
            turnstile,
            forgotten,
            flow,
            trouble,
            stop,
        }
    }

    /// The same, but it has these told of alerts.
    pub fn telling(self, recipients: Recipients) -> Self {
        Self { recipients, ..self }
    }

    /// The same, but what its memory of repeats had to forget early is added there.
    pub fn counting(self, forgotten: Forgotten) -> Self {
        Self { forgotten, ..self }
    }

    /// The same, but the ticker hears there of the frames that come.
    pub fn feeding(self, flow: Flow) -> Self {
        Self { flow, ..self }
    }

    /// Works until it is told to stop, and finishes what is in hand.
    ///
    /// # Errors
    /// Only what will not work again in this process.
    pub async fn run(mut self) -> Result<(), QueueError> {
        let (mut holder, mut stop) = (self.queues.holder(), self.stop.clone());
        let mut leases = Leases::new(self.queues.clone());
        let mut tries = 0;
        while !*stop.borrow_and_update() {
            let received = tokio::select! {
                received = self.receive(holder) => received,
                _ = stop.changed() => continue,
            };
            let (received, found) = match received {
                Ok(received) => received,
                Err(error) => {
                    self.wait_for_world(&mut tries, error).await?;
                    continue;
                }
            };
            tries = 0;
            let began_at = Instant::now();
            received.iter().for_each(|delivery| leases.hold(delivery.receipt.clone()));
            self.hop = self.shared.in_force();
            if leases.keep(self.work_lanes(received)).await? == End::Abandoned {
                holder = self.queues.holder();
            }
            leases.clear();
            self.turnstile.worked(found, began_at.elapsed());
        }
        Ok(())
    }

    /// Deals with the runs of several lanes at once, so that they share a commit.
    pub(super) async fn work_lanes(&self, received: Vec<Delivery>) -> Result<End, QueueError> {
        let mut lanes: BTreeMap<Lane, Vec<Delivery>> = BTreeMap::new();
        for delivery in received {
            lanes.entry(delivery.frame.lane).or_default().push(delivery);
        }
        let mut at_work = JoinSet::new();
        for run in lanes.into_values() {
            let worker = self.clone();
            at_work.spawn(async move { worker.work(run).await });
        }
        let mut end = End::Settled;
        while let Some(done) = at_work.join_next().await {
            end = end.max(done.unwrap_or_else(|error| resume_unwind(error.into_panic()))?);
        }
        Ok(end)
    }

    async fn receive(&self, holder: Holder) -> Result<(Vec<Delivery>, Found), QueueError> {
        let kept = self.queues.capabilities();
        let (frames, bytes) =
            if kept.is_paid { (RUN_FRAMES_PAID, usize::MAX) } else { (RUN_FRAMES, RUN_BYTES) };
        let limits = ReceiveLimits { frames, bytes, wait: kept.wait() };
        let turn = self.turnstile.turn().await;
        let received = self.queues.receive_runs(route::before(self.hop.first()), holder, limits).await?;
        let found = Found::of(&received, limits);
        turn.ended(found);
        Ok((received, found))
    }

    /// Deals with a run of one lane: joined; frame by frame when that fails; and a frame that fails too
    /// often in pieces, so that only the rows at fault become dead letters.
    async fn work(&self, run: Vec<Delivery>) -> Result<End, QueueError> {
        if !self.wait_for_inner(&run).await? {
            return Ok(End::Abandoned);
        }
        if let Outcome::Ended(end) = self.advance(&run, Manner::Joined).await? {
            return Ok(end);
        }
        let (ordered, mut all) = (route::before(self.hop.first()).is_ordered(), End::Settled);
        let mut rest = run.into_iter();
        while let Some(delivery) = rest.next() {
            let attempts = delivery.attempts + 1;
            let (end, again) = self.work_alone(delivery, attempts).await?;
            all = all.max(end);
            // What stands behind it went back with it, or must not overtake it.
            if ordered && (again || end == End::Abandoned) {
                rest.for_each(|behind| behind.receipt.let_go());
                break;
            }
        }
        Ok(all)
    }

    /// Waits until what stood in the queues within the hop when the run was there has left them: it comes before the run in
    /// the order of the lane. False when the worker was stopped first.
    ///
    /// Others put frames there: who ran these stages alone, before or in another process, and who requeues dead letters.
    async fn wait_for_inner(&self, run: &[Delivery]) -> Result<bool, QueueError> {
        let Some(lane) = run.first().map(|delivery| delivery.frame.lane) else { return Ok(true) };
        let (mut stop, mut tries) = (self.stop.clone(), 0);
        for queue in self.hop.rest().iter().map(route::before) {
            let mut until = None;
            loop {
                match self.queues.last_place(queue, lane, until).await {
                    Ok(None) => break,
                    Ok(last) => until = until.or(last),
                    Err(error) => self.wait_for_world(&mut tries, error).await?,
                }
                if *stop.borrow_and_update() {
                    return Ok(false);
                }
                tokio::select! {
                    () = sleep(INNER_POLL) => {}
                    _ = stop.changed() => {}
                }
            }
        }
        Ok(true)
    }

    /// Deals with one frame. Answers also whether it was put off.
    async fn work_alone(&self, delivery: Delivery, attempts: u32) -> Result<(End, bool), QueueError> {
        let alone = slice::from_ref(&delivery);
        let reason = match self.advance(alone, Manner::Joined).await? {
            Outcome::Ended(end) => return Ok((end, false)),
            Outcome::Failed(reason) => reason,
        };
        if attempts < self.max_attempts {
            return Ok((self.retry(delivery, attempts, reason).await?, true));
        }
        match self.advance(alone, Manner::InPieces { attempts }).await? {
            Outcome::Ended(end) => Ok((end, false)),
            Outcome::Failed(reason) => Ok((self.give_up(delivery, attempts, reason).await?, false)),
        }
    }

    async fn retry(&self, delivery: Delivery, attempts: u32, reason: String) -> Result<End, QueueError> {
        let (stage, frame) = (self.hop.first().name(), delivery.frame.id);
        warn!(stage, %frame, attempts, reason, "a frame failed and is tried again");
        self.settle(delivery, Verdict::Retry(backoff(attempts))).await
    }

    async fn give_up(&self, delivery: Delivery, attempts: u32, reason: String) -> Result<End, QueueError> {
        let (stage, frame) = (self.hop.first().name(), delivery.frame.id);
        error!(stage, %frame, attempts, reason, "a frame failed too often: it is now a dead letter");
        self.settle(delivery, Verdict::Dead(reason)).await
    }

    async fn settle(&self, delivery: Delivery, verdict: Verdict) -> Result<End, QueueError> {
        let answers = self.queues.settle(vec![(delivery.receipt, verdict)]).await;
        match answers.into_iter().collect::<Result<(), _>>() {
            Ok(()) => Ok(End::Settled),
            Err(error) if error.class() == Class::Fatal => Err(error),
            // It comes again when its lease ends.
            Err(_) => Ok(End::Abandoned),
        }
    }

    /// Waits before another try of what may work later; says so once, until a commit works again.
    async fn wait_for_world(&self, tries: &mut u32, error: QueueError) -> Result<(), QueueError> {
        if error.class() != Class::Retry {
            return Err(error);
        }
        self.trouble.tell(&error);
        *tries += 1;
        sleep(spread(backoff(*tries))).await;
        Ok(())
    }
}

fn backoff(tries: u32) -> Duration {
    (BACKOFF_MIN * 2_u32.saturating_pow(tries.saturating_sub(1).min(16))).min(BACKOFF_MAX)
}
