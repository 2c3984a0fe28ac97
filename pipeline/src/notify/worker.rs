//! The worker of one webhook: takes its alerts from the queue in rounds, as many at once as may be on their way.
//!
//! Whoever is behind the webhook may be away, or refuse one alert and take the next. So a round in which nobody
//! answered tells of the webhook: it rests, and begins again with the oldest. Otherwise each alert that failed is
//! put off by itself, and only the transitions of the same alert wait for it.

use std::{mem, sync::Arc, time::Duration};

use stages::plan::Counts;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use tracing::{error, info, warn};

use super::{
    backoff::Backoff,
    letter::{Letter, Outcome, Sent, deliver_all},
    recipients::STAGE,
    turns::{GRACE, Turns},
    webhook::{Failure, Webhook},
};
use crate::{
    error::Class,
    failpoint::fail_point,
    pause::chance,
    queue::{Commit, Delivery, Holder, QueueError, QueueName, Queues, Receipt, ReceiveLimits, Verdict},
    worker::{Leases, QueueTrouble},
};

/// The bytes of a round; one frame is taken however large.
const ROUND_BYTES: usize = 1 << 20;
/// How long to wait before the queue is tried again.
const QUEUE_BACKOFF: Backoff = Backoff { min: Duration::from_millis(50), max: Duration::from_secs(5) };

/// What the workers are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Deliver, for as long as it takes.
    Deliver,
    /// Deliver what can be delivered now, then end.
    Flush,
    /// End after the round in hand.
    Stop,
}

pub(super) struct Worker {
    webhook: Arc<Webhook>,
    queues: Queues,
    mode: watch::Receiver<Mode>,
    holder: Holder,
    turns: Turns,
    /// Rounds in a row in which nobody answered.
    failures: u32,
    /// Whether it has been said that the webhook does not take alerts.
    troubled: bool,
    /// Of the queues, for the workers of all webhooks.
    queue_trouble: QueueTrouble,
}

impl Worker {
    pub(super) fn new(
        webhook: Webhook,
        queues: Queues,
        queue_trouble: QueueTrouble,
        mode: watch::Receiver<Mode>,
    ) -> Self {
        let (webhook, holder, turns) = (Arc::new(webhook), queues.holder(), Turns::default());
        Self { webhook, queues, mode, holder, turns, failures: 0, troubled: false, queue_trouble }
    }

    /// Works until the mode is another than [`Mode::Deliver`], and then as that says.
    ///
    /// # Errors
    /// Only what will not work again in this process.
    pub(super) async fn run(mut self) -> Result<(), QueueError> {
        let mut tries = 0;
        loop {
            let mode = *self.mode.borrow_and_update();
            let wait = match mode {
                Mode::Deliver => self.queues.capabilities().wait(),
                Mode::Flush => Duration::ZERO,
                Mode::Stop => return Ok(()),
            };
            let limits = ReceiveLimits { frames: self.webhook.concurrency, bytes: ROUND_BYTES, wait };
            let received = tokio::select! {
                received =
                    self.queues.receive_lane(QueueName::Notify, self.webhook.lane, self.holder, limits) => received,
                _ = self.mode.changed() => continue,
            };
            let rest = match received {
                Ok(received) if received.is_empty() && mode == Mode::Flush => return Ok(()),
                Ok(received) => {
                    tries = 0;
                    self.round(received).await?
                }
                Err(error) => {
                    if error.class() != Class::Retry {
                        return Err(error);
                    }
                    self.queue_trouble.tell(&error);
                    tries += 1;
                    QUEUE_BACKOFF.after(tries, chance())
                }
            };
            if rest.is_zero() {
                continue;
            }
            if mode == Mode::Flush {
                return Ok(());
            }
            tokio::select! {
                () = sleep(rest) => {}
                // What is left has to wait for another start: nobody answers.
                _ = self.mode.changed() => return Ok(()),
            }
        }
    }

    /// Tries to deliver some alerts, the transitions of one alert one after the other. Answers how long the webhook
    /// is to be left alone.
    async fn round(&mut self, received: Vec<Delivery>) -> Result<Duration, QueueError> {
        let mut leases = Leases::new(self.queues.clone());
        let (mut chains, mut verdicts): (Vec<Vec<Letter>>, Vec<_>) = (Vec::new(), Vec::new());
        for delivery in received {
            let letter = match Letter::of(&delivery) {
                Ok(letter) => letter,
                Err(error) => {
                    let reason = error.to_string();
                    error!(frame = %delivery.frame.id, reason, "notify cannot read a frame; it is now a dead letter");
                    verdicts.push((delivery.receipt, Verdict::Dead(reason)));
                    continue;
                }
            };
            if let Some(wait) = self.turns.wait(&letter.alert, letter.frame(), Instant::now()) {
                verdicts.push((letter.receipt, Verdict::Later(wait)));
                continue;
            }
            leases.hold(letter.receipt.clone());
            match chains.iter_mut().find(|chain| chain.iter().any(|first| first.alert == letter.alert)) {
                Some(chain) => chain.push(letter),
                None => chains.push(vec![letter]),
            }
        }
        fail_point!("webhook_before");
        let chains = leases.keep(deliver_all(&self.webhook, chains)).await;
        let rest = self.rest_after(&chains);
        let answered = chains.iter().flatten().any(|(_, sent)| sent.is_answer());
        if answered {
            fail_point!("webhook_answered");
        }
        let mut delivered = Vec::new();
        for chain in chains {
            verdicts.extend(self.judge(chain, answered, &mut delivered));
        }
        self.tell_of_recovery(!delivered.is_empty(), rest);
        self.settle(delivered, verdicts).await?;
        Ok(rest)
    }

