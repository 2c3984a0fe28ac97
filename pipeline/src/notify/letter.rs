//! Alerts on their way to a webhook: from a delivery of the queue to what became of it.

use std::{mem, panic::resume_unwind, sync::Arc, time::Duration};

use stages::frame::{Alerts, FrameError, FrameId};
use tokio::task::JoinSet;

use super::{
    body::Body,
    webhook::{Failure, Webhook},
};
use crate::queue::{Delivery, Receipt};

/// One alert on its way to the webhook.
pub(super) struct Letter {
    pub(super) receipt: Receipt,
    pub(super) attempts: u32,
    pub(super) alert: String,
    pub(super) rule: String,
    pub(super) device: String,
    key: String,
    body: String,
}

/// A letter, and what became of it.
pub(super) type Outcome = (Letter, Sent);

/// What became of a letter in a round.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// The webhook has it.
    Taken,
    /// It was sent in vain.
    Refused(Failure),
    /// The one before it was sent in vain, so it was not sent at all.
    Not,
}

impl Sent {
    /// Whether somebody has looked at the alert.
    pub(super) fn is_answer(&self) -> bool {
        match self {
            Self::Taken => true,
            Self::Refused(failure) => failure.answered,
            Self::Not => false,
        }
    }

    /// For how long the webhook asks to be left alone.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(failure) => failure.retry_after,
            Self::Taken | Self::Not => None,
        }
    }
}

impl Letter {
    /// The letter in a delivery.
    ///
    /// # Errors
    /// When its frame is not one of a single alert.
    pub(super) fn of(delivery: &Delivery) -> Result<Self, FrameError> {
        let frame = delivery.frame.bytes.frame()?;
        let alerts = Alerts::of(&frame)?;
        if alerts.len() != 1 {
            return Err(FrameError::Batches);
        }
        let row = alerts.get(0);
        let key = row.key();
        let body = serde_json::to_string(&Body::of(&row, &key)).map_err(|_| FrameError::Damaged)?;
        Ok(Self {
            receipt: delivery.receipt.clone(),
            attempts: delivery.attempts,
            alert: row.alert.to_owned(),
            rule: row.rule.to_owned(),
            device: row.device_id.to_owned(),
            key,
            body,
        })
    }

    pub(super) fn frame(&self) -> FrameId {
        self.receipt.frame()
    }
}

/// Sends all chains at once, each in its order; they come back in theirs.
pub(super) async fn deliver_all(webhook: &Arc<Webhook>, chains: Vec<Vec<Letter>>) -> Vec<Vec<Outcome>> {
    let mut at_work = JoinSet::new();
    for chain in chains {
        at_work.spawn(deliver(Arc::clone(webhook), chain));
    }
    let mut done = Vec::new();
    while let Some(ended) = at_work.join_next().await {
        done.push(ended.unwrap_or_else(|error| resume_unwind(error.into_panic())));
    }
    done
}

/// Sends the transitions of one alert; when one is not taken, those after it are not sent.
async fn deliver(webhook: Arc<Webhook>, chain: Vec<Letter>) -> Vec<Outcome> {
    let mut outcomes: Vec<Outcome> = Vec::with_capacity(chain.len());
    for mut letter in chain {
        let sent = match outcomes.last() {
            None | Some((_, Sent::Taken)) => {
                match webhook.post(&letter.key, mem::take(&mut letter.body)).await {
                    Ok(()) => Sent::Taken,
                    Err(failure) => Sent::Refused(failure),
                }
            }
            Some(_) => Sent::Not,
        };
        outcomes.push((letter, sent));
    }
    outcomes
}
