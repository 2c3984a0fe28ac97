//! A worker task of a stage.

use std::{collections::BTreeMap, slice, sync::Arc, time::Duration};

use bytes::Bytes;
use stages::{
    frame::{Alerts, Frame, Lane},
    plan::PlanError,
    stage::Stage,
};
use tokio::{sync::watch, task::spawn_blocking, time::sleep};
use tracing::{error, info, warn};

use super::{
    Leases,
    lanes::{Known, Lanes},
    step::{Step, plan_run},
};
use crate::{
    error::Class,
    queue::{Commit, Delivery, Holder, QueueError, Queues, ReceiveLimits, Verdict},
    state::StateStore,
    topology,
};

/// What a task takes at once: enough to amortise a commit, little enough to go on soon.
const RUN_FRAMES: usize = 64;
const RUN_BYTES: usize = 1 << 20;
const RECEIVE_WAIT: Duration = Duration::from_secs(1);
/// How long to wait before another try: at first, and at most.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// One task of a stage. Several share the lanes; each lane is one task's at a time.
#[derive(Clone)]
pub struct StageWorker {
    stage: Stage,
    queues: Queues,
    state: StateStore,
    max_attempts: u32,
    lanes: Arc<Lanes>,
    stop: watch::Receiver<bool>,
}

/// What became of a run.
enum Outcome {
    /// It is settled, or its leases are gone.
    Settled,
    /// Planning or publishing it fails, and will again.
    Failed(String),
}

impl StageWorker {
    /// A task of `stage` that works until `stop` turns true. Clones of it share the state of lanes.
    pub fn new(
        stage: Stage,
        queues: Queues,
        state: StateStore,
        max_attempts: u32,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self { stage, queues, state, max_attempts, lanes: Arc::default(), stop }
    }

    /// Works until it is told to stop, and finishes what is in hand.
    ///
    /// # Errors
    /// Only what will not work again in this process.
    pub async fn run(self) -> Result<(), QueueError> {
        let (holder, mut stop) = (self.queues.holder(), self.stop.clone());
        let mut leases = Leases::new(self.queues.clone());
        while !*stop.borrow_and_update() {
            let received = tokio::select! {
                received = self.receive(holder) => received,
                _ = stop.changed() => continue,
            };
            for run in runs(received?) {
                run.iter().for_each(|delivery| leases.hold(delivery.receipt.clone()));
                leases.keep(self.work(run)).await?;
                leases.clear();
            }
        }
        Ok(())
    }

    async fn receive(&self, holder: Holder) -> Result<Vec<Delivery>, QueueError> {
        let limits = ReceiveLimits { frames: RUN_FRAMES, bytes: RUN_BYTES, wait: RECEIVE_WAIT };
        self.queues.receive(topology::before(&self.stage), holder, limits).await
    }

