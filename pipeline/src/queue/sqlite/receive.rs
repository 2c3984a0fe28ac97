//! Handing out frames, and waiting for them.

use std::{mem, sync::Arc, sync::atomic::Ordering, time::Duration};

use rusqlite::Connection;
use stages::frame::{Lane, Micros};
use tokio::{
    select,
    time::{Instant, sleep},
};

use super::{LEASES, SqliteQueues, handover::Handover, lease, line, signals::Signals, tally::Tally};
use crate::{
    clock::micros,
    database::{Durability, Registration},
    queue::{Delivery, Holder, QueueError, QueueName, ReceiveLimits},
};

/// A queue is looked at this often even when nothing tells of a frame, and other owners' lives with it.
const RECHECK: Duration = Duration::from_secs(1);

/// How much longer than can be a frame may seem to be held before the clock is taken to have been put back: the times
/// of two writes are not in the order of the writes.
const CLOCK_SLACK: Duration = Duration::from_secs(5);

impl SqliteQueues {
    /// See [`Queues::receive`](crate::queue::Queues::receive).
    ///
    /// # Errors
    /// When the file cannot be written or read.
    pub async fn receive(
        &self,
        queue: QueueName,
        holder: Holder,
        limits: ReceiveLimits,
    ) -> Result<Vec<Delivery>, QueueError> {
        self.receive_from(queue, Lines::One, holder, limits).await
    }

    /// See [`Queues::receive_runs`](crate::queue::Queues::receive_runs).
    ///
    /// # Errors
    /// When the file cannot be written or read.
    pub async fn receive_runs(
        &self,
        queue: QueueName,
        holder: Holder,
        limits: ReceiveLimits,
    ) -> Result<Vec<Delivery>, QueueError> {
        self.receive_from(queue, Lines::All, holder, limits).await
    }

    /// See [`Queues::receive_lane`](crate::queue::Queues::receive_lane).
    ///
    /// # Errors
    /// When the file cannot be written or read.
    pub async fn receive_lane(
        &self,
        queue: QueueName,
        lane: Lane,
        holder: Holder,
        limits: ReceiveLimits,
    ) -> Result<Vec<Delivery>, QueueError> {
        self.receive_from(queue, Lines::Only(queue.line(lane)), holder, limits).await
    }

    async fn receive_from(
        &self,
        queue: QueueName,
        lines: Lines,
        holder: Holder,
        limits: ReceiveLimits,
    ) -> Result<Vec<Delivery>, QueueError> {
        let started = Instant::now();
        let mut others = self.database().others();
        loop {
            // From here on nothing is missed: what comes while looking ends the wait after it.
            let ready = self.inner.signals.of(queue).ready.notified();
            others.mark_unchanged();
            let found = self.look(queue, lines, holder, limits).await?;
            let waited = started.elapsed();
            if !found.deliveries.is_empty() || waited >= limits.wait {
                return Ok(found.claim());
            }
            let nap = (limits.wait - waited).min(RECHECK).min(found.due_in.unwrap_or(RECHECK));
            select! {
                () = ready => {}
                _ = others.changed() => {}
                () = sleep(nap) => {}
            }
        }
    }

    async fn look(
        &self,
        queue: QueueName,
        lines: Lines,
        holder: Holder,
        limits: ReceiveLimits,
    ) -> Result<Found, QueueError> {
        let options = self.options();
        let now = options.clock.now();
        let checked_at = &self.inner.owners_checked_at;
        // Also when the clock was put back.
        let recheck = !(0..micros(RECHECK)).contains(&now.saturating_sub(checked_at.load(Ordering::Relaxed)));
        if recheck {
            checked_at.store(now, Ordering::Relaxed);
        }
        let look = Look {
            queue,
            holder: holder.key(),
            limits,
            lines,
            lanes: options.lanes,
            lease: LEASES.fetch_add(1, Ordering::Relaxed),
            until: self.lease_until(),
            now,
            latest: now.saturating_add(micros(options.lease.max(options.put_off_max) + CLOCK_SLACK)),
            max_attempts: options.max_attempts,
            recheck,
            registration: self.database().registration(),
            handover: self.inner.handover.clone(),
        };
        let signals = self.inner.signals.clone();
        let work = move |connection: &Connection, tally: &mut Tally| {
            look.handover.expect(look.queue);
            look.return_unclaimed(connection, tally, &signals)?;
            let (deliveries, due) = look.find(connection, tally, holder)?;
            let due_in = due.map(|due| Duration::from_micros((due - now).max(0).cast_unsigned()));
            Ok(Found { deliveries, due_in, signals })
        };
        self.change(Durability::Process, work).await.answer().await.map(|(found, _)| found)
    }
}

/// What a look came back with. Dropped before it is claimed, its frames are handed out anew: a caller may stop
/// waiting at any time.
struct Found {
    deliveries: Vec<Delivery>,
    /// When the next lease ends or the next frame that was put off comes back, where nothing was found.
    due_in: Option<Duration>,
    signals: Arc<Signals>,
}

impl Found {
    fn claim(mut self) -> Vec<Delivery> {
        mem::take(&mut self.deliveries)
    }
}

impl Drop for Found {
    fn drop(&mut self) {
        let unclaimed = mem::take(&mut self.deliveries);
        self.signals.leave_unclaimed(unclaimed.into_iter().map(|delivery| delivery.receipt));
    }
}

/// Where frames are taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lines {
    /// The line with the oldest frame.
    One,
    /// One after the other.
    All,
    /// This one.
    Only(u16),
}

/// One look for frames, inside a transaction.
pub(super) struct Look {
    pub(super) queue: QueueName,
    pub(super) holder: i64,
    pub(super) limits: ReceiveLimits,
    pub(super) lines: Lines,
    /// How many lanes ordered queues have.
    pub(super) lanes: u16,
    pub(super) lease: i64,
    pub(super) until: Micros,
    now: Micros,
    /// No frame is held until after then.
    latest: Micros,
    max_attempts: u32,
    recheck: bool,
    registration: Arc<Registration>,
    pub(super) handover: Arc<Handover>,
}

impl Look {
    fn return_unclaimed(
        &self,
        connection: &Connection,
        tally: &mut Tally,
        signals: &Signals,
    ) -> Result<(), QueueError> {
        for receipt in signals.take_unclaimed() {
            match lease::find(connection, &receipt) {
                Ok(held) => {
                    lease::give_back(connection, &held)?;
                    tally.freed(held.queue);
                }
                Err(QueueError::Lost { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The deliveries, and where there are none the time of the next change that comes by itself.
    fn find(
        &self,
        connection: &Connection,
        tally: &mut Tally,
        holder: Holder,
    ) -> rusqlite::Result<(Vec<Delivery>, Option<Micros>)> {
        lease::free_due(connection, tally, self.now, self.max_attempts)?;
        if self.recheck {
            lease::rein_in(connection, self.latest)?;
            self.free_dead(connection, tally)?;
        }
        let mut deliveries = line::hand_out(connection, self, holder)?;
        // Blocked, perhaps by somebody who is no more.
        if deliveries.is_empty() && self.free_dead(connection, tally)? {
            deliveries = line::hand_out(connection, self, holder)?;
        }
        let due = if deliveries.is_empty() { lease::next_due(connection)? } else { None };
        Ok((deliveries, due))
    }

    fn free_dead(&self, connection: &Connection, tally: &mut Tally) -> rusqlite::Result<bool> {
        lease::free_dead(connection, tally, &self.registration, self.now, self.max_attempts)
    }
}
