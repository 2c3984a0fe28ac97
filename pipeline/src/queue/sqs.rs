//! Queues on SQS: standard ones and FIFO ones, for any number of processes anywhere.
//!
//! A frame is one message. SQS leases it (*visibility*) and says how often it has handed it out; this process knows until when
//! a lease lasts at the latest (`held`), and holds nothing of it to be true after that. What SQS cannot do is said in
//! [`Capabilities::sqs`](crate::queue::Capabilities::sqs).

mod api;
mod bury;
mod commit;
mod create;
mod dead;
mod depth;
mod digest;
mod error;
mod gather;
mod held;
mod line;
mod look;
mod message;
mod options;
mod plain;
mod publish;
mod receive;
mod requests;
mod sending;
mod settle;

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering},
};

use aws_sdk_sqs::Client;
use stages::frame::Lane;
use tokio::{task::JoinSet, time::Instant};

use self::{api::Api, held::Leases, line::Line};
pub use self::{
    create::{Created, Outcome, create},
    error::SqsError,
    look::{Looked, Seen, look},
    message::{FRAME_BYTES_MAX, chunk_end},
    options::{SqsOptions, SqsWebhook},
    requests::{RequestCount, Requests},
};
use super::{Holder, Publish, QueueError, QueueName};
use crate::{database::Owner, state::dynamodb::Table};

/// The queues of a topology on SQS; clones share them.
#[derive(Clone)]
pub struct SqsQueues {
    inner: Arc<Inner>,
    table: Option<Table>,
}

struct Inner {
    api: Api,
    options: SqsOptions,
    lines: Vec<Arc<Line>>,
    leases: Leases,
    /// The last dead letter of the last whole look, and when that was.
    looked: Mutex<Option<(Instant, i64)>>,
}

/// Workers are counted through the process.
static WORKERS: AtomicU32 = AtomicU32::new(1);

impl SqsQueues {
    /// Looks up the queues, each with that of its dead letters.
    ///
    /// # Errors
    /// [`SqsError::Missing`] names the queues that are not there; else what kept SQS from telling.
    pub async fn open(client: Client, options: SqsOptions) -> Result<Self, QueueError> {
        let api = Api::new(client);
        let mut looked_up = JoinSet::new();
        for (at, names) in options.names().into_iter().enumerate() {
            let api = api.clone();
            looked_up.spawn(async move { (at, Line::open(&api, names).await) });
        }
        let (mut lines, mut missing) = (Vec::new(), Vec::new());
        for (at, line) in joined(looked_up).await {
            match line {
                Ok(line) => lines.push((at, Arc::new(line))),
                Err(SqsError::Missing { mut queues }) => missing.append(&mut queues),
                Err(error) => return Err(error.into()),
            }
        }
        if !missing.is_empty() {
            missing.sort();
            return Err(SqsError::Missing { queues: missing }.into());
        }
        lines.sort_by_key(|(at, _)| *at);
        let lines = lines.into_iter().map(|(_, line)| line).collect();
        let (leases, looked) = (Leases::default(), Mutex::default());
        Ok(Self { inner: Arc::new(Inner { api, options, lines, leases, looked }), table: None })
    }

    /// What the queues were opened with.
    pub fn options(&self) -> &SqsOptions {
        &self.inner.options
    }

    /// How many requests were made so far, by kind.
    pub fn requests(&self) -> Requests {
        let mut all = Requests::default();
        self.requests_by_queue().into_iter().for_each(|(_, requests)| all += requests);
        all
    }

    /// The same for each queue, of which those of dead letters are `NAME-dead`, and those of `notify` are one.
    pub fn requests_by_queue(&self) -> Vec<(String, Requests)> {
        let mut all: Vec<(String, Requests)> = Vec::new();
        for line in &self.inner.lines {
            for (name, place) in
                [(line.queue.to_string(), &line.main), (format!("{}-dead", line.queue), &line.dead)]
            {
                match all.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, requests)) => *requests += place.counters.requests(),
                    None => all.push((name, place.counters.requests())),
                }
            }
        }
        all
    }

    /// See [`Queues::holder`](super::Queues::holder). SQS knows no holders: whoever has a receipt holds the frame.
    pub fn holder(&self) -> Holder {
        Holder { owner: Owner(0), worker: WORKERS.fetch_add(1, Ordering::Relaxed) }
    }

    /// See [`Queues::check`](super::Queues::check).
    ///
    /// # Errors
    /// Those given there.
    pub fn check(&self, entry: &Publish) -> Result<(), QueueError> {
        let SqsOptions { lanes, .. } = self.inner.options;
        let (frame, max) = (&entry.frame, self.inner.options.frame_bytes_max());
        if frame.bytes.len() > max {
            return Err(QueueError::TooLarge { frame: frame.id, bytes: frame.bytes.len(), max });
        }
        if entry.queue.is_by_lane() {
            return self.line(entry.queue, frame.lane).map(drop);
        }
        if frame.lane.0 >= lanes {
            return Err(QueueError::Lane { frame: frame.id, lane: frame.lane, lanes });
        }
        Ok(())
    }

    /// The queue of SQS for frames of a lane.
    fn line(&self, queue: QueueName, lane: Lane) -> Result<&Arc<Line>, QueueError> {
        let fits = |line: &&Arc<Line>| line.queue == queue && line.lane.is_none_or(|only| only == lane);
        let found = self.inner.lines.iter().find(fits);
        found.ok_or_else(|| SqsError::NoQueue { queue, lane }.into())
    }

    /// The queues of SQS that are part of `queue`.
    fn lines(&self, queue: QueueName) -> impl Iterator<Item = &Arc<Line>> {
        self.inner.lines.iter().filter(move |line| line.queue == queue)
    }
}

/// What all tasks answer, in the order of their ends. One that panics takes this one with it.
async fn joined<T: 'static>(mut tasks: JoinSet<T>) -> Vec<T> {
    let mut answers = Vec::with_capacity(tasks.len());
    while let Some(ended) = tasks.join_next().await {
        match ended {
            Ok(answer) => answers.push(answer),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // Nobody aborts one of them.
            Err(_) => {}
        }
    }
    answers
}
