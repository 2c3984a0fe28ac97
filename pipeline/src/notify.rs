//! notify: delivers alerts to webhooks, each transition at least once and with a key that tells repeats.
//!
//! The worker of alert publishes, in the same transaction as everything else, a frame of one row for each
//! transition and each webhook that asks for it ([`Recipients`]). The lanes of the queue `notify` are webhooks,
//! and each has a worker that receives only its own lane: one that takes nothing holds up no other.
//!
//! The transitions of one alert reach a webhook in their order, as long as one process runs notify. So it is
//! after a crash: a start begins anew with the oldest that was not taken.

mod backoff;
mod body;
mod config;
mod letter;
mod recipients;
mod turns;
mod webhook;
mod worker;

use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
};
use tracing::{info, warn};

pub(crate) use self::webhook::address;
use self::worker::{Mode, Worker};
pub use self::{
    config::{NotifyConfig, Text, Transition, WebhookConfig},
    recipients::Recipients,
    webhook::Webhook,
};
use crate::{
    config::Config,
    queue::{QueueError, QueueName, Queues},
    worker::QueueTrouble,
};

/// Why the frames of a lane without a webhook are given up.
const STRANGER: &str = "no webhook in the config has the name any more that this alert was meant for";

/// Why alerts are not delivered.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// There is nobody to tell.
    #[error("notify has nothing to do: name a webhook under notify.webhooks")]
    Nobody,
    /// A secret cannot be read.
    #[error("webhook {webhook}: {reason}")]
    Secret {
        /// Which webhook.
        webhook: String,
        /// What is wrong with which file or variable.
        reason: String,
    },
    /// The secret with the address is none.
    #[error("webhook {webhook}: url is no address such as https://host/path")]
    Address {
        /// Which webhook.
        webhook: String,
    },
    /// A header cannot be sent.
    #[error(
        "webhook {webhook}: the header {header} or its value cannot be sent: a value is one line of text"
    )]
    Header {
        /// Which webhook.
        webhook: String,
        /// The name of the header.
        header: String,
    },
    /// The certificates cannot be used.
    #[error("webhook {webhook}: cannot use the certificates in {path}: {reason}")]
    Certificates {
        /// Which webhook.
        webhook: String,
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// TLS cannot be set up.
    #[error("webhook {webhook}: cannot set up HTTP: {source}; ca_file names the certificates to trust")]
    Client {
        /// Which webhook.
        webhook: String,
        /// What the HTTP client says.
        source: reqwest::Error,
    },
    /// The queue cannot be used.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// A worker ended by a bug.
    #[error("a worker of notify ended by a bug in this program: {0}")]
    Bug(#[from] JoinError),
}

/// The workers of all webhooks.
pub struct Notify {
    workers: JoinSet<Result<(), QueueError>>,
    mode: watch::Sender<Mode>,
    queues: Queues,
}

impl Notify {
    /// Starts a worker for each webhook.
    ///
    /// # Errors
    /// [`NotifyError::Nobody`] without webhooks; when one of them cannot be set up, or the queue not be used.
    pub async fn start(config: &Config, queues: Queues) -> Result<Self, NotifyError> {
        let webhooks = &config.topology().notify.webhooks;
        if webhooks.is_empty() {
            return Err(NotifyError::Nobody);
        }
        let open = |webhook| Webhook::open(webhook, config.folder());
        let webhooks: Vec<Webhook> = webhooks.iter().map(open).collect::<Result<_, _>>()?;
        let lanes = webhooks.iter().map(|webhook| webhook.lane).collect();
        let strangers = queues.keep_lanes(QueueName::Notify, lanes, STRANGER.to_owned()).await?;
        if strangers > 0 {
            warn!(
                alerts = strangers,
                "alerts for webhooks that are no more in the config are now dead letters"
            );
        }
        let mode = watch::Sender::new(Mode::Deliver);
        let (mut workers, trouble) = (JoinSet::new(), QueueTrouble::new(recipients::STAGE));
        for webhook in webhooks {
            info!(webhook = webhook.name, to = webhook.place, "notify delivers");
            workers.spawn(Worker::new(webhook, queues.clone(), trouble.clone(), mode.subscribe()).run());
        }
        Ok(Self { workers, mode, queues })
    }

    /// Waits until a worker cannot go on; for ever, if none ever fails.
    pub async fn failed(&mut self) -> NotifyError {
        loop {
            match self.workers.join_next().await {
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(error))) => return error.into(),
                Some(Err(error)) => return error.into(),
                None => std::future::pending().await,
            }
        }
    }

    /// Delivers what can be delivered now, and ends. What webhooks do not take stays queued.
    ///
    /// # Errors
    /// When a worker cannot go on.
    pub async fn flush(mut self) -> Result<(), NotifyError> {
        self.end(Mode::Flush).await?;
        let left = self.queues.depth(QueueName::Notify).await?.frames;
        if left > 0 {
            warn!(alerts = left, "webhooks do not take alerts: these stay queued for the next start");
        }
        Ok(())
    }

    /// Ends after what is in hand.
    ///
    /// # Errors
    /// When a worker cannot go on.
    pub async fn stop(mut self) -> Result<(), NotifyError> {
        self.end(Mode::Stop).await
    }

    async fn end(&mut self, mode: Mode) -> Result<(), NotifyError> {
        self.mode.send_replace(mode);
        while let Some(ended) = self.workers.join_next().await {
            ended??;
        }
        Ok(())
    }
}

/// A transition for tests.
#[cfg(test)]
fn transition<'a>(
    alert: &'a str,
    device_id: &'a str,
    state: &'a str,
    severity: &'a str,
) -> stages::frame::AlertRow<'a> {
    stages::frame::AlertRow {
        alert,
        rule: "too-hot",
        device_id,
        metric: "temperature",
        state,
        severity,
        ts: 1,
        since: 0,
        value: Some(81.0),
        anomaly_score: None,
        condition: "temperature above 80",
        received_at: 2,
        message: 3,
    }
}
