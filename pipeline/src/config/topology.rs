//! What a topology file says, as written: the one place for its keys, their defaults and their limits.

mod engine;
mod listener;
mod sqs;
mod state;

use std::{net::SocketAddr, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stages::{
    alert::AlertConfig, analyze::AnalyzeConfig, payload::PayloadConfig, store::Granularity,
    topic::TopicConfig, transform::DevicesConfig,
};

pub(super) use self::engine::SQS_FRAME_BYTES_MAX;
pub use self::{
    listener::{Listen, TlsConfig},
    sqs::SqsConfig,
    state::{DynamoDbConfig, StateConfig},
};

use crate::notify::NotifyConfig;

use super::{groups::GroupStage, subscriber::SubscriberConfig};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

/// A pipeline of Millstream. Paths are relative to the folder of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Topology {
    /// The directory of the database, and of the lake where `store.lake` names no other.
    pub data: PathBuf,
    /// Into how many partitions devices are spread. Fixed once the queues exist.
    #[schemars(range(min = 1, max = 1024))]
    pub lanes: u16,
    /// How long a stop may take to run the queues dry, in seconds; the rest waits for the next start.
    #[schemars(range(max = 86_400))]
    pub shutdown_secs: u32,
    /// How messages come in.
    pub ingest: IngestConfig,
    /// How frames are kept between the stages.
    pub queues: QueuesConfig,
    /// Where stages keep what they know, if not beside the queues.
    pub state: StateConfig,
    /// Adjacent stages that a worker runs as one hop, without a queue between them: `[validate, transform]` and
    /// `[analyze, alert]`, both or one of them. A stage in no group is run by itself.
    pub groups: Vec<Vec<GroupStage>>,
    /// What the messages of which topics mean. The first pattern that fits a topic is the one; what fits none is
    /// quarantined.
    #[schemars(length(min = 1))]
    pub topics: Vec<TopicConfig>,
    /// What is known of devices beside what they say themselves.
    pub devices: DevicesConfig,
    /// How readings are compared with those before them.
    pub analyze: AnalyzeConfig,
    /// What raises alerts.
    pub alert: AlertConfig,
    /// Who is told of alerts.
    pub notify: NotifyConfig,
    /// How rows become Parquet files.
    pub store: StoreConfig,
    /// How small files of the lake are merged.
    pub compact: CompactConfig,
    /// Where the pipeline can be looked at.
    pub console: ConsoleConfig,
}

impl Default for Topology {
    fn default() -> Self {
        Self {
            data: "./millstream-data".into(),
            lanes: 4,
            shutdown_secs: 30,
            ingest: IngestConfig::default(),
            queues: QueuesConfig::default(),
            state: StateConfig::default(),
            groups: Vec::new(),
            topics: vec![TopicConfig {
                pattern: "devices/{device}/telemetry".into(),
                schema: Some("builtin:device_sim".into()),
                payload: PayloadConfig::default(),
                transform: None,
            }],
            devices: DevicesConfig::default(),
            analyze: AnalyzeConfig::default(),
            alert: AlertConfig::default(),
            notify: NotifyConfig::default(),
            store: StoreConfig::default(),
            compact: CompactConfig::default(),
            console: ConsoleConfig::default(),
        }
    }
}

/// How messages come in and are packed into frames.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct IngestConfig {
    /// The MQTT endpoint inside this process. With a `subscriber`, there is one only if it is written here.
    pub listener: ListenerConfig,
    /// A client of a broker, beside or instead of the endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscriber: Option<SubscriberConfig>,
    /// At how many bytes of payloads a frame is closed. Default: 262144; with `engine: sqs` 8388608, since a frame is closed
    /// there when it fills a message.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1024, max = 268_435_456))]
    pub frame_bytes_max: Option<u64>,
    /// At how many messages a frame is closed. Default: 8192; with `engine: sqs` 65536.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_048_576))]
    pub frame_rows_max: Option<u32>,
    /// How long an open frame waits for more messages, in milliseconds. Default: 5; with `engine: sqs` 1000, since requests
    /// are paid for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 60_000))]
    pub linger_ms: Option<u32>,
    /// How many bytes of messages may wait to be durable, before sockets are no longer read. Default: 67108864; with
    /// `engine: sqs` 134217728.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1024))]
    pub buffer_bytes_max: Option<u64>,
}

/// An MQTT endpoint, 3.1.1 and 5.0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ListenerConfig {
    /// The address and port to listen on for MQTT; port 0 is any that is free.
    pub listen: Listen,
    /// The address and port to listen on for MQTT by TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = ADDRESS))]
    pub listen_tls: Option<SocketAddr>,
    /// The address and port to listen on for MQTT in WebSockets, on any path.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = ADDRESS))]
    pub listen_websocket: Option<SocketAddr>,
    /// The address and port to listen on for MQTT in WebSockets by TLS, on any path.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = ADDRESS))]
    pub listen_websocket_tls: Option<SocketAddr>,
    /// The certificates for TLS; read at the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
    /// Who may log in: a file with a line `user:hash` for each, as `millstream passwd` writes it; read again when it
    /// changes. With it, clients must log in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users_file: Option<PathBuf>,
    /// Whether who does not log in may publish, too. Without it, addresses that other machines can reach need
    /// `users_file`, or TLS with `client_ca_file`.
    pub allow_anonymous: bool,
    /// The largest MQTT packet taken, in bytes.
    #[schemars(range(min = 256, max = 268_435_455))]
    pub packet_bytes_max: u32,
    /// How many messages of one connection may wait for their acknowledgement.
    #[schemars(range(min = 1))]
    pub receive_maximum: u16,
    /// How many connections are held at once.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub connections_max: u32,
    /// How many seconds a connection may take until it has said who it is.
    #[schemars(range(min = 1, max = 3600))]
    pub connect_secs: u32,
    /// How many sessions are kept of clients that are away.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub sessions_max: u32,
    /// How long such a session is kept at most, in seconds.
    pub session_expiry_secs_max: u32,
}

