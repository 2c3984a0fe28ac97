//! Keeps the leases on what a worker has in hand for as long as it works on it.

use std::{future::Future, mem, pin::pin, time::Duration};

use tokio::time::{Instant, sleep_until};

use crate::queue::{QueueError, Queues, Receipt};

/// Leases in the data file are extended at least this often, however long they are: a process whose own are shorter takes long
/// ones for those of a clock that was ahead, and cuts them to what it would give, which is a minute at the least. No other engine
/// goes by the clocks of its users.
const EXTEND_EVERY_MAX: Duration = Duration::from_secs(15);

/// The receipts of a worker, extended well before their leases end.
pub(crate) struct Leases {
    queues: Queues,
    held: Vec<Receipt>,
    every: Duration,
    next: Instant,
    lost: bool,
}

impl Leases {
    /// No leases yet.
    pub(crate) fn new(queues: Queues) -> Self {
        let every = every(queues.lease(), queues.database().is_some());
        Self { queues, held: Vec::new(), every, next: Instant::now() + every, lost: false }
    }

    /// What is held.
    pub(crate) fn held(&self) -> &[Receipt] {
        &self.held
    }

    /// Holds one more.
    pub(crate) fn hold(&mut self, receipt: Receipt) {
        if self.held.is_empty() {
            self.next = Instant::now() + self.every;
        }
        self.held.push(receipt);
    }

    /// Lets go of one: it is settled by itself.
    pub(crate) fn release(&mut self, receipt: &Receipt) {
        self.held.retain(|held| held != receipt);
    }

    /// Lets go of all: they are settled, or lost.
    pub(crate) fn clear(&mut self) {
        self.held.clear();
        self.lost = false;
    }

    /// Whether some of what is held is known to be lost.
    pub(crate) fn has_lost(&self) -> bool {
        self.lost
    }

    /// When the leases want to be extended.
    pub(crate) fn due(&self) -> Instant {
        self.next
    }

    /// Runs `work` to its end and extends the leases meanwhile.
    pub(crate) async fn keep<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = sleep_until(self.next) => self.extend().await,
            }
        }
    }

    /// Extends what is held if it is time to. Leases that are lost by now show when they are settled.
    pub(crate) async fn extend_if_due(&mut self) {
        if Instant::now() >= self.next {
            self.extend().await;
        }
    }

    async fn extend(&mut self) {
        self.next = Instant::now() + self.every;
        if self.held.is_empty() {
            return;
        }
        let held: Vec<Receipt> = self.held.iter().filter(|receipt| !receipt.is_settled()).cloned().collect();
        let answers = self.queues.extend(held.clone()).await;
        // Work goes on meanwhile: what it has settled by now is not lost.
        let lost = |(receipt, answer): &(&Receipt, Result<(), QueueError>)| {
            matches!(answer, Err(QueueError::Lost { .. })) && !receipt.is_ending()
        };
        let count = held.iter().zip(answers).filter(lost).count();
        if count > 0 && !mem::replace(&mut self.lost, true) {
            tracing::warn!(
                frames = count,
                "leases were lost: this worker, or what answers it, stood still for about lease_secs"
            );
        }
    }
}

/// How often leases of this length are extended.
fn every(lease: Duration, in_file: bool) -> Duration {
    let third = lease / 3;
    if in_file { third.min(EXTEND_EVERY_MAX) } else { third }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        database::Database,
        queue::{EncodedFrame, Publish, QueueName, ReceiveLimits, SqliteOptions, SqliteQueues, Verdict},
    };
    use bytes::Bytes;
    use stages::frame::{FrameId, Lane};

    async fn queues(options: SqliteOptions) -> (tempfile::TempDir, SqliteQueues) {
        let directory = tempfile::tempdir().expect("a directory");
        let database = Database::open(&directory.path().join("millstream.db")).expect("opened");
        (directory, SqliteQueues::open(database, options).await.expect("opened"))
    }

    /// So many frames, held.
    async fn held(engine: &SqliteQueues, frames: u8) -> (Leases, Vec<Receipt>) {
        let queues = Queues::Sqlite(engine.clone());
        let frame = |id| EncodedFrame {
            id: FrameId([id; 16]),
            lane: Lane(0),
            rows: 1,
            bytes: Bytes::from_static(b"a frame").into(),
        };
        let entries = (0..frames).map(|id| Publish { queue: QueueName::Store, frame: frame(id) }).collect();
        queues.publish(entries).await.into_iter().for_each(|published| published.expect("published"));
        let limits = ReceiveLimits { frames: frames.into(), bytes: usize::MAX, wait: Duration::ZERO };
        let received = queues.receive(QueueName::Store, queues.holder(), limits).await.expect("received");
        let receipts: Vec<_> = received.into_iter().map(|delivery| delivery.receipt).collect();
        let mut leases = Leases::new(queues);
        receipts.iter().cloned().for_each(|receipt| leases.hold(receipt));
        (leases, receipts)
    }

    #[tokio::test]
    async fn what_is_settled_meanwhile_is_not_lost() {
        let (_directory, engine) = queues(SqliteOptions::default()).await;
        let (mut leases, receipts) = held(&engine, 3).await;
        let settled = leases.queues.settle(vec![(receipts[0].clone(), Verdict::Done)]).await;
        settled.into_iter().for_each(|settled| settled.expect("settled"));
        leases.extend().await;
        assert!(!leases.has_lost());
        // Somebody else had it by then: nothing here says that it is settled.
        let settled = engine.settle(vec![(receipts[1].clone(), Verdict::Done)]).await;
        settled.into_iter().for_each(|settled| settled.expect("settled"));
        leases.extend().await;
        assert!(leases.has_lost());
    }

    #[test]
    fn leases_are_extended_well_before_they_end() {
        for (lease, in_file, expected) in
            [(30, true, 10), (30, false, 10), (600, true, 15), (600, false, 200)]
        {
            let (lease, expected) = (Duration::from_secs(lease), Duration::from_secs(expected));
            assert_eq!(every(lease, in_file), expected, "{lease:?}, {in_file}");
        }
    }

    #[tokio::test]
    async fn long_leases_are_extended_before_others_would_have_them_end() {
        let cut_to = SqliteOptions::default().put_off_max;
        let options = SqliteOptions { lease: Duration::from_secs(3600), ..SqliteOptions::default() };
        let (_directory, engine) = queues(options).await;
        let leases = Leases::new(Queues::Sqlite(engine));
        assert!(leases.due() < Instant::now() + cut_to / 3, "{:?}", leases.every);
    }
}