    /// Deals with a run of one lane: whole, or frame by frame when it fails as a whole.
    async fn work(&self, run: Vec<Delivery>) -> Result<(), QueueError> {
        if let Outcome::Settled = self.advance(&run).await? {
            return Ok(());
        }
        for delivery in run {
            if let Outcome::Failed(reason) = self.advance(slice::from_ref(&delivery)).await? {
                let given_up = self.settle_failed(delivery, reason).await?;
                if !given_up {
                    // On an ordered queue the frames behind it went back with it.
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Settles a frame that fails on its own; true when it is given up.
    async fn settle_failed(&self, delivery: Delivery, reason: String) -> Result<bool, QueueError> {
        let (stage, frame, attempts) = (self.stage.name(), delivery.frame.id, delivery.attempts + 1);
        let given_up = attempts >= self.max_attempts;
        let verdict = if given_up {
            error!(stage, %frame, attempts, reason, "a frame failed too often: it is now a dead letter");
            Verdict::Dead(reason)
        } else {
            warn!(stage, %frame, attempts, reason, "a frame failed and is tried again");
            Verdict::Retry(backoff(attempts))
        };
        for answer in self.queues.settle(vec![(delivery.receipt, verdict)]).await {
            match answer {
                Err(error) if error.class() == Class::Fatal => return Err(error),
                _ => {}
            }
        }
        Ok(given_up)
    }

    /// Plans a run and commits what comes of it, for as long as only the world stands in the way.
    async fn advance(&self, run: &[Delivery]) -> Result<Outcome, QueueError> {
        let Some(lane) = run.first().map(|delivery| delivery.frame.lane) else { return Ok(Outcome::Settled) };
        let mut tries = 0;
        loop {
            let mut slot = self.lanes.lock(lane).await;
            let known = match slot.take() {
                Some(known) => known,
                None => match self.load(lane).await? {
                    Ok(known) => known,
                    Err(reason) => return Ok(Outcome::Failed(reason)),
                },
            };
            let (known, steps) = match self.plan(known, run).await {
                Ok(planned) => planned,
                Err(reason) => return Ok(Outcome::Failed(reason)),
            };
            match self.commit(run, steps).await {
                Ok(()) => {
                    *slot = Some(known);
                    return Ok(Outcome::Settled);
                }
                Err(QueueError::Lost { .. }) => return Ok(Outcome::Settled),
                // Another process had the lane meanwhile: its changes are loaded on the next round.
                Err(QueueError::Fenced { .. }) => {}
                Err(error) => match error.class() {
                    Class::Fatal => return Err(error),
                    Class::Dead => return Ok(Outcome::Failed(error.to_string())),
                    Class::Retry => {
                        if tries == 0 {
                            warn!(stage = self.stage.name(), %error, "a commit failed and is tried again");
                        }
                        tries += 1;
                        sleep(backoff(tries)).await;
                    }
                },
            }
        }
    }

    async fn load(&self, lane: Lane) -> Result<Result<Known, String>, QueueError> {
        let loaded = self.state.load(self.stage.name(), lane, None).await?;
        let stage = self.stage.clone();
        let restored = spawn_blocking(move || Known::restore(&stage, &loaded)).await;
        Ok(match restored {
            Ok(restored) => restored.map_err(|error| error.to_string()),
            Err(panic) => Err(format!("the state of lane {lane} cannot be restored: {panic}")),
        })
    }

    /// Plans off the runtime's own threads. A panic costs the state in memory, which is loaded anew.
    async fn plan(&self, mut known: Known, run: &[Delivery]) -> Result<(Known, Vec<Step>), String> {
        let stage = self.stage.clone();
        let frames: Vec<Bytes> = run.iter().map(|delivery| delivery.frame.bytes.clone()).collect();
        let planned = spawn_blocking(move || {
            let steps = plan_run(&stage, &mut known, &frames)?;
            Ok((known, steps))
        });
        match planned.await {
            Ok(planned) => planned.map_err(|error: PlanError| error.to_string()),
            Err(panic) => Err(panic.to_string()),
        }
    }

    async fn commit(&self, run: &[Delivery], steps: Vec<Step>) -> Result<(), QueueError> {
        let mut receipts = run.iter().map(|delivery| delivery.receipt.clone());
        let mut alerts = Vec::new();
        let mut commits = Vec::with_capacity(steps.len());
        for mut step in steps {
            alerts.append(&mut step.alerts);
            commits.push(Commit {
                receipts: receipts.by_ref().take(step.frames).collect(),
                publish: step.publish,
                delta: step.delta,
                counts: Some((self.stage.name(), step.counts)),
            });
        }
        self.queues.commit(commits).await.into_iter().collect::<Result<(), _>>()?;
        alerts.iter().for_each(log_alerts);
        Ok(())
    }
}

/// The deliveries of each lane, in order.
fn runs(deliveries: Vec<Delivery>) -> impl Iterator<Item = Vec<Delivery>> {
    let mut lanes: BTreeMap<Lane, Vec<Delivery>> = BTreeMap::new();
    for delivery in deliveries {
        lanes.entry(delivery.frame.lane).or_default().push(delivery);
    }
    lanes.into_values()
}

fn backoff(tries: u32) -> Duration {
    (BACKOFF_MIN * 2_u32.saturating_pow(tries.saturating_sub(1).min(16))).min(BACKOFF_MAX)
}

/// A line per transition: somebody may have to act on it.
fn log_alerts(frame: &Frame) {
    let Ok(alerts) = Alerts::of(frame) else { return };
    for row in 0..alerts.len() {
        let alert = alerts.get(row);
        info!(
            rule = alert.rule,
            device = alert.device_id,
            severity = alert.severity,
            value = alert.value,
            "alert {}: {}",
            alert.state,
            alert.condition
        );
    }
}
