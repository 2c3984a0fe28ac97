//! Who waits inside this process, and for what.

use std::{
    mem,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;

use super::tally::Touched;
use crate::queue::{QueueName, Receipt};

/// One signal for each queue, and what came too late for whoever had waited.
pub(super) struct Signals {
    queues: [Signal; QueueName::ALL.len()],
    unclaimed: Mutex<Vec<Receipt>>,
}

/// What goes on in a queue, as far as this process knows.
pub(super) struct Signal {
    /// There may be something to receive.
    pub(super) ready: Notify,
    /// There may be room again.
    pub(super) room: Notify,
    /// Bytes in the queue after the last change made or seen here.
    bytes: AtomicU64,
}

impl Signals {
    pub(super) fn new(bytes: [u64; QueueName::ALL.len()]) -> Self {
        let signal =
            |bytes| Signal { ready: Notify::new(), room: Notify::new(), bytes: AtomicU64::new(bytes) };
        Self { queues: bytes.map(signal), unclaimed: Mutex::default() }
    }

    pub(super) fn of(&self, queue: QueueName) -> &Signal {
        &self.queues[queue as usize]
    }

    /// Wakes whom a change may concern.
    pub(super) fn send(&self, touched: &Touched) {
        for (signal, bytes) in self.queues.iter().zip(&touched.bytes) {
            let Some(bytes) = bytes else { continue };
            let before = signal.bytes.swap(*bytes, Ordering::Relaxed);
            if *bytes < before {
                signal.room.notify_waiters();
            }
            signal.ready.notify_waiters();
        }
    }

    /// Leaves deliveries that nobody took, for the next look to give back.
    pub(super) fn leave_unclaimed(&self, receipts: impl Iterator<Item = Receipt>) {
        let mut unclaimed = self.unclaimed.lock().unwrap_or_else(PoisonError::into_inner);
        for receipt in receipts {
            self.of(receipt.queue()).ready.notify_waiters();
            unclaimed.push(receipt);
        }
    }

    pub(super) fn take_unclaimed(&self) -> Vec<Receipt> {
        mem::take(&mut self.unclaimed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Signal {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn saw(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }
}
