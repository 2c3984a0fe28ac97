//! What the suite asks of an engine under test, and short words for the clauses.

use std::{process::Command, time::Duration};

use millstream::{
    queue::{
        Delivery, EncodedFrame, Holder, Publish, QueueError, QueueName, Queues, Receipt, ReceiveLimits,
        Verdict,
    },
    state::StateStore,
};
use stages::frame::{FrameId, Lane};

/// Limits of the engine under test; the others are as it likes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) queue_bytes_max: u64,
    pub(crate) frame_bytes_max: usize,
    pub(crate) dead_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { queue_bytes_max: 1 << 30, frame_bytes_max: 1 << 20, dead_bytes_max: 1 << 30 }
    }
}

/// What [`numbers`] says of no deliveries.
pub(crate) const NONE: [u32; 0] = [];

pub(crate) const LANES: u16 = 4;
pub(crate) const DEDUPE_WINDOW: Duration = Duration::from_secs(300);
pub(crate) const MAX_ATTEMPTS: u32 = 5;

/// An engine with fresh queues: [`LANES`] lanes, leases of [`Engine::LEASE`], a window of [`DEDUPE_WINDOW`].
pub(crate) trait Engine: Sized {
    /// How long a delivery is leased for.
    const LEASE: Duration;

    /// By how much times may differ from what was asked for.
    const MOMENT: Duration;

    /// The largest frame that is taken.
    const FRAME_BYTES_MAX: usize;

    async fn start(limits: Limits) -> Self;

    /// The queues as this process sees them.
    fn queues(&self) -> Queues;

    /// The state beside them.
    fn state(&self) -> StateStore;

    /// The same queues as another process sees them.
    async fn another_process(&self) -> Queues;

    /// Like [`Engine::another_process`], of one that was told other limits.
    async fn another_process_with(&self, limits: Limits) -> Queues;

    /// Ends this process, orderly, and starts it anew.
    async fn restart(&mut self);

    /// This process dies, whatever it holds; [`Engine::queues`] is its successor's from now on.
    async fn die(&mut self);

    /// Time goes by.
    async fn advance(&self, by: Duration);

    /// The clock of the machine is put back.
    async fn put_back(&self, by: Duration);

    /// The helper program `queue-child`, told to do `action` on these queues.
    fn child(&self, action: &str) -> Command;
}

/// A frame whose id, rows and bytes follow from `number`.
pub(crate) fn frame(number: u32, lane: u16) -> EncodedFrame {
    sized(number, lane, 100)
}

pub(crate) fn sized(number: u32, lane: u16, bytes: usize) -> EncodedFrame {
    let byte = number.to_le_bytes()[0];
    EncodedFrame { id: id(number), lane: Lane(lane), rows: number, bytes: vec![byte; bytes].into() }
}

pub(crate) fn id(number: u32) -> FrameId {
    FrameId(u128::from(number).to_be_bytes())
}

/// The numbers of delivered frames.
pub(crate) fn numbers(deliveries: &[Delivery]) -> Vec<u32> {
    deliveries.iter().map(|delivery| delivery.frame.rows).collect()
}

pub(crate) fn receipts(deliveries: &[Delivery]) -> Vec<Receipt> {
    deliveries.iter().map(|delivery| delivery.receipt.clone()).collect()
}

pub(crate) fn entry(queue: QueueName, frame: EncodedFrame) -> Publish {
    Publish { queue, frame }
}

pub(crate) async fn publish(
    queues: &Queues,
    queue: QueueName,
    frames: impl IntoIterator<Item = EncodedFrame>,
) {
    let answers = queues.publish(frames.into_iter().map(|frame| entry(queue, frame)).collect()).await;
    for answer in answers {
        answer.expect("published");
    }
}

/// What is there to receive now, at most `frames`.
pub(crate) async fn receive(
    queues: &Queues,
    queue: QueueName,
    holder: Holder,
    frames: usize,
) -> Vec<Delivery> {
    let limits = ReceiveLimits { frames, bytes: 1 << 30, wait: Duration::ZERO };
    queues.receive(queue, holder, limits).await.expect("received")
}

/// All that is there to receive now, in the order in which it comes.
pub(crate) async fn receive_all(queues: &Queues, queue: QueueName) -> Vec<u32> {
    let (mut all, holder) = (Vec::new(), queues.holder());
    loop {
        let more = receive(queues, queue, holder, 1000).await;
        if more.is_empty() {
            return all;
        }
        all.extend(numbers(&more));
    }
}

/// What comes within a time that no test should need.
pub(crate) async fn await_frames(queues: &Queues, queue: QueueName, holder: Holder) -> Vec<Delivery> {
    let limits = ReceiveLimits { frames: 100, bytes: 1 << 30, wait: Duration::from_secs(20) };
    queues.receive(queue, holder, limits).await.expect("received")
}

pub(crate) async fn settle(queues: &Queues, delivery: &Delivery, verdict: Verdict) -> Result<(), QueueError> {
    let mut answers = queues.settle(vec![(delivery.receipt.clone(), verdict)]).await;
    assert_eq!(answers.len(), 1, "one answer per entry");
    answers.remove(0)
}

pub(crate) async fn done(queues: &Queues, deliveries: &[Delivery]) {
    let verdicts = receipts(deliveries).into_iter().map(|receipt| (receipt, Verdict::Done)).collect();
    for answer in queues.settle(verdicts).await {
        answer.expect("settled");
    }
}

pub(crate) fn is_lost(answer: &Result<(), QueueError>) -> bool {
    matches!(answer, Err(QueueError::Lost { .. }))
}
