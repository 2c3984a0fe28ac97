//! The rows of frames to be.

use std::{collections::VecDeque, mem, sync::Arc, time::Instant};

use stages::frame::{Lane, Message, MessagesBuilder, Micros, QuarantineBuilder, Refusal};
use tokio::sync::Notify;

use super::scale::Scale;
use crate::ingest::sessions::PacketKey;

/// What a property takes in a buffer beside its text.
const PROPERTY_BYTES: usize = 48;

/// What a row takes in a buffer beside the bytes that came with it.
const ROW_BYTES: usize = 48;

/// A message as it came, before it has a number.
#[derive(Debug, Clone, Copy)]
pub(in crate::ingest) struct Incoming<'a> {
    pub(in crate::ingest) topic: &'a str,
    pub(in crate::ingest) payload: &'a [u8],
    pub(in crate::ingest) received_at: Micros,
    pub(in crate::ingest) client_id: &'a str,
    pub(in crate::ingest) properties: &'a [(String, String)],
}

impl Incoming<'_> {
    /// At least what the message takes in memory: repeated strings are counted each time.
    pub(super) fn bytes(&self) -> usize {
        let properties: usize =
            self.properties.iter().map(|(key, value)| key.len() + value.len() + PROPERTY_BYTES).sum();
        ROW_BYTES + self.topic.len() + self.payload.len() + self.client_id.len() + properties
    }
}

/// Which buffer something goes to: one per lane, then that of refused messages, then that of released
/// packet ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ingest) struct Slot(pub(super) u16);

/// What an acknowledgement waits for: the batch with this number in its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ingest) struct Ticket {
    pub(super) slot: Slot,
    pub(super) batch: u64,
}

/// The rows of one frame to be.
pub(in crate::ingest) enum Rows {
    Messages(Lane, Box<MessagesBuilder>),
    Refused(Box<QuarantineBuilder>),
}

impl Rows {
    pub(super) fn append(&mut self, message: u64, row: &Incoming<'_>) {
        let Incoming { topic, payload, received_at, client_id, properties } = *row;
        match self {
            Self::Messages(_, builder) => {
                builder.append(&Message {
                    message,
                    topic,
                    payload,
                    received_at,
                    client_id,
                    properties,
                    replays: 0,
                });
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
                schema_version: None,
                replays: 0,
            }),
        }
    }

    pub(in crate::ingest) fn len(&self) -> usize {
        match self {
            Self::Messages(_, builder) => builder.rows(),
            Self::Refused(builder) => builder.rows(),
        }
    }
}

/// One frame to be, and who waits for it. It may have no rows, and then is none.
pub(in crate::ingest) struct Batch {
    pub(in crate::ingest) rows: Rows,
    /// Those of the messages in `rows` that are to be remembered until they are released.
    pub(in crate::ingest) taken: Vec<PacketKey>,
    /// Those to be forgotten.
    pub(in crate::ingest) released: Vec<PacketKey>,
    pub(super) slot: Slot,
    /// Counts the batches of a slot.
    pub(super) number: u64,
    /// At least what the rows take.
    pub(super) bytes: usize,
    /// When the first of it came; none while there is nothing.
    pub(super) since: Option<Instant>,
    /// When the first of its messages was received; the greatest instant while there is none.
    pub(super) received_at: Micros,
    /// Whether somebody can do nothing until this is durable.
    pub(super) awaited: bool,
    /// The senders that wait for it.
    pub(super) waiters: Vec<Arc<Notify>>,
}

impl Batch {
    fn new(rows: Rows, slot: Slot, number: u64) -> Self {
        let (taken, released, waiters) = (Vec::new(), Vec::new(), Vec::new());
        let (bytes, since, received_at, awaited) = (0, None, Micros::MAX, false);
        Self { rows, taken, released, slot, number, bytes, since, received_at, awaited, waiters }
    }

    /// Something comes into it; answers whether it is the first.
    pub(super) fn begin(&mut self) -> bool {
        let first = self.since.is_none();
        self.since.get_or_insert_with(Instant::now);
        first
    }
}

/// What a slot has: the batch being filled, and full ones that the publisher has not come to yet,
/// oldest first.
pub(super) struct Buffer {
    pub(super) open: Batch,
    pub(super) sealed: VecDeque<Batch>,
    /// How large its frames come out.
    pub(super) scale: Scale,
}

impl Buffer {
    /// Of a lane, or of what is in none.
    pub(super) fn new(slot: Slot, lane: Option<Lane>) -> Self {
        let rows = match lane {
            Some(lane) => Rows::Messages(lane, Box::default()),
            None => Rows::Refused(Box::default()),
        };
        Self { open: Batch::new(rows, slot, 0), sealed: VecDeque::new(), scale: Scale::default() }
    }

    /// When the first of its messages was received; the greatest instant while there is none.
    pub(super) fn received_at(&self) -> Micros {
        let sealed = self.sealed.iter().map(|batch| batch.received_at);
        sealed.fold(self.open.received_at, Micros::min)
    }

    /// Sets the open batch aside and begins the next one.
    pub(super) fn seal(&mut self) {
        let rows = match self.open.rows {
            Rows::Messages(lane, _) => Rows::Messages(lane, Box::default()),
            Rows::Refused(_) => Rows::Refused(Box::default()),
        };
        let next = Batch::new(rows, self.open.slot, self.open.number + 1);
        self.sealed.push_back(mem::replace(&mut self.open, next));
    }
}
