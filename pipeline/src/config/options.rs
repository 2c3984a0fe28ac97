//! The options of the parts of the program, as the topology has them.

#[cfg(feature = "sqs")]
use std::sync::Arc;
use std::{path::Path, time::Duration};

use super::{Config, ListenerConfig, TlsConfig, resolved};
#[cfg(feature = "sqs")]
use super::{DynamoDbConfig, Engine, SqsConfig, topology::SQS_FRAME_BYTES_MAX};
#[cfg(feature = "sqs")]
use crate::{
    aws::AwsOptions,
    notify::WebhookConfig,
    queue::sqs::{FRAME_BYTES_MAX, SqsOptions, SqsWebhook, chunk_end},
    state::dynamodb::TableOptions,
};
use crate::{
    ingest::{Faces, IngestError, ListenerOptions, PackerOptions, Paid, TlsOptions},
    lake::{Compactor, Lake, LakeError, StoreOptions},
    queue::{SqliteOptions, sqlite::PUT_OFF_MAX},
    worker::TickOptions,
};

/// What a frame takes beside its rows at the most.
const FORMAT_BYTES: u64 = 64 << 10;
/// Where requests are paid for, a frame that somebody waits for is open for this part of the linger.
#[cfg(feature = "sqs")]
const AWAITED: u32 = 10;

impl Config {
    /// The limits and times of the embedded queues.
    pub fn sqlite_options(&self) -> SqliteOptions {
        let (queues, webhooks) = (&self.topology.queues, self.topology.notify.webhooks.iter());
        let frame_bytes_max = queues.frame_bytes_max();
        SqliteOptions {
            lanes: self.topology.lanes,
            lease: secs(queues.lease_secs),
            put_off_max: webhooks
                .map(|webhook| secs(webhook.backoff_secs_max))
                .fold(PUT_OFF_MAX, Duration::max),
            queue_bytes_max: queues.queue_bytes_max,
            notify_bytes_max: self.topology.notify.queue_bytes_max,
            notify_dead_bytes_max: self.topology.notify.dead_bytes_max,
            frame_bytes_max: size(with_format(frame_bytes_max)),
            dedupe_window: secs(queues.dedupe_window_secs),
            max_attempts: queues.max_attempts,
            ..SqliteOptions::default()
        }
    }

    /// Where SQS is.
    #[cfg(feature = "sqs")]
    pub fn aws_options(&self) -> AwsOptions {
        let SqsConfig { region, endpoint, .. } = self.topology.queues.sqs.clone();
        AwsOptions { region, endpoint }
    }

    /// Where DynamoDB is.
    #[cfg(feature = "sqs")]
    pub fn table_aws_options(&self) -> AwsOptions {
        let (DynamoDbConfig { region, endpoint, .. }, queues) =
            (self.topology.state.dynamodb.clone(), self.aws_options());
        AwsOptions { region: region.or(queues.region), endpoint: endpoint.or(queues.endpoint) }
    }

    /// The table, and for how long it remembers what was written.
    #[cfg(feature = "sqs")]
    pub fn table_options(&self) -> TableOptions {
        let retention = secs(self.topology.queues.sqs.retention_secs);
        TableOptions { name: self.topology.state.dynamodb.table.clone(), retention }
    }

    /// The names, limits and times of queues on SQS.
    #[cfg(feature = "sqs")]
    pub fn sqs_options(&self) -> SqsOptions {
        let queues = &self.topology.queues;
        let webhook =
            |webhook: &WebhookConfig| SqsWebhook { name: webhook.name.clone(), lane: webhook.lane() };
        SqsOptions {
            prefix: queues.sqs.prefix.clone(),
            lanes: self.topology.lanes,
            lease: secs(queues.lease_secs),
            fifo: queues.sqs.fifo,
            webhooks: self.topology.notify.webhooks.iter().map(webhook).collect(),
            // With the largest limit as much as a message holds, to the byte.
            frame_bytes_max: match queues.frame_bytes_max() {
                SQS_FRAME_BYTES_MAX.. => FRAME_BYTES_MAX,
                rows => size(with_format(rows)),
            },
            max_attempts: queues.max_attempts,
            retention: secs(queues.sqs.retention_secs),
            topics: Arc::new(self.stages.topics.clone()),
            plain_topic: queues.sqs.plain_topic.clone(),
        }
    }

    /// When frames are closed.
    pub fn packer_options(&self) -> PackerOptions {
        let topology = &self.topology;
        let linger = Duration::from_millis(topology.linger_ms().into());
        PackerOptions {
            frame_bytes_max: size(topology.ingest_frame_bytes_max()),
            frame_rows_max: size(topology.ingest_frame_rows_max().into()),
            linger,
            buffer_bytes_max: size(topology.buffer_bytes_max()),
            lanes: topology.lanes,
            paid: self.paid(linger),
        }
    }

