//! Packs messages into frames: a buffer per lane, filled by senders and emptied by the publisher.
//!
//! A sender writes rows straight into the buffer of their lane and keeps a [`Ticket`] for each; the
//! publisher takes what is due, and tells the senders concerned when it is durable. Packet ids of QoS 2 go
//! the same way: with the row of their message, and in a buffer of their own once they are released.

mod batch;
mod scale;
mod sender;
#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use stages::{
    frame::{Lane, Micros},
    topic::Topics,
};
use tokio::sync::Notify;

use self::{batch::Buffer, scale::Scale};
pub(super) use self::{
    batch::{Batch, Incoming, Rows, Slot, Ticket},
    sender::Sender,
};

/// A message number is the epoch above so many bits of a counter.
const COUNTER_BITS: u32 = 40;

/// When frames are closed, and how much may wait for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackerOptions {
    /// A frame is closed before its messages take more bytes than this; one message may.
    pub frame_bytes_max: usize,
    /// A frame is closed when it has so many rows.
    pub frame_rows_max: usize,
    /// A frame is closed when its first row is this old.
    pub linger: Duration,
    /// No more is taken from senders while so many bytes are not durable yet.
    pub buffer_bytes_max: usize,
    /// How many lanes the queues have.
    pub lanes: u16,
    /// Where requests are paid for by what they carry: what else closes frames there.
    pub paid: Option<Paid>,
}

/// When frames are closed where requests are paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paid {
    /// A frame is closed just before it takes more than this once it is encoded, as far as that can be known.
    pub frame_bytes: usize,
    /// A frame that somebody waits for, who can do nothing until it is durable, is closed when its first row is this old.
    pub linger_awaited: Duration,
}

impl Default for PackerOptions {
    fn default() -> Self {
        Self {
            frame_bytes_max: 256 << 10,
            frame_rows_max: 8192,
            linger: Duration::from_millis(5),
            buffer_bytes_max: 64 << 20,
            lanes: 4,
            paid: None,
        }
    }
}

impl PackerOptions {
    /// At how many buffered bytes a frame is closed.
    fn closed_at(&self, scale: Scale) -> usize {
        let full = self.paid.map_or(usize::MAX, |paid| scale.buffered(paid.frame_bytes));
        self.frame_bytes_max.min(full)
    }

    /// At how many bytes of payloads a frame is sure to be taken, for who knows nothing of how it comes out.
    pub(crate) fn sure_bytes(&self) -> usize {
        let full = self.paid.map_or(usize::MAX, |paid| paid.frame_bytes / 2);
        self.frame_bytes_max.min(full)
    }

    /// When a frame is due that was begun then.
    fn due_at(&self, open: &Batch) -> Option<Instant> {
        let linger = match self.paid {
            _ if !open.awaited => self.linger,
            Some(paid) => paid.linger_awaited,
            None => Duration::ZERO,
        };
        Some(open.since? + linger)
    }
}

/// One slot's buffer, and how far it is durable.
struct Shelf {
    buffer: Mutex<Buffer>,
    /// Batches with a smaller number are durable.
    durable: AtomicU64,
}

/// The buffers of all lanes.
pub(super) struct Packer {
    options: PackerOptions,
    topics: Arc<Topics>,
    shelves: Vec<Shelf>,
    next_message: AtomicU64,
    buffered_bytes: AtomicUsize,
    finished: AtomicBool,
    /// When the first message was received of those that the publisher has in hand; the greatest instant while it has
    /// none. Locked before any buffer.
    in_hand: Mutex<Micros>,
    /// Tells the publisher that something may have become due.
    work: Notify,
    /// Tells senders that there is room again.
    room: Notify,
}

impl Packer {
    /// `epoch` numbers the messages, see [`Packer::renumber`].
    pub(super) fn new(options: PackerOptions, topics: Arc<Topics>, epoch: u64) -> Arc<Self> {
        let shelf = |slot| Shelf {
            buffer: Mutex::new(Buffer::new(Slot(slot), (slot < options.lanes).then_some(Lane(slot)))),
            durable: AtomicU64::new(0),
        };
        Arc::new(Self {
            options,
            topics,
            shelves: (0..=options.lanes + 1).map(shelf).collect(),
            next_message: AtomicU64::new(epoch << COUNTER_BITS),
            buffered_bytes: AtomicUsize::new(0),
            finished: AtomicBool::new(false),
            in_hand: Mutex::new(Micros::MAX),
            work: Notify::new(),
            room: Notify::new(),
        })
    }

    /// A handle for one connection.
    pub(super) fn sender(self: &Arc<Self>) -> Sender {
        Sender::new(Arc::clone(self))
    }

    /// Where messages of `topic` go: by the capture `device`, or by the topic where there is none.
    pub(super) fn slot(&self, topic: &str) -> Slot {
        let lanes = self.options.lanes;
        Slot(lane_of(&self.topics, topic, lanes).map_or(lanes, |lane| lane.0))
    }

    /// Where released packet ids go. They are never sealed, so every take takes all there are: a packet id
    /// that is used again is forgotten before it is remembered anew.
    fn releases(&self) -> Slot {
        Slot(self.options.lanes + 1)
    }

    /// Whether what this ticket is for is durable.
    pub(super) fn is_durable(&self, ticket: Ticket) -> bool {
        self.shelf(ticket.slot).durable.load(Ordering::Acquire) > ticket.batch
    }

    /// Whether senders may append.
    pub(super) fn has_room(&self) -> bool {
        self.buffered_bytes() < self.options.buffer_bytes_max
    }

    /// Waits until senders may append.
    pub(super) async fn room(&self) {
        loop {
            let freed = self.room.notified();
            if self.has_room() {
                return;
            }
            freed.await;
        }
    }

