//! An intake on a free port and a data directory of its own, and what comes out of its queues.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use millstream::{
    database::Database,
    ingest::{Faces, Ingest, IngestError, ListenerOptions, PackerOptions, Scheme},
    queue::{QueueName, Queues, ReceiveLimits, SqliteOptions, SqliteQueues, Verdict},
};
use stages::{
    frame::{Messages, Properties, Quarantine, decode},
    topic::{Pattern, Topics},
};

use super::raw::PATIENCE;

/// What a test may want otherwise.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) listener: ListenerOptions,
    pub(crate) packer: PackerOptions,
    pub(crate) queue_bytes_max: u64,
}

impl Default for Setup {
    fn default() -> Self {
        let listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        Self {
            listener: ListenerOptions { listen, ..ListenerOptions::default() },
            packer: PackerOptions::default(),
            queue_bytes_max: 1 << 30,
        }
    }
}

pub(crate) struct Server {
    pub(crate) ingest: Ingest,
    pub(crate) queues: Queues,
    setup: Setup,
    dir: tempfile::TempDir,
}

/// A message as it came out of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) client_id: String,
    pub(crate) properties: Properties,
    /// Why it was refused, for those of the store queue.
    pub(crate) reason: Option<String>,
    pub(crate) number: u64,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    pub(crate) async fn with(setup: Setup) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), setup).await
    }

    async fn start_in(dir: tempfile::TempDir, setup: Setup) -> Self {
        let (ingest, queues) = start(dir.path().join("millstream.db"), &setup).await;
        Self { ingest: ingest.unwrap(), queues, setup, dir }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.ingest.local_addr().unwrap()
    }

    /// Where it listens for what.
    pub(crate) fn door(&self, scheme: Scheme) -> SocketAddr {
        let doors = self.ingest.doors();
        doors.iter().find(|door| door.scheme == scheme).expect("such a door").address
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join("millstream.db")
    }

    /// Ends without a word, as a killed process does, and starts again on the same data directory.
    pub(crate) async fn restart(self) -> Self {
        drop((self.ingest, self.queues));
        Self::start_in(self.dir, self.setup).await
    }

    /// The next `count` messages of a queue, read through a handle of their own.
    pub(crate) async fn drain(&self, queue: QueueName, count: usize) -> Vec<Received> {
        let queues = open(self.file(), u64::MAX).await;
        let received = tokio::time::timeout(PATIENCE, drain(&queues, queue, count)).await;
        received.unwrap_or_else(|_| panic!("{count} messages in {queue}"))
    }

    /// The payloads of the messages in the validate queue, of which there are just `count`.
    pub(crate) async fn payloads(&self, count: usize) -> Vec<String> {
        let received = self.drain(QueueName::Validate, count).await;
        assert_eq!(self.rows(QueueName::Validate).await, 0, "no more than {count}");
        received.into_iter().map(|message| String::from_utf8(message.payload).unwrap()).collect()
    }

    /// How many packet ids of QoS 2 the data file holds.
    pub(crate) fn packet_ids(&self) -> i64 {
        let file = rusqlite::Connection::open(self.file()).unwrap();
        file.query_row("SELECT count(*) FROM session_packet", [], |row| row.get(0)).unwrap()
    }

    /// How many messages are in a queue.
    pub(crate) async fn rows(&self, queue: QueueName) -> u64 {
        self.queues.depth(queue).await.unwrap().rows
    }
}

/// Starts an intake on a data file.
pub(crate) async fn start(file: PathBuf, setup: &Setup) -> (Result<Ingest, IngestError>, Queues) {
    let queues = open(file, setup.queue_bytes_max).await;
    let database = queues.embedded("this test").unwrap().database().clone();
    let pattern = Pattern::parse("devices/{device}/telemetry").unwrap();
    let topics = Arc::new(Topics::new(vec![pattern]));
    let faces = Faces { listener: Some(setup.listener.clone()), subscriber: None };
    let ingest = Ingest::start(queues.clone(), database, topics, setup.packer, faces).await;
    (ingest, queues)
}

async fn open(file: PathBuf, queue_bytes_max: u64) -> Queues {
    let database = Database::open(&file).unwrap();
    let options = SqliteOptions { queue_bytes_max, ..SqliteOptions::default() };
    Queues::Sqlite(SqliteQueues::open(database, options).await.unwrap())
}

/// Takes messages out of a queue until there are `count`.
pub(crate) async fn drain(queues: &Queues, queue: QueueName, count: usize) -> Vec<Received> {
    let holder = queues.holder();
    let limits = ReceiveLimits { frames: 8, bytes: 1 << 20, wait: Duration::from_secs(1) };
    let mut received = Vec::new();
    while received.len() < count {
        let deliveries = queues.receive(queue, holder, limits).await.unwrap();
        for delivery in &deliveries {
            let frame = decode(&delivery.frame.bytes).unwrap();
            match queue {
                QueueName::Store => received.extend(refusals(&Quarantine::of(&frame).unwrap())),
                _ => received.extend(messages(&Messages::of(&frame).unwrap())),
            }
        }
        let done = deliveries.into_iter().map(|delivery| (delivery.receipt, Verdict::Done)).collect();
        for settled in queues.settle(done).await {
            settled.unwrap();
        }
    }
    received
}

fn messages(rows: &Messages<'_>) -> Vec<Received> {
    let message = |row| Received {
        topic: rows.topics().get(row).unwrap().to_owned(),
        payload: rows.payload(row).to_vec(),
        client_id: rows.client_id(row).to_owned(),
        properties: rows.properties(row),
        reason: None,
        number: rows.message(row),
    };
    (0..rows.len()).map(message).collect()
}

fn refusals(rows: &Quarantine<'_>) -> Vec<Received> {
    let refusal = |row| Received {
        topic: rows.topic(row).to_owned(),
        payload: rows.payload(row).to_vec(),
        client_id: String::new(),
        properties: Properties::new(),
        reason: Some(format!("{}: {}", rows.stage(row), rows.reason(row))),
        number: rows.message(row),
    };
    (0..rows.len()).map(refusal).collect()
}
