//! A connection's way into the packer.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use tokio::sync::Notify;

use super::{Incoming, Packer, Slot, Ticket, lock};

/// How one connection appends messages and learns that they are durable.
pub(in crate::ingest) struct Sender {
    pub(super) packer: Arc<Packer>,
    wake: Arc<Notify>,
    /// Per slot, the number after that of the last batch with a message of this sender.
    joined: Vec<u64>,
}

impl Sender {
    pub(super) fn new(packer: Arc<Packer>) -> Self {
        let joined = vec![0; packer.shelves.len()];
        Self { packer, wake: Arc::default(), joined }
    }

    /// Appends a message, whether or not there is room.
    pub(in crate::ingest) fn append(&mut self, slot: Slot, row: &Incoming<'_>) -> Ticket {
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
    pub(in crate::ingest) fn is_durable(&self, ticket: Ticket) -> bool {
        self.packer.shelf(ticket.slot).durable.load(Ordering::Acquire) > ticket.batch
    }

    /// Waits until more of this sender's messages are durable. Safe to cancel.
    pub(in crate::ingest) async fn settled(&self) {
        self.wake.notified().await;
    }

    /// Makes every frame due that has a message of this sender.
    pub(in crate::ingest) fn hurry(&self) {
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