    /// How many bytes of messages are not durable yet.
    pub(super) fn buffered_bytes(&self) -> usize {
        self.buffered_bytes.load(Ordering::Relaxed)
    }

    /// When the oldest message was received that is not durable yet.
    pub(super) fn received_at(&self) -> Option<Micros> {
        let in_hand = lock(&self.in_hand);
        let buffered = self.shelves.iter().map(|shelf| lock(&shelf.buffer).received_at());
        Some(buffered.fold(*in_hand, Micros::min)).filter(|received_at| *received_at < Micros::MAX)
    }

    /// A number that no message of this data directory had or will have, in this epoch.
    pub(super) fn number(&self) -> u64 {
        self.next_message.fetch_add(1, Ordering::Relaxed)
    }

    /// How many messages were numbered in this epoch.
    pub(super) fn numbered(&self) -> u64 {
        self.next_message.load(Ordering::Relaxed) & ((1 << COUNTER_BITS) - 1)
    }

    /// Whether the counter of this epoch is half used up, so that another one should follow.
    pub(super) fn wants_epoch(&self) -> bool {
        self.numbered() >> (COUNTER_BITS - 1) != 0
    }

    /// Numbers the messages from here on in `epoch`.
    pub(super) fn renumber(&self, epoch: u64) {
        self.next_message.store(epoch << COUNTER_BITS, Ordering::Relaxed);
    }

    /// No more will be appended: what there is is due, then the publisher ends.
    pub(super) fn finish(&self) {
        self.finished.store(true, Ordering::Release);
        self.work.notify_one();
    }

    /// Waits until something is due and takes it, at most one batch of each slot. None at the end.
    ///
    /// When one lane is due, what the others have goes with it: the commit costs the same. Where requests are paid for, it does
    /// not go with a full frame, which is a request by itself.
    pub(super) async fn due(&self) -> Option<Vec<Batch>> {
        loop {
            // Before looking, so that what becomes due meanwhile wakes us.
            let work = self.work.notified();
            let finished = self.finished.load(Ordering::Acquire);
            match self.due_at() {
                None if finished => return None,
                None => work.await,
                Some(at) if !finished && at > Instant::now() => tokio::select! {
                    () = work => {}
                    () = tokio::time::sleep_until(at.into()) => return Some(self.take()),
                },
                Some(_) => return Some(self.take()),
            }
        }
    }

    fn due_at(&self) -> Option<Instant> {
        // Nobody can add anything while there is no room.
        let has_room = self.has_room();
        let due = |shelf: &Shelf| {
            let buffer = lock(&shelf.buffer);
            match buffer.sealed.front() {
                Some(sealed) => sealed.since,
                None if !has_room => buffer.open.since,
                None => self.options.due_at(&buffer.open),
            }
        };
        self.shelves.iter().filter_map(due).min()
    }

    fn take(&self) -> Vec<Batch> {
        let takes_all = self.takes_all();
        let mut taken: Vec<Batch> = Vec::with_capacity(self.shelves.len());
        // Held until all are taken: who looks in between would find them neither here nor there.
        let mut in_hand = lock(&self.in_hand);
        for shelf in &self.shelves {
            let mut buffer = lock(&shelf.buffer);
            let of_rows = buffer.open.slot != self.releases();
            if buffer.sealed.is_empty() && buffer.open.since.is_some() && (takes_all || !of_rows) {
                buffer.seal();
            }
            taken.extend(buffer.sealed.pop_front());
        }
        *in_hand = taken.iter().map(|batch| batch.received_at).fold(*in_hand, Micros::min);
        taken
    }

    /// Whether what is open is taken, too, not only what is full and packet ids.
    fn takes_all(&self) -> bool {
        if self.options.paid.is_none() || self.finished.load(Ordering::Acquire) || !self.has_room() {
            return true;
        }
        let now = Instant::now();
        let is_due = |shelf: &Shelf| {
            let buffer = lock(&shelf.buffer);
            let open = &buffer.open;
            open.slot != self.releases()
                && buffer.sealed.is_empty()
                && self.options.due_at(open).is_some_and(|at| at <= now)
        };
        self.shelves.iter().any(is_due)
    }

    /// A batch of this slot came out as so many bytes.
    pub(super) fn learn(&self, batch: &Batch, encoded: usize) {
        lock(&self.shelf(batch.slot).buffer).scale.learn(batch.bytes, encoded);
    }

    /// These batches, all that were taken, are durable: wakes the senders with messages in them.
    pub(super) fn settle(&self, batches: Vec<Batch>) {
        *lock(&self.in_hand) = Micros::MAX;
        let freed: usize = batches.iter().map(|batch| batch.bytes).sum();
        let before = self.buffered_bytes.fetch_sub(freed, Ordering::Relaxed);
        if before >= self.options.buffer_bytes_max {
            self.room.notify_waiters();
        }
        for batch in &batches {
            self.shelf(batch.slot).durable.store(batch.number + 1, Ordering::Release);
        }
        for waiter in batches.iter().flat_map(|batch| &batch.waiters) {
            waiter.notify_one();
        }
    }

    fn shelf(&self, slot: Slot) -> &Shelf {
        &self.shelves[usize::from(slot.0)]
    }
}

/// The lane of messages of `topic`: by the capture `device`, or by the topic where there is none. None where no pattern fits.
pub(crate) fn lane_of(topics: &Topics, topic: &str, lanes: u16) -> Option<Lane> {
    topics.find(topic).map(|found| Lane::of(found.device_or_topic(), lanes))
}

/// A panic under the lock may leave half a row; Arrow notices when the frame is made, and ingest fails.
fn lock<T>(buffer: &Mutex<T>) -> MutexGuard<'_, T> {
    buffer.lock().unwrap_or_else(PoisonError::into_inner)
}
