//! The part `notify` of the config.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stages::{alert::Severity, frame::Lane};

use crate::config::{Secret, SecretText};

/// Who is told of alerts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NotifyConfig {
    /// The bytes of alerts that may wait for webhooks; at this limit the oldest of the webhook that has the most
    /// become dead letters, and nothing else waits.
    #[schemars(range(min = 65_536))]
    pub queue_bytes_max: u64,
    /// The bytes of dead letters of alerts; at this limit the oldest are dropped. The alerts are in the lake all the same.
    #[schemars(range(min = 65_536))]
    pub dead_bytes_max: u64,
    /// Each gets every alert that it asks for.
    #[schemars(length(max = 64))]
    pub webhooks: Vec<WebhookConfig>,
}

impl Default for NotifyConfig {
    fn default() -> Self {
        Self { queue_bytes_max: 64 << 20, dead_bytes_max: 64 << 20, webhooks: Vec::new() }
    }
}

/// An address that takes alerts as HTTP POST requests with JSON bodies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Names the webhook in logs, and its alerts in the queue; unique.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Where to send to, `http://` or `https://`.
    pub url: Text,
    /// Headers to send beside the usual ones.
    #[serde(default)]
    pub headers: BTreeMap<String, Text>,
    /// The value of the header `Authorization`, such as `Bearer …`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<Secret>,
    /// A file of certificates (PEM): then only what these have signed is trusted, instead of what this machine
    /// trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Which alerts are sent: those of this severity, and worse ones.
    #[serde(default = "least")]
    pub severity_at_least: Severity,
    /// Which transitions are sent.
    #[serde(default = "Transition::all")]
    #[schemars(length(min = 1))]
    pub states: Vec<Transition>,
    /// How long an answer may take, in seconds.
    #[serde(default = "WebhookConfig::timeout_secs")]
    #[schemars(range(min = 1, max = 300))]
    pub timeout_secs: u32,
    /// How often an alert is sent in vain before it becomes a dead letter.
    #[serde(default = "WebhookConfig::attempts_max")]
    #[schemars(range(min = 1, max = 100_000))]
    pub attempts_max: u32,
    /// How long to wait before the second attempt, in seconds; the wait doubles with each attempt.
    #[serde(default = "WebhookConfig::backoff_secs_min")]
    #[schemars(range(min = 1, max = 86_400))]
    pub backoff_secs_min: u32,
    /// Up to how many seconds that wait grows.
    #[serde(default = "WebhookConfig::backoff_secs_max")]
    #[schemars(range(min = 1, max = 86_400))]
    pub backoff_secs_max: u32,
    /// How long a webhook may ask to be left alone, by `Retry-After`, in seconds.
    #[serde(default = "WebhookConfig::retry_after_secs_max")]
    #[schemars(range(max = 86_400))]
    pub retry_after_secs_max: u32,
    /// How many alerts may be on their way at once.
    #[serde(default = "WebhookConfig::concurrency_max")]
    #[schemars(range(min = 1, max = 256))]
    pub concurrency_max: u16,
}

impl WebhookConfig {
    /// The lane of the queue `notify` in which the alerts for this webhook stand; it hangs on the name alone.
    pub fn lane(&self) -> Lane {
        Lane::of(&self.name, u16::MAX)
    }

    fn timeout_secs() -> u32 {
        10
    }

    fn attempts_max() -> u32 {
        100
    }

    fn backoff_secs_min() -> u32 {
        1
    }

    fn backoff_secs_max() -> u32 {
        60
    }

    fn retry_after_secs_max() -> u32 {
        600
    }

    fn concurrency_max() -> u16 {
        8
    }
}

fn least() -> Severity {
    Severity::Info
}

/// Text in the topology, or a secret that is kept elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Text {
    /// The text itself.
    Plain(String),
    /// Where it is kept.
    Kept(Secret),
}

impl Text {
    /// The text, wherever it stands; `folder` is that of the topology file.
    ///
    /// # Errors
    /// What is wrong with which file or variable.
    pub fn read(&self, folder: &std::path::Path) -> Result<SecretText, String> {
        match self {
            Self::Plain(text) => Ok(SecretText::from(text.clone())),
            Self::Kept(secret) => secret.read(folder),
        }
    }
}

/// What may become of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Transition {
    /// Its condition has held for long enough.
    Firing,
    /// Its condition holds no more.
    Resolved,
    /// Nothing more was heard of it.
    Expired,
}

impl Transition {
    /// The state of alerts in frames and in the lake.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
            Self::Expired => "expired",
        }
    }

    fn all() -> Vec<Self> {
        vec![Self::Firing, Self::Resolved, Self::Expired]
    }
}
