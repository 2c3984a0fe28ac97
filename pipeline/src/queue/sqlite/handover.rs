//! Frames that go from one part of this process to another by way of the file, but need not be read from it: who receives
//! them gets the rows that were encoded.
//!
//! The file has every frame and says alone what becomes of it; what is here is only its content once more, and may be given
//! up at any time.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

use stages::frame::{FrameId, Micros};

use crate::queue::{Body, QueueName};

/// Bytes of decoded and encoded frames that are kept at most; of more the oldest are given up. Where frames wait for long,
/// those that wait are many more than can be kept, and the newer ones of other queues are received before.
const HANDOVER_BYTES_MAX: usize = 32 << 20;

/// What a frame takes beside its rows: its columns, its header and its place here.
const ENTRY_BYTES: usize = 4 << 10;

/// A frame's row in the file. The number alone may come again once the frame is gone, perhaps from another process;
/// the same frame at the same microsecond does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) seq: i64,
    pub(super) id: FrameId,
    pub(super) published_at: Micros,
}

/// A frame that a write has added to a queue.
pub(super) struct Written {
    pub(super) queue: QueueName,
    pub(super) place: Place,
    pub(super) body: Body,
}

/// The frames of one process. Only the writer thread comes here: all in one transaction sees what was offered in it, and
/// nobody else does before the commit.
pub(super) struct Handover(Mutex<Kept>);

struct Kept {
    bytes_max: usize,
    bytes: usize,
    entries: BTreeMap<i64, Entry>,
    /// Offered since the last commit.
    fresh: Vec<i64>,
    /// Queues that this process receives from.
    received: [bool; QueueName::ALL.len()],
}

struct Entry {
    place: Place,
    body: Body,
    bytes: usize,
}

impl Default for Handover {
    fn default() -> Self {
        Self::within(HANDOVER_BYTES_MAX)
    }
}

impl Handover {
    fn within(bytes_max: usize) -> Self {
        Self(Mutex::new(Kept {
            bytes_max,
            bytes: 0,
            entries: BTreeMap::new(),
            fresh: Vec::new(),
            received: [false; QueueName::ALL.len()],
        }))
    }

    /// This process receives from a queue: only frames of such are worth keeping, and not of one where they wait for the world
    /// outside.
    pub(super) fn expect(&self, queue: QueueName) {
        self.kept().received[queue as usize] = !queue.gives_way();
    }

    /// A frame was written, and its write succeeded.
    pub(super) fn offer(&self, Written { queue, place, body }: Written) {
        let mut kept = self.kept();
        kept.remove(place.seq);
        let bytes = body.decoded_bytes().filter(|_| kept.received[queue as usize]);
        let Some(bytes) = bytes.map(|bytes| bytes + ENTRY_BYTES) else { return };
        kept.entries.insert(place.seq, Entry { place, body, bytes });
        kept.fresh.push(place.seq);
        kept.bytes += bytes;
        while kept.bytes > kept.bytes_max
            && let Some((&oldest, _)) = kept.entries.first_key_value()
        {
            kept.remove(oldest);
        }
    }

    /// A transaction is over. Of one that was committed the writes that failed also come here, each by itself; then more is
    /// given up than need be, and is read.
    pub(super) fn settle(&self, committed: bool) {
        let mut kept = self.kept();
        for seq in mem::take(&mut kept.fresh) {
            if !committed {
                kept.remove(seq);
            }
        }
    }

    /// The content of a frame, for who received it first.
    pub(super) fn take(&self, place: Place) -> Option<Body> {
        self.kept().remove(place.seq).filter(|entry| entry.place == place).map(|entry| entry.body)
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.kept().entries.len()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn remove(&mut self, seq: i64) -> Option<Entry> {
        let entry = self.entries.remove(&seq)?;
        self.bytes -= entry.bytes;
        Some(entry)
    }
}
