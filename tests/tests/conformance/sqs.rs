//! SQS under test: the real thing's time goes by by itself, so leases are short, and whoever waits for one waits.

mod own;

use std::{collections::BTreeMap, process::Command, sync::Arc, time::Duration};

use millstream::{
    queue::{
        Queues, SqsOptions, SqsQueues,
        sqs::{FRAME_BYTES_MAX, SqsWebhook, create},
    },
    state::{
        StateStore,
        dynamodb::{Table, TableOptions},
    },
};
use stages::{
    frame::Lane,
    topic::{Pattern, Topics},
};
use tests::Ministack;
use tokio::time::sleep;

use crate::engine::{Engine, LANES, Limits, MAX_ATTEMPTS};

/// What the names of queues begin with.
const PREFIX: &str = "c-";
/// Those of `notify` that the clauses name.
const WEBHOOKS: [u16; 5] = [0, 5, 6, 7, 60_000];

/// Queues of which the ordered ones are FIFO queues.
pub(crate) struct Fifo(Sqs);

/// Queues without order.
pub(crate) struct Standard(Sqs);

/// A server of its own with queues in it.
struct Sqs {
    server: Ministack,
    client: aws_sdk_sqs::Client,
    options: SqsOptions,
    /// Beside the queues, for state and books.
    table: Table,
    queues: SqsQueues,
}

impl Sqs {
    async fn start(limits: Limits, fifo: bool) -> Self {
        let server = Ministack::start();
        let client = server.sqs().await;
        let options = options(limits, fifo);
        create(client.clone(), &options).await.expect("created");
        let table = server.table(table_options()).await;
        table.create(&BTreeMap::new()).await.expect("created");
        table.fix_lanes(LANES).await.expect("written");
        let queues = SqsQueues::open(client.clone(), options.clone()).await.expect("opened");
        let queues = queues.with_table(table.clone());
        Self { server, client, options, table, queues }
    }

    async fn open(&self, limits: Limits) -> SqsQueues {
        let options = options(limits, self.options.fifo);
        let queues = SqsQueues::open(self.client.clone(), options).await.expect("opened");
        queues.with_table(self.server.table(table_options()).await)
    }

    fn child(&self, action: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_queue-child"));
        let kind = if self.options.fifo { "fifo" } else { "standard" };
        command.arg(action).arg(self.server.endpoint()).args([PREFIX, kind]).envs(Ministack::environment());
        command
    }
}

fn table_options() -> TableOptions {
    TableOptions { name: "conformance".into(), retention: SqsOptions::default().retention }
}

fn options(limits: Limits, fifo: bool) -> SqsOptions {
    let webhook = |lane: u16| SqsWebhook { name: format!("hook-{lane}"), lane: Lane(lane) };
    let pattern: Pattern = "devices/{device}/telemetry".parse().expect("a pattern");
    SqsOptions {
        prefix: PREFIX.into(),
        lanes: LANES,
        lease: Fifo::LEASE,
        fifo,
        webhooks: WEBHOOKS.map(webhook).into(),
        frame_bytes_max: limits.frame_bytes_max,
        max_attempts: MAX_ATTEMPTS,
        topics: Arc::new(Topics::new(vec![pattern])),
        ..SqsOptions::default()
    }
}

/// Both kinds are the same engine.
macro_rules! engine {
    ($kind:ident, $fifo:literal) => {
        impl Engine for $kind {
            const LEASE: Duration = Duration::from_secs(6);
            const MOMENT: Duration = Duration::from_secs(2);
            const FRAME_BYTES_MAX: usize = FRAME_BYTES_MAX;

            async fn start(limits: Limits) -> Self {
                Self(Sqs::start(limits, $fifo).await)
            }

            fn queues(&self) -> Queues {
                Queues::Sqs(self.0.queues.clone())
            }

            fn state(&self) -> StateStore {
                StateStore::DynamoDb(self.0.table.clone())
            }

            async fn another_process(&self) -> Queues {
                Queues::Sqs(self.0.open(Limits::default()).await)
            }

            async fn another_process_with(&self, limits: Limits) -> Queues {
                Queues::Sqs(self.0.open(limits).await)
            }

            async fn restart(&mut self) {
                self.0.queues = self.0.open(Limits::default()).await;
            }

            async fn die(&mut self) {
                self.restart().await;
            }

            async fn advance(&self, by: Duration) {
                sleep(by).await;
            }

            async fn put_back(&self, _: Duration) {
                panic!("nobody puts back the clock of SQS")
            }

            fn child(&self, action: &str) -> Command {
                self.0.child(action)
            }
        }
    };
}

engine!(Fifo, true);
engine!(Standard, false);
