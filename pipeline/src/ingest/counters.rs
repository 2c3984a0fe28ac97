//! What ingest counts while it runs.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use stages::plan::Counts;

/// What ingest has done since it was started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IngestStats {
    /// Clients connected now, those included that have not said who they are.
    pub connections: u64,
    /// Connections closed at once because there were `connections_max` already.
    pub connections_refused: u64,
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
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    connections: AtomicU64,
    connections_refused: AtomicU64,
    messages: AtomicU64,
    messages_refused: AtomicU64,
    frames: AtomicU64,
    acknowledged: AtomicU64,
}

impl Counters {
    pub(super) fn connected(&self) {
        self.connections.fetch_add(1, Relaxed);
    }

    pub(super) fn disconnected(&self) {
        self.connections.fetch_sub(1, Relaxed);
    }

    pub(super) fn refused_connection(&self) {
        self.connections_refused.fetch_add(1, Relaxed);
    }

    pub(super) fn published(&self, frames: usize, counts: &Counts) {
        self.frames.fetch_add(frames as u64, Relaxed);
        self.messages.fetch_add(counts.consumed + counts.quarantined, Relaxed);
        self.messages_refused.fetch_add(counts.quarantined, Relaxed);
    }

    pub(super) fn acknowledged(&self, count: usize) {
        self.acknowledged.fetch_add(count as u64, Relaxed);
    }

    pub(super) fn stats(&self, buffered_bytes: usize) -> IngestStats {
        IngestStats {
            connections: self.connections.load(Relaxed),
            connections_refused: self.connections_refused.load(Relaxed),
            messages: self.messages.load(Relaxed),
            messages_refused: self.messages_refused.load(Relaxed),
            frames: self.frames.load(Relaxed),
            acknowledged: self.acknowledged.load(Relaxed),
            buffered_bytes: buffered_bytes as u64,
        }
    }
}