/// The JSON Schema format of addresses such as [`ListenerConfig::listen`].
pub(super) const ADDRESS: &str = "ip-port";

impl Default for ListenerConfig {
    fn default() -> Self {
        Self {
            listen: Listen::At(SocketAddr::from(([127, 0, 0, 1], 1883))),
            listen_tls: None,
            listen_websocket: None,
            listen_websocket_tls: None,
            tls: None,
            users_file: None,
            allow_anonymous: false,
            packet_bytes_max: 262_144,
            receive_maximum: 1024,
            connections_max: 10_000,
            connect_secs: 10,
            sessions_max: 100_000,
            session_expiry_secs_max: 604_800,
        }
    }
}

/// How frames are kept between the stages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QueuesConfig {
    /// What keeps them.
    pub engine: Engine,
    /// After how many seconds without a sign of life of its worker a frame is handed out again.
    #[schemars(range(min = 1, max = 43_200))]
    pub lease_secs: u32,
    /// How often a frame may fail before it becomes a dead letter.
    #[schemars(range(min = 1, max = 1000))]
    pub max_attempts: u32,
    /// The bytes of frames that one queue holds at most; at this limit publishers wait.
    #[schemars(range(min = 1_048_576))]
    pub queue_bytes_max: u64,
    /// The largest frame that is taken, in bytes. Default: 8388608; with `engine: sqs` 704512, as much as one message holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1024, max = 268_435_456))]
    pub frame_bytes_max: Option<u64>,
    /// How long a frame's id is remembered, so that publishing it again adds nothing, in seconds.
    #[schemars(range(max = 604_800))]
    pub dedupe_window_secs: u32,
    /// How long room in the data file is free before it is given back to the file system, in seconds.
    #[schemars(range(min = 1, max = 604_800))]
    pub spare_secs: u32,
    /// Where and how the queues are on SQS, with `engine: sqs`.
    pub sqs: SqsConfig,
}

impl Default for QueuesConfig {
    fn default() -> Self {
        Self {
            engine: Engine::Sqlite,
            lease_secs: 30,
            max_attempts: 5,
            queue_bytes_max: 4 * GIB,
            frame_bytes_max: None,
            dedupe_window_secs: 300,
            spare_secs: 120,
            sqs: SqsConfig::default(),
        }
    }
}

/// What keeps the queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// One SQLite file in the data directory, for the processes of one host.
    Sqlite,
    /// Amazon SQS, for any number of processes.
    Sqs,
}

/// How rows become Parquet files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// The directory of the datasets, or a place in an object store: `s3://BUCKET/PREFIX`, `gs://…` or `az://…`.
    /// Default: the directory `lake` in the data directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lake: Option<String>,
    /// A URL that stands in for that of the object store's service; only such a one may be `http://`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lake_endpoint: Option<String>,
    /// How much time one directory of a dataset holds.
    pub partition: Granularity,
    /// At how many collected rows they are written.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub rows_max: u64,
    /// At how many collected bytes of memory they are written.
    #[schemars(range(min = 1_048_576))]
    pub bytes_max: u64,
    /// After how many seconds collected rows are written, however few they are.
    #[schemars(range(min = 1))]
    pub age_secs: u32,
    /// Up to how many seconds that age grows while little comes in.
    #[schemars(range(min = 1))]
    pub age_secs_max: u32,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            lake: None,
            lake_endpoint: None,
            partition: Granularity::Day,
            rows_max: 1_000_000,
            bytes_max: 128 * MIB,
            age_secs: 10,
            age_secs_max: 60,
        }
    }
}

/// How small files of a partition become large ones, where store runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CompactConfig {
    /// How often the lake is looked through for small files, in seconds; 0 for never.
    #[schemars(range(max = 604_800))]
    pub every_secs: u32,
    /// How many small files of a partition are merged at the least, unless they fill one.
    #[schemars(range(min = 2, max = 64))]
    pub files_min: u32,
    /// The size that no merged file exceeds, in bytes; files of less than half of it are small.
    #[schemars(range(min = 1_048_576))]
    pub file_bytes_max: u64,
}

impl Default for CompactConfig {
    fn default() -> Self {
        Self { every_secs: 60, files_min: 8, file_bytes_max: 128 * MIB }
    }
}

/// Where the pipeline can be looked at: metrics for Prometheus, and whether it works.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ConsoleConfig {
    /// The address and port of `/metrics`, `/healthz` and `/readyz` over HTTP; port 0 is any that is free. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = ADDRESS))]
    pub listen: Option<SocketAddr>,
}
