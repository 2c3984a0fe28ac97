//! Verdicts, and leases that are extended.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    SqsQueues,
    api::{BATCH, DELETE, Refusal},
    error::SqsError,
    held::Lease,
    line::Line,
};
use crate::queue::{QueueError, Receipt, Verdict};

/// No lease lasts for longer.
const LEASE_MAX: Duration = Duration::from_secs(12 * 3600);
/// What the way of a request may take of that.
const MARGIN: Duration = Duration::from_secs(60);

type Answer = Result<(), QueueError>;

/// A lease to be ended or to last longer: its number, and its place among the entries.
struct Change {
    at: usize,
    number: u64,
    lease: Lease,
    secs: i32,
}

/// A frame that is given back.
struct PutOff {
    receipt: Receipt,
    /// For how long it is kept from everybody.
    after: Duration,
    /// Whether nobody has tried it.
    untried: bool,
}

impl PutOff {
    /// The verdict, if it is such a one; else the receipt again.
    fn of(receipt: Receipt, verdict: &Verdict) -> Result<Self, Receipt> {
        match verdict {
            Verdict::Retry(after) => Ok(Self { receipt, after: *after, untried: false }),
            Verdict::Later(after) => Ok(Self { receipt, after: *after, untried: true }),
            Verdict::Done | Verdict::Dead(_) => Err(receipt),
        }
    }
}

impl SqsQueues {
    /// See [`Queues::settle`](crate::queue::Queues::settle).
    ///
    /// # Errors
    /// Those given there, per delivery.
    pub async fn settle(&self, verdicts: Vec<(Receipt, Verdict)>) -> Vec<Result<(), QueueError>> {
        let mut answers = Vec::with_capacity(verdicts.len());
        let mut rest = verdicts.into_iter().peekable();
        while let Some((receipt, verdict)) = rest.next() {
            // Those of one kind that follow each other share requests.
            match PutOff::of(receipt, &verdict) {
                Ok(put_off) => {
                    let mut all = vec![put_off];
                    while let Some((receipt, verdict)) =
                        rest.next_if(|(_, next)| matches!(next, Verdict::Retry(_) | Verdict::Later(_)))
                    {
                        all.extend(PutOff::of(receipt, &verdict).ok());
                    }
                    answers.append(&mut self.put_off(&all).await);
                }
                Err(receipt) => match verdict {
                    Verdict::Dead(reason) => answers.push(self.give_up(&receipt, &reason).await),
                    _ => {
                        let mut done = vec![receipt];
                        while let Some((next, _)) = rest.next_if(|(_, next)| *next == Verdict::Done) {
                            done.push(next);
                        }
                        answers.append(&mut self.delete(&done).await);
                    }
                },
            }
        }
        answers
    }

    /// See [`Queues::extend`](crate::queue::Queues::extend).
    ///
    /// # Errors
    /// Those given there, per delivery.
    pub async fn extend(&self, receipts: Vec<Receipt>) -> Vec<Result<(), QueueError>> {
        let (mut answers, mut changes) = (Vec::with_capacity(receipts.len()), Vec::new());
        let (now, lasts) = (Instant::now(), self.options().lease());
        for (at, receipt) in receipts.iter().enumerate() {
            answers.push(self.find(receipt).map(|(number, lease)| {
                let secs = left(&lease, now, lasts);
                changes.push(Change { at, number, lease, secs });
            }));
        }
        for changes in by_line(changes) {
            let leases: Vec<_> =
                changes.iter().map(|change| (change.lease.handle.clone(), change.secs)).collect();
            let answered = self.inner.api.change(&changes[0].lease.line.main, &leases).await;
            for (change, answer) in changes.iter().zip(answered) {
                if answer.is_ok() {
                    let lasts = Duration::from_secs(change.secs.unsigned_abs().into());
                    self.inner.leases.extend(change.number, now + lasts);
                }
                // One that is just being settled takes nothing behind it along.
                let receipt = &receipts[change.at];
                answers[change.at] = match answer {
                    Err(Refusal::Lost) if receipt.is_ending() => Err(lost(receipt)),
                    answer => self.answer(change, receipt, answer),
                };
            }
        }
        answers
    }

    /// Deletes frames that are dealt with.
    async fn delete(&self, receipts: &[Receipt]) -> Vec<Answer> {
        let (mut answers, mut changes) = (Vec::with_capacity(receipts.len()), Vec::new());
        for (at, receipt) in receipts.iter().enumerate() {
            answers.push(self.find(receipt).map(|(number, lease)| {
                changes.push(Change { at, number, lease, secs: 0 });
            }));
        }
        for changes in by_line(changes) {
            let handles: Vec<_> = changes.iter().map(|change| change.lease.handle.clone()).collect();
            let answered = self.delete_gathered(&changes[0].lease.line, handles).await;
            for (change, answer) in changes.iter().zip(answered) {
                if answer.is_ok() {
                    self.inner.leases.remove(change.number);
                    self.inner.leases.forget(change.lease.line.queue, change.lease.frame.id);
                }
                answers[change.at] = self.answer(change, &receipts[change.at], answer);
            }
        }
        answers
    }

