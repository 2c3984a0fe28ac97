//! What ingest counts while it runs.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use stages::plan::Counts;

use crate::meter::{BATCH, Distribution, Histogram, SECONDS};

/// What ingest has done since it was started.
#[derive(Debug, Clone, PartialEq)]
pub struct IngestStats {
    /// Clients connected now, those included that have not said who they are.
    pub connections: u64,
    /// Connections closed at once because there were `connections_max` already.
    pub connections_refused: u64,
    /// Messages taken, durable or not yet.
    pub received: u64,
    /// Messages that are durable, refused ones included.
    pub messages: u64,
    /// Those of them that matched no topic pattern.
    pub messages_refused: u64,
    /// Frames published.
    pub frames: u64,
    /// PUBACKs and PUBRECs sent.
    pub acknowledged: u64,
    /// Bytes of messages that are not durable yet.
    pub buffered_bytes: u64,
    /// Messages in a frame.
    pub frame_rows: Distribution,
    /// From the receipt of a message to its acknowledgement, in seconds.
    pub puback_seconds: Distribution,
}

#[derive(Debug)]
pub(super) struct Counters {
    connections: AtomicU64,
    connections_refused: AtomicU64,
    subscriptions: AtomicU64,
    messages: AtomicU64,
    messages_refused: AtomicU64,
    frames: AtomicU64,
    acknowledged: AtomicU64,
    frame_rows: Histogram,
    puback_seconds: Histogram,
    /// Whether what was packed cannot be published now.
    stalled: AtomicBool,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            connections: AtomicU64::default(),
            connections_refused: AtomicU64::default(),
            subscriptions: AtomicU64::default(),
            messages: AtomicU64::default(),
            messages_refused: AtomicU64::default(),
            frames: AtomicU64::default(),
            acknowledged: AtomicU64::default(),
            frame_rows: Histogram::new(BATCH),
            puback_seconds: Histogram::new(SECONDS),
            stalled: AtomicBool::default(),
        }
    }
}

impl Counters {
    pub(super) fn connected(&self) {
        self.connections.fetch_add(1, Relaxed);
    }

    pub(super) fn disconnected(&self) {
        self.connections.fetch_sub(1, Relaxed);
    }

    /// Publishing fails, and is tried again; or works again.
    pub(super) fn set_stalled(&self, stalled: bool) {
        self.stalled.store(stalled, Relaxed);
    }

    pub(super) fn is_stalled(&self) -> bool {
        self.stalled.load(Relaxed)
    }

    /// A connection has all that it asked a broker for.
    pub(super) fn subscribed(&self) {
        self.subscriptions.fetch_add(1, Relaxed);
    }

    pub(super) fn unsubscribed(&self) {
        self.subscriptions.fetch_sub(1, Relaxed);
    }

    /// How many connections get messages from a broker.
    pub(super) fn subscriptions(&self) -> u64 {
        self.subscriptions.load(Relaxed)
    }

    pub(super) fn refused_connection(&self) {
        self.connections_refused.fetch_add(1, Relaxed);
    }

    pub(super) fn published(&self, frames: usize, counts: &Counts) {
        self.frames.fetch_add(frames as u64, Relaxed);
        self.messages.fetch_add(counts.consumed + counts.quarantined, Relaxed);
        self.messages_refused.fetch_add(counts.quarantined, Relaxed);
    }

    pub(super) fn closed_frame(&self, rows: u64) {
        self.frame_rows.observe(rows as f64, 1);
    }

    /// So many messages were acknowledged, so long after they were received.
    pub(super) fn acknowledged(&self, count: usize, after: Duration) {
        let count = count as u64;
        self.acknowledged.fetch_add(count, Relaxed);
        self.puback_seconds.observe(after.as_secs_f64(), count);
    }

    pub(super) fn stats(&self, buffered_bytes: usize, received: u64) -> IngestStats {
        IngestStats {
            connections: self.connections.load(Relaxed),
            connections_refused: self.connections_refused.load(Relaxed),
            received,
            messages: self.messages.load(Relaxed),
            messages_refused: self.messages_refused.load(Relaxed),
            frames: self.frames.load(Relaxed),
            acknowledged: self.acknowledged.load(Relaxed),
            buffered_bytes: buffered_bytes as u64,
            frame_rows: self.frame_rows.distribution(),
            puback_seconds: self.puback_seconds.distribution(),
        }
    }
}
