//! Commits on standard queues, where a lane may be in several hands at once.

use std::{collections::BTreeMap, time::Duration};

use aws_sdk_sqs::config::{Credentials, SharedCredentialsProvider};
use millstream::{
    aws::{self, AwsOptions},
    queue::{
        Commit, DeadFilter, DeadLetter, Delivery, EncodedFrame, NumberedDelta, Publish, QueueError,
        QueueName::{self, Alert, Analyze, Store},
        Queues, ReceiveLimits, Span, SqsOptions, SqsQueues,
        sqs::create,
    },
    state::{
        StateStore,
        dynamodb::{Table, TableOptions},
    },
};
use stages::{
    frame::{FrameId, Lane},
    plan::Counts,
};
use tests::{Ministack, REGION};

const STAGE: &str = "analyze";
const LANE: Lane = Lane(1);

/// Standard queues and a table, as two processes see them.
pub(crate) struct Processes {
    _services: Ministack,
    pub(crate) table: Table,
    pub(crate) one: Queues,
    pub(crate) other: Queues,
}

impl Processes {
    pub(crate) async fn start() -> Self {
        let services = Ministack::start();
        let options = AwsOptions { region: Some(REGION.to_owned()), endpoint: Some(services.endpoint()) };
        let credentials = SharedCredentialsProvider::new(Credentials::for_tests());
        let config = aws::config(&options).await.into_builder().credentials_provider(credentials).build();
        let retention = Duration::from_secs(3600);
        let table = Table::new(&config, TableOptions { name: "millstream".to_owned(), retention });
        table.create(&BTreeMap::new()).await.unwrap();
        let options = SqsOptions { fifo: false, ..SqsOptions::default() };
        let client = services.sqs().await;
        create(client.clone(), &options).await.unwrap();
        let [one, other] = [client.clone(), client].map(|client| SqsQueues::open(client, options.clone()));
        let (one, other) = (one.await.unwrap(), other.await.unwrap());
        let [one, other] = [one, other].map(|queues| Queues::Sqs(queues.with_table(table.clone())));
        Self { _services: services, table, one, other }
    }

    /// Hands one process a frame of analyze.
    async fn hand(&self, to: &Queues, number: u8) -> Delivery {
        let entry = Publish { queue: Analyze, frame: frame(number) };
        to.publish(vec![entry]).await.remove(0).unwrap();
        let mut held = receive(to, Analyze).await;
        assert_eq!(numbers(&held), [number]);
        held.remove(0)
    }

    async fn number(&self) -> u64 {
        StateStore::DynamoDb(self.table.clone()).number(STAGE, LANE).await.unwrap()
    }
}

fn frame(number: u8) -> EncodedFrame {
    EncodedFrame { id: FrameId([number; 16]), lane: LANE, rows: 3, bytes: vec![number; 9000].into() }
}

fn numbers(held: &[Delivery]) -> Vec<u8> {
    let mut numbers: Vec<_> = held.iter().map(|delivery| delivery.frame.bytes[0]).collect();
    numbers.sort_unstable();
    numbers
}

pub(crate) async fn receive(queues: &Queues, queue: QueueName) -> Vec<Delivery> {
    let limits = ReceiveLimits { frames: 10, bytes: 1 << 20, wait: Duration::ZERO };
    queues.receive(queue, queues.holder(), limits).await.unwrap()
}

/// What one frame leads to: change `number`, and frame `out`.
fn step(held: &Delivery, number: u64, out: u8) -> Commit {
    let applied = vec![held.frame.id];
    let (bytes, snapshot) = (vec![out], None);
    let delta = NumberedDelta { stage: STAGE, lane: LANE, number, bytes, snapshot, applied: applied.clone() };
    Commit {
        receipts: vec![held.receipt.clone()],
        publish: [Alert, Store].map(|queue| Publish { queue, frame: frame(out) }).into(),
        deltas: vec![delta],
        counts: vec![(STAGE, Counts { consumed: 3, ..Counts::default() })],
        applied,
        ..Commit::default()
    }
}

/// What becomes of a frame that comes again.
fn settled(held: &Delivery) -> Commit {
    Commit {
        receipts: vec![held.receipt.clone()],
        repeated: vec![held.frame.id],
        counts: vec![(STAGE, Counts { repeated: 3, ..Counts::default() })],
        ..Commit::default()
    }
}

