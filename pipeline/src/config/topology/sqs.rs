use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The queues of a topology on SQS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SqsConfig {
    /// What the names of all queues begin with: letters, digits, `-` and `_`.
    #[schemars(length(max = 40))]
    pub prefix: String,
    /// The region. Default: that of the environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// A URL that stands in for that of SQS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Whether `transform`, `analyze` and `alert` are FIFO queues, which keep what devices send in order.
    pub fifo: bool,
    /// How long queues that `millstream queues create` makes keep a frame that nobody takes, in seconds.
    #[schemars(range(min = 60, max = 1_209_600))]
    pub retention_secs: u32,
    /// How far the time that windows and absence rules are told of stays behind what comes to analyze, in seconds: SQS does not say how
    /// old what waits is. No less than `queues.lease_secs`.
    #[schemars(range(min = 1, max = 3600))]
    pub tick_hold_secs: u32,
    /// The topic of messages in `validate` that others send as nothing but a payload. Without it, such a message is
    /// `{"topic": …, "payload": …}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65_535))]
    pub plain_topic: Option<String>,
}

impl Default for SqsConfig {
    fn default() -> Self {
        Self {
            prefix: "millstream-".into(),
            region: None,
            endpoint: None,
            fifo: true,
            retention_secs: 345_600,
            tick_hold_secs: 120,
            plain_topic: None,
        }
    }
}
