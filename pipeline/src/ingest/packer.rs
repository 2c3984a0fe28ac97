//! Packs messages into frames: a buffer per lane, filled by senders and emptied by the publisher.
//!
//! A sender writes rows straight into the buffer of their lane and keeps a [`Ticket`] for each; the
//! publisher takes what is due, and tells the senders concerned when it is durable.

#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use stages::{
    frame::{Lane, Message, MessagesBuilder, Micros, QuarantineBuilder, Refusal},
    topic::Topics,
};
use tokio::sync::Notify;

/// What a row takes in a buffer beside the bytes that came with it.
const ROW_BYTES: usize = 48;

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
}

impl Default for PackerOptions {
    fn default() -> Self {
        Self {
            frame_bytes_max: 256 << 10,
            frame_rows_max: 8192,
            linger: Duration::from_millis(5),
            buffer_bytes_max: 64 << 20,
            lanes: 4,
        }
    }
}

/// A message as it came, before it has a number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Incoming<'a> {
    pub(super) topic: &'a str,
    pub(super) payload: &'a [u8],
    pub(super) received_at: Micros,
    pub(super) client_id: &'a str,
    pub(super) properties: &'a [(String, String)],
}

impl Incoming<'_> {
    /// At least what the message takes in memory: repeated strings are counted each time.
    fn bytes(&self) -> usize {
        let properties: usize = self.properties.iter().map(|(key, value)| key.len() + value.len()).sum();
        ROW_BYTES + self.topic.len() + self.payload.len() + self.client_id.len() + properties
    }
}

/// Which buffer a message goes to: one per lane, then that of refused messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot(u16);

/// What a message waits for: the frame with this number in its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    slot: Slot,
    batch: u64,
}

/// The rows of one frame to be.
pub(super) enum Rows {
    Messages(Lane, MessagesBuilder),
    Refused(QuarantineBuilder),
}

impl Rows {
    fn append(&mut self, message: u64, row: &Incoming<'_>) {
        let Incoming { topic, payload, received_at, client_id, properties } = *row;
        match self {
            Self::Messages(_, builder) => {
                builder.append(&Message { message, topic, payload, received_at, client_id, properties });
            }
            Self::Refused(builder) => builder.append(&Refusal {
                message,
                topic,
                payload,
                received_at,
                client_id,
                properties,
                stage: "ingest",
                reason: "no_pattern",
                schema: None,
                errors: &[],
            }),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Messages(_, builder) => builder.rows(),
            Self::Refused(builder) => builder.rows(),
        }
    }
}

/// One frame to be, and who waits for it.
pub(super) struct Batch {
    pub(super) rows: Rows,
    slot: Slot,
    number: u64,
    bytes: usize,
    since: Option<Instant>,
    awaited: bool,
    waiters: Vec<Arc<Notify>>,
}

/// The batch being filled, and full ones that the publisher has not come to yet, oldest first.
struct Buffer {
    open: Batch,
    sealed: VecDeque<Batch>,
}

impl Buffer {
    /// Sets the open batch aside and begins the next one.
    fn seal(&mut self) {
        let next = self.open.next();
        self.sealed.push_back(mem::replace(&mut self.open, next));
    }
}

impl Batch {
    fn new(slot: Slot, lanes: u16) -> Self {
        let rows = match slot.0 < lanes {
            true => Rows::Messages(Lane(slot.0), MessagesBuilder::default()),
            false => Rows::Refused(QuarantineBuilder::default()),
        };
        Self { rows, slot, number: 0, bytes: 0, since: None, awaited: false, waiters: Vec::new() }
    }

    fn next(&self) -> Self {
        let rows = match self.rows {
            Rows::Messages(lane, _) => Rows::Messages(lane, MessagesBuilder::default()),
            Rows::Refused(_) => Rows::Refused(QuarantineBuilder::default()),
        };
        let number = self.number + 1;
        Self { rows, slot: self.slot, number, bytes: 0, since: None, awaited: false, waiters: Vec::new() }
    }
}

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
    /// Tells the publisher that something may have become due.
    work: Notify,
    /// Tells senders that there is room again.
    room: Notify,
}

impl Packer {
    /// `epoch` numbers the messages, see [`Packer::renumber`].
    pub(super) fn new(options: PackerOptions, topics: Arc<Topics>, epoch: u64) -> Arc<Self> {
        let shelf = |slot| Shelf {
            buffer: Mutex::new(Buffer {
                open: Batch::new(Slot(slot), options.lanes),
                sealed: VecDeque::new(),
            }),
            durable: AtomicU64::new(0),
        };
        Arc::new(Self {
            options,
            topics,
            shelves: (0..=options.lanes).map(shelf).collect(),
            next_message: AtomicU64::new(epoch << COUNTER_BITS),
            buffered_bytes: AtomicUsize::new(0),
            finished: AtomicBool::new(false),
            work: Notify::new(),
            room: Notify::new(),
        })
    }