pub(crate) async fn commit(queues: &Queues, commit: Commit) -> Result<(), QueueError> {
    queues.commit(vec![commit]).await.remove(0)
}

#[tokio::test]
async fn sqs_commit_that_is_fenced_sends_nothing() {
    let at = Processes::start().await;
    let (first, second) = (at.hand(&at.one, 1).await, at.hand(&at.other, 2).await);
    // Both are planned on the same state.
    let (one, other) = (step(&first, 1, 10), step(&second, 1, 20));
    commit(&at.one, one).await.unwrap();
    let answer = commit(&at.other, other).await;
    assert!(matches!(answer, Err(QueueError::Fenced { number: 1, last: 1, .. })), "{answer:?}");
    for queue in [Alert, Store] {
        assert_eq!(numbers(&receive(&at.one, queue).await), [10], "{queue}");
    }
    assert_eq!(at.one.depth(Analyze).await.unwrap().frames, 1, "it is not settled");
    commit(&at.other, step(&second, 2, 20)).await.unwrap();
    assert_eq!(numbers(&receive(&at.one, Alert).await), [20]);
    assert_eq!((at.number().await, at.one.depth(Analyze).await.unwrap().frames), (2, 0));
}

#[tokio::test]
async fn sqs_frame_that_comes_again_is_sent_as_it_was_saved() {
    let at = Processes::start().await;
    let first = at.hand(&at.one, 1).await;
    let letter = || DeadLetter { queue: Analyze, frame: frame(30), attempts: 5, reason: "bad".to_owned() };
    commit(&at.one, Commit { dead: vec![letter()], ..step(&first, 1, 10) }).await.unwrap();
    assert_eq!(numbers(&receive(&at.one, Store).await), [10]);

    // Planned on another state it would lead to something else; that it was applied is known, or the table says so.
    let again = at.hand(&at.other, 1).await;
    let answer = commit(&at.other, step(&again, 2, 90)).await;
    assert!(matches!(answer, Err(QueueError::Applied { frame }) if frame == first.frame.id), "{answer:?}");
    assert!(receive(&at.one, Store).await.is_empty());
    commit(&at.other, settled(&again)).await.unwrap();
    assert_eq!(numbers(&receive(&at.one, Store).await), [10], "under its id");
    assert_eq!((at.number().await, at.one.depth(Analyze).await.unwrap().frames), (1, 0));
    let letters = at.one.dead_letters(DeadFilter::default(), Span::ALL).await.unwrap();
    assert!(letters.iter().all(|kept| (kept.frame, &*kept.reason) == (frame(30).id, "bad")), "{letters:?}");
    assert_eq!(letters.len(), 2);
    at.table.fix_lanes(4).await.unwrap();
    let books = at.one.books().await.unwrap();
    assert_eq!((books[STAGE].consumed, books[STAGE].repeated), (3, 3));
}

#[tokio::test]
async fn sqs_frames_of_one_commit_are_sent_again_by_whichever_comes() {
    let at = Processes::start().await;
    let held = [at.hand(&at.one, 1).await, at.hand(&at.one, 2).await];
    let [mut both, other] = [step(&held[0], 1, 10), step(&held[1], 2, 20)];
    both.receipts.extend(other.receipts);
    both.publish.extend(other.publish);
    both.deltas.extend(other.deltas);
    both.applied.extend(other.applied);
    commit(&at.one, both).await.unwrap();
    assert_eq!(numbers(&receive(&at.one, Store).await), [10, 20]);
    let again = [at.hand(&at.other, 2).await, at.hand(&at.other, 1).await];
    let [mut both, other] = [settled(&again[0]), settled(&again[1])];
    both.receipts.extend(other.receipts);
    both.repeated.extend(other.repeated);
    commit(&at.other, both).await.unwrap();
    assert_eq!(numbers(&receive(&at.one, Store).await), [10, 20], "each once");
    assert_eq!(at.one.depth(Analyze).await.unwrap().frames, 0);
}

#[tokio::test]
async fn sqs_frame_that_was_applied_by_an_ordered_queue_is_only_settled() {
    let at = Processes::start().await;
    let held = at.hand(&at.one, 1).await;
    commit(&at.one, settled(&held)).await.unwrap();
    for queue in [Analyze, Alert, Store] {
        assert_eq!(at.one.depth(queue).await.unwrap().frames, 0, "{queue}");
    }
}
