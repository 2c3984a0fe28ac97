//! A connection's way into the packer.

use std::sync::{Arc, atomic::Ordering};

use tokio::sync::Notify;

use super::{Batch, Incoming, Packer, Slot, Ticket, lock};
use crate::ingest::sessions::PacketKey;

/// What a released packet id takes in a buffer.
const RELEASE_BYTES: usize = size_of::<PacketKey>();

/// How one connection appends messages and learns that they are durable.
pub(in crate::ingest) struct Sender {
    pub(super) packer: Arc<Packer>,
    wake: Arc<Notify>,
    /// Per slot, the number after that of the last batch this sender waits for.
    joined: Vec<u64>,
}

impl Sender {
    pub(super) fn new(packer: Arc<Packer>) -> Self {
        let joined = vec![0; packer.shelves.len()];
        Self { packer, wake: Arc::default(), joined }
    }

    /// Appends a message, whether or not there is room.
    pub(in crate::ingest) fn append(&mut self, slot: Slot, row: &Incoming<'_>) -> Ticket {
        self.append_packet(slot, row, None)
    }

    /// Appends a message, and the packet id to be remembered in the same transaction.
    pub(in crate::ingest) fn append_packet(
        &mut self,
        slot: Slot,
        row: &Incoming<'_>,
        packet: Option<PacketKey>,
    ) -> Ticket {
        let packer = &*self.packer;
        let bytes = row.bytes();
        let before = packer.buffered_bytes.fetch_add(bytes, Ordering::Relaxed);
        let room = packer.options.buffer_bytes_max;
        let mut guard = lock(&packer.shelf(slot).buffer);
        let buffer = &mut *guard;
        let bytes_max = packer.options.closed_at(buffer.scale);
        // Once there is no room, all is due.
        let mut wakes = before < room && before + bytes >= room;
        if buffer.open.bytes > 0 && buffer.open.bytes + bytes > bytes_max {
            buffer.seal();
            wakes = true;
        }
        let batch = &mut buffer.open;
        wakes |= batch.begin();
        batch.rows.append(packer.number(), row);
        batch.bytes += bytes;
        batch.received_at = batch.received_at.min(row.received_at);
        batch.taken.extend(packet);
        let number = join(&mut self.joined, &self.wake, batch);
        if batch.bytes >= bytes_max || batch.rows.len() >= packer.options.frame_rows_max {
            buffer.seal();
            wakes = true;
        }
        drop(guard);
        if wakes {
            packer.work.notify_one();
        }
        Ticket { slot, batch: number }
    }

    /// Has a packet id forgotten that is remembered.
    pub(in crate::ingest) fn release(&mut self, packet: PacketKey) -> Ticket {
        let packer = &*self.packer;
        let slot = packer.releases();
        packer.buffered_bytes.fetch_add(RELEASE_BYTES, Ordering::Relaxed);
        let mut buffer = lock(&packer.shelf(slot).buffer);
        let batch = &mut buffer.open;
        let wakes = batch.begin();
        batch.released.push(packet);
        batch.bytes += RELEASE_BYTES;
        let number = join(&mut self.joined, &self.wake, batch);
        drop(buffer);
        if wakes {
            packer.work.notify_one();
        }
        Ticket { slot, batch: number }
    }

    /// Waits for what another sender has appended, too: joins the batch that is filled now, behind which
    /// nothing of that slot is left.
    pub(in crate::ingest) fn follow(&mut self, ticket: Ticket) {
        let packer = &*self.packer;
        let mut buffer = lock(&packer.shelf(ticket.slot).buffer);
        if packer.is_durable(ticket) {
            return;
        }
        let wakes = buffer.open.begin();
        join(&mut self.joined, &self.wake, &mut buffer.open);
        drop(buffer);
        if wakes {
            packer.work.notify_one();
        }
    }

    /// Whether what this ticket is for is durable.
    pub(in crate::ingest) fn is_durable(&self, ticket: Ticket) -> bool {
        self.packer.is_durable(ticket)
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

/// Has a sender woken when the batch is durable, once; answers the batch's number.
fn join(joined: &mut [u64], wake: &Arc<Notify>, batch: &mut Batch) -> u64 {
    if let Some(joined) = joined.get_mut(usize::from(batch.slot.0))
        && *joined <= batch.number
    {
        *joined = batch.number + 1;
        batch.waiters.push(Arc::clone(wake));
    }
    batch.number
}