    /// A handle for one connection.
    pub(super) fn sender(self: &Arc<Self>) -> Sender {
        Sender { packer: Arc::clone(self), wake: Arc::default(), joined: vec![0; self.shelves.len()] }
    }

    /// Where messages of `topic` go: by the capture `device`, or by the topic where there is none.
    pub(super) fn slot(&self, topic: &str) -> Slot {
        let lanes = self.options.lanes;
        match self.topics.find(topic) {
            Some(found) => Slot(Lane::of(found.capture("device").unwrap_or(topic), lanes).0),
            None => Slot(lanes),
        }
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

    /// A number that no message of this data directory had or will have, in this epoch.
    pub(super) fn number(&self) -> u64 {
        self.next_message.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether the counter of this epoch is half used up, so that another one should follow.
    pub(super) fn wants_epoch(&self) -> bool {
        let counted = self.next_message.load(Ordering::Relaxed) & ((1 << COUNTER_BITS) - 1);
        counted >> (COUNTER_BITS - 1) != 0
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
    /// When one lane is due, what the others have goes with it: the commit costs the same.
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
        let due = |shelf: &Shelf| {
            let buffer = lock(&shelf.buffer);
            match buffer.sealed.front() {
                Some(sealed) => sealed.since,
                None if buffer.open.awaited => buffer.open.since,
                None => buffer.open.since.map(|since| since + self.options.linger),
            }
        };
        self.shelves.iter().filter_map(due).min()
    }

    fn take(&self) -> Vec<Batch> {
        let mut taken = Vec::with_capacity(self.shelves.len());
        for shelf in &self.shelves {
            let mut buffer = lock(&shelf.buffer);
            if buffer.sealed.is_empty() && buffer.open.since.is_some() {
                buffer.seal();
            }
            taken.extend(buffer.sealed.pop_front());
        }
        taken
    }

    /// These batches are durable: wakes the senders with messages in them.
    pub(super) fn settle(&self, batches: Vec<Batch>) {
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

/// How one connection appends messages and learns that they are durable.
pub(super) struct Sender {
    packer: Arc<Packer>,
    wake: Arc<Notify>,
    /// Per slot, the number after that of the last batch with a message of this sender.
    joined: Vec<u64>,
}

impl Sender {
    /// Appends a message, whether or not there is room.
    pub(super) fn append(&mut self, slot: Slot, row: &Incoming<'_>) -> Ticket {
        let packer = &*self.packer;
        let bytes = row.bytes();
        packer.buffered_bytes.fetch_add(bytes, Ordering::Relaxed);
        let mut guard = lock(&packer.shelf(slot).buffer);
        let buffer = &mut *guard;
        let mut wakes = false;
        if buffer.open.bytes > 0 && buffer.open.bytes + bytes > packer.options.frame_bytes_max {
            buffer.seal();
            wakes = true;
        }
        let batch = &mut buffer.open;
        if batch.since.is_none() {
            batch.since = Some(Instant::now());
            wakes = true;
        }
        batch.rows.append(packer.number(), row);
        batch.bytes += bytes;
        let number = batch.number;
        if let Some(joined) = self.joined.get_mut(usize::from(slot.0))
            && *joined <= number
        {
            *joined = number + 1;
            batch.waiters.push(Arc::clone(&self.wake));
        }
        if batch.bytes >= packer.options.frame_bytes_max || batch.rows.len() >= packer.options.frame_rows_max
        {
            buffer.seal();
            wakes = true;
        }
        drop(guard);
        if wakes {
            packer.work.notify_one();
        }
        Ticket { slot, batch: number }
    }

    /// Whether the message of this ticket is durable.
    pub(super) fn is_durable(&self, ticket: Ticket) -> bool {
        self.packer.shelf(ticket.slot).durable.load(Ordering::Acquire) > ticket.batch
    }

    /// Waits until more of this sender's messages are durable. Safe to cancel.
    pub(super) async fn settled(&self) {
        self.wake.notified().await;
    }

    /// Makes every frame due that has a message of this sender.
    pub(super) fn hurry(&self) {
        let mut wakes = false;
        for (shelf, &joined) in self.packer.shelves.iter().zip(&self.joined) {
            if shelf.durable.load(Ordering::Acquire) < joined {
                let mut buffer = lock(&shelf.buffer);
                let newly = buffer.open.number < joined && !buffer.open.awaited;
                buffer.open.awaited |= newly;
                wakes |= newly;
            }
        }
        if wakes {
            self.packer.work.notify_one();
        }
    }
}

/// A panic under the lock may leave half a row; Arrow notices when the frame is made, and ingest fails.
fn lock(buffer: &Mutex<Buffer>) -> MutexGuard<'_, Buffer> {
    buffer.lock().unwrap_or_else(PoisonError::into_inner)
}