    /// What frames are to fill, where requests are paid for.
    #[cfg_attr(
        not(feature = "sqs"),
        expect(clippy::unused_self, unused_variables, reason = "no engine is paid for")
    )]
    fn paid(&self, linger: Duration) -> Option<Paid> {
        #[cfg(feature = "sqs")]
        if self.topology.queues.engine == Engine::Sqs {
            let frame_bytes = chunk_end(self.sqs_options().frame_bytes_max());
            return Some(Paid { frame_bytes, linger_awaited: linger / AWAITED });
        }
        None
    }

    /// Who brings the messages.
    ///
    /// # Errors
    /// When a file or variable with a certificate or a secret cannot be used.
    pub fn faces(&self) -> Result<Faces, IngestError> {
        let subscriber = match &self.topology.ingest.subscriber {
            None => None,
            Some(subscriber) => {
                let packet = self.topology.subscriber_packet_bytes_max();
                let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
                let options =
                    subscriber.options(&self.folder, &self.stages.topics, &host, &self.worker, packet);
                Some(options.map_err(IngestError::Subscribe)?)
            }
        };
        Ok(Faces { listener: self.listens.then(|| self.listener_options()), subscriber })
    }

    /// Where to listen, and the limits of connections.
    pub fn listener_options(&self) -> ListenerOptions {
        listener_options(&self.topology.ingest.listener, &self.folder)
    }

    /// When time is told to the stages that know devices.
    pub fn tick_options(&self) -> TickOptions {
        let analyze = &self.topology.analyze;
        TickOptions {
            lanes: self.topology.lanes,
            every: secs(analyze.tick_secs),
            grace: secs(analyze.tick_grace_secs),
            linger: self.packer_options().linger,
            hold: secs(self.topology.queues.sqs.tick_hold_secs),
        }
    }

    /// When collected rows become files.
    pub fn store_options(&self) -> StoreOptions {
        let store = &self.topology.store;
        StoreOptions {
            granularity: store.partition,
            rows_max: size(store.rows_max),
            bytes_max: size(store.bytes_max),
            age: secs(store.age_secs),
            age_max: secs(store.age_secs_max),
        }
    }

    /// The lake, to be written.
    ///
    /// # Errors
    /// When it cannot be used as the topology says.
    pub async fn open_lake(&self) -> Result<Lake, LakeError> {
        Lake::connect(&self.lake, self.stages.transform.tags()).await
    }

    /// Who merges small files of `lake`; with `thorough`, all that can be merged.
    pub fn compactor(&self, lake: Lake, thorough: bool) -> Compactor {
        let compact = &self.topology.compact;
        let files_min = if thorough { 2 } else { size(compact.files_min.into()) };
        Compactor::new(lake, files_min, compact.file_bytes_max, thorough)
    }

    /// How often the lake is looked through for small files, if ever.
    pub fn compact_every(&self) -> Option<Duration> {
        Some(secs(self.topology.compact.every_secs)).filter(|every| !every.is_zero())
    }
}

/// A frame of so many bytes of rows: what the format adds to them must not make a message of the largest size too large.
fn with_format(rows: u64) -> u64 {
    rows + rows / 64 + FORMAT_BYTES
}

/// The options of a listener whose paths start from `folder`.
pub(super) fn listener_options(listener: &ListenerConfig, folder: &Path) -> ListenerOptions {
    let tls = |tls: &TlsConfig| TlsOptions {
        cert_file: resolved(folder, &tls.cert_file),
        key_file: resolved(folder, &tls.key_file),
        client_ca_file: tls.client_ca_file.as_ref().map(|path| resolved(folder, path)),
    };
    ListenerOptions {
        listen: listener.listen.address(),
        listen_tls: listener.listen_tls,
        listen_websocket: listener.listen_websocket,
        listen_websocket_tls: listener.listen_websocket_tls,
        tls: listener.tls.as_ref().map(tls),
        users_file: listener.users_file.as_ref().map(|path| resolved(folder, path)),
        allow_anonymous: listener.allow_anonymous,
        packet_bytes_max: listener.packet_bytes_max,
        receive_maximum: listener.receive_maximum,
        connections_max: size(listener.connections_max.into()),
        sessions_max: listener.sessions_max,
        session_expiry_secs_max: listener.session_expiry_secs_max,
        connect_timeout: secs(listener.connect_secs),
    }
}

pub(super) fn secs(secs: u32) -> Duration {
    Duration::from_secs(secs.into())
}

/// A limit of memory; one beyond what this machine can address limits nothing.
fn size(limit: u64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}