    /// Deletes together with what else is deleted now.
    async fn delete_gathered(&self, line: &Arc<Line>, handles: Vec<String>) -> Vec<Result<(), Refusal>> {
        let (api, place, count) = (self.inner.api.clone(), line.main.clone(), handles.len());
        let act = async move |handles: Vec<String>| api.delete(&place, &handles).await;
        let answers = line.shared.deletes.add(handles, count as f64 / BATCH as f64, act).await;
        answers.unwrap_or_else(|| vec![Err(SqsError::unanswered(DELETE, &line.main.name).into()); count])
    }

    /// Gives frames back, each with all behind it in its lane, and keeps them from everybody for a while.
    async fn put_off(&self, receipts: &[PutOff]) -> Vec<Answer> {
        let (mut answers, mut changes, now) =
            (Vec::with_capacity(receipts.len()), Vec::new(), Instant::now());
        for (at, PutOff { receipt, after, untried }) in receipts.iter().enumerate() {
            answers.push(self.find(receipt).map(|(number, lease)| {
                let behind = self.inner.leases.remove_behind(number);
                self.inner.leases.remove(number);
                behind
                    .iter()
                    .chain(untried.then_some(&lease))
                    .for_each(|lease| self.inner.leases.spare(lease));
                let secs = left(&lease, now, *after);
                changes.push(Change { at, number, lease, secs });
                // The lane waits for the first of them all the same.
                changes.extend(behind.into_iter().map(|lease| Change { at, number: 0, lease, secs: 0 }));
            }));
        }
        for changes in by_line(changes) {
            let leases: Vec<_> =
                changes.iter().map(|change| (change.lease.handle.clone(), change.secs)).collect();
            let answered = self.inner.api.change(&changes[0].lease.line.main, &leases).await;
            // What is behind and cannot be given back comes back when its lease ends.
            for (change, answer) in changes.iter().zip(answered).filter(|(change, _)| change.number > 0) {
                answers[change.at] = self.answer(change, &receipts[change.at].receipt, answer);
            }
        }
        answers
    }

    /// Moves a frame to the dead letters: it is there before it leaves its queue.
    async fn give_up(&self, receipt: &Receipt, reason: &str) -> Answer {
        let (_, Lease { line, frame, published_at, attempts, .. }) = self.find(receipt)?;
        // It may die again after it was requeued, which is another time.
        let deduplication = format!("{}-{published_at}", frame.id);
        self.keep(&line, &frame, published_at, deduplication, (attempts + 1, reason)).await?;
        self.delete(std::slice::from_ref(receipt)).await.into_iter().collect()
    }

    /// Whether the frame of a receipt is still held, as far as this process knows.
    ///
    /// # Errors
    /// [`QueueError::Lost`] when it is not.
    pub(super) fn is_held(&self, receipt: &Receipt) -> Result<(), QueueError> {
        self.find(receipt).map(drop)
    }

    /// What a receipt stands for.
    ///
    /// # Errors
    /// [`QueueError::Lost`] when it stands for nothing any more.
    fn find(&self, receipt: &Receipt) -> Result<(u64, Lease), QueueError> {
        let number = receipt.lease().ok_or_else(|| lost(receipt))?;
        let lease = self.inner.leases.find(number, Instant::now()).ok_or_else(|| lost(receipt))?;
        Ok((number, lease))
    }

    fn answer(&self, change: &Change, receipt: &Receipt, answer: Result<(), Refusal>) -> Answer {
        match answer {
            Ok(()) => Ok(()),
            Err(Refusal::Lost) => {
                self.inner.leases.remove_behind(change.number);
                self.inner.leases.remove(change.number);
                Err(lost(receipt))
            }
            Err(Refusal::Other(error)) => Err(error.into()),
        }
    }
}

fn lost(receipt: &Receipt) -> QueueError {
    QueueError::Lost { queue: receipt.queue(), frame: receipt.frame() }
}

/// For how many seconds from now a lease may last, which somebody wants to last so long.
fn left(lease: &Lease, now: Instant, wanted: Duration) -> i32 {
    let over = (lease.received_at + LEASE_MAX).saturating_duration_since(now + MARGIN);
    whole_secs(wanted.min(over))
}

/// A time in whole seconds, rounded up.
pub(super) fn whole_secs(time: Duration) -> i32 {
    let secs = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    i32::try_from(secs).unwrap_or(i32::MAX)
}

/// The changes of each queue of SQS, in their order.
fn by_line(changes: Vec<Change>) -> Vec<Vec<Change>> {
    let mut groups: Vec<(Arc<Line>, Vec<Change>)> = Vec::new();
    for change in changes {
        match groups.iter_mut().find(|(line, _)| Arc::ptr_eq(line, &change.lease.line)) {
            Some((_, group)) => group.push(change),
            None => groups.push((Arc::clone(&change.lease.line), vec![change])),
        }
    }
    groups.into_iter().map(|(_, changes)| changes).collect()
}