    /// How long the webhook is to be left alone after a round.
    fn rest_after(&mut self, chains: &[Vec<Outcome>]) -> Duration {
        let outcomes = || chains.iter().flatten().map(|(_, sent)| sent);
        let asked = outcomes().filter_map(Sent::retry_after).max();
        if outcomes().next().is_none() {
            return Duration::ZERO;
        }
        if outcomes().any(Sent::is_answer) {
            self.failures = 0;
            return asked.unwrap_or_default();
        }
        self.failures = self.failures.saturating_add(1);
        let rest = self.webhook.backoff.after(self.failures, chance());
        asked.map_or(rest, |asked| asked.max(rest))
    }

    /// The verdicts on the transitions of one alert that were not taken; the others go to `delivered`.
    fn judge(
        &mut self,
        chain: Vec<Outcome>,
        answered: bool,
        delivered: &mut Vec<Receipt>,
    ) -> Vec<(Receipt, Verdict)> {
        let mut verdicts = Vec::new();
        let mut put_off = None;
        for (letter, sent) in chain {
            let failure = match sent {
                Sent::Taken => {
                    self.turns.pass(&letter.alert);
                    delivered.push(letter.receipt);
                    continue;
                }
                // At once where nobody answered, or what was before it is given up.
                Sent::Not => {
                    let after = put_off.map_or(Duration::ZERO, |before| before + GRACE);
                    verdicts.push((letter.receipt, Verdict::Later(after)));
                    continue;
                }
                Sent::Refused(failure) => failure,
            };
            self.tell_of_trouble(&failure);
            let attempts = letter.attempts.saturating_add(1);
            if attempts >= self.webhook.attempts_max {
                self.turns.pass(&letter.alert);
                let reason = self.give_up(&letter, attempts, failure);
                verdicts.push((letter.receipt, Verdict::Dead(reason)));
                continue;
            }
            if answered {
                let after = self.webhook.backoff.after(attempts, chance());
                self.turns.put_off(&letter.alert, letter.frame(), after, Instant::now());
                put_off = Some(after);
            }
            verdicts.push((letter.receipt, Verdict::Retry(put_off.unwrap_or_default())));
        }
        verdicts
    }

    /// Says why an alert becomes a dead letter, which carries the reason.
    fn give_up(&self, letter: &Letter, attempts: u32, failure: Failure) -> String {
        let (webhook, Failure { reason, .. }) = (&self.webhook.name, failure);
        let (rule, device) = (&letter.rule, &letter.device);
        error!(webhook, rule, device, attempts, reason, "an alert was not taken: it is now a dead letter");
        format!("webhook {webhook} did not take it in {attempts} attempts: {reason}")
    }

    /// Once, until the webhook takes alerts again.
    fn tell_of_trouble(&mut self, failure: &Failure) {
        if !mem::replace(&mut self.troubled, true) {
            let (webhook, reason) = (&self.webhook.name, &failure.reason);
            warn!(webhook, reason, "a webhook does not take an alert; it is tried again");
        }
    }

    fn tell_of_recovery(&mut self, delivered: bool, rest: Duration) {
        if self.troubled && delivered && rest.is_zero() && self.turns.is_empty() {
            self.troubled = false;
            info!(webhook = self.webhook.name, "a webhook takes alerts again");
        }
    }

    async fn settle(
        &self,
        delivered: Vec<Receipt>,
        verdicts: Vec<(Receipt, Verdict)>,
    ) -> Result<(), QueueError> {
        let counts = Counts { consumed: 1, produced: 1, ..Counts::default() };
        let one =
            |receipt| Commit { receipts: vec![receipt], counts: vec![(STAGE, counts)], ..Commit::default() };
        let mut answers = Vec::new();
        if !delivered.is_empty() {
            answers.extend(self.queues.commit(delivered.into_iter().map(one).collect()).await);
        }
        if !verdicts.is_empty() {
            answers.extend(self.queues.settle(verdicts).await);
        }
        if answers.iter().any(Result::is_ok) {
            self.queue_trouble.is_over();
        }
        for error in answers.into_iter().filter_map(Result::err) {
            match error.class() {
                Class::Fatal => return Err(error),
                // What cannot be settled now comes again when its lease ends.
                Class::Retry => self.queue_trouble.tell(&error),
                Class::Dead => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
