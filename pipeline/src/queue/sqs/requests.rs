//! How many requests were made: what SQS is paid for.

use std::{
    ops::AddAssign,
    sync::atomic::{AtomicU64, Ordering},
};

use super::message::chunks;

/// Requests of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestCount {
    /// How many.
    pub calls: u64,
    /// How many are paid for: each begun 64 KiB of what one carries is one.
    pub chunks: u64,
}

impl AddAssign for RequestCount {
    fn add_assign(&mut self, other: Self) {
        self.calls += other.calls;
        self.chunks += other.chunks;
    }
}

/// Requests to SQS by kind. One that the client tried again is counted once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Requests {
    /// That sent messages.
    pub send: RequestCount,
    /// That received messages.
    pub receive: RequestCount,
    /// That found none.
    pub empty_receive: RequestCount,
    /// That deleted messages.
    pub delete: RequestCount,
    /// That extended leases, and ended them.
    pub change_visibility: RequestCount,
    /// That looked at queues.
    pub get_attributes: RequestCount,
    /// That looked up, made or tagged queues.
    pub manage: RequestCount,
}

impl Requests {
    /// All of them, by names for metrics.
    pub fn by_kind(&self) -> [(&'static str, RequestCount); 7] {
        [
            ("send", self.send),
            ("receive", self.receive),
            ("empty_receive", self.empty_receive),
            ("delete", self.delete),
            ("change_visibility", self.change_visibility),
            ("get_attributes", self.get_attributes),
            ("manage", self.manage),
        ]
    }
}

impl AddAssign for Requests {
    fn add_assign(&mut self, other: Self) {
        self.send += other.send;
        self.receive += other.receive;
        self.empty_receive += other.empty_receive;
        self.delete += other.delete;
        self.change_visibility += other.change_visibility;
        self.get_attributes += other.get_attributes;
        self.manage += other.manage;
    }
}

/// The requests about one queue, while they are made.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) send: Counter,
    pub(super) receive: Counter,
    pub(super) empty_receive: Counter,
    pub(super) delete: Counter,
    pub(super) change_visibility: Counter,
    pub(super) get_attributes: Counter,
    pub(super) manage: Counter,
}

impl Counters {
    pub(super) fn requests(&self) -> Requests {
        Requests {
            send: self.send.count(),
            receive: self.receive.count(),
            empty_receive: self.empty_receive.count(),
            delete: self.delete.count(),
            change_visibility: self.change_visibility.count(),
            get_attributes: self.get_attributes.count(),
            manage: self.manage.count(),
        }
    }
}

/// A kind of requests, while they are made.
#[derive(Debug, Default)]
pub(super) struct Counter {
    calls: AtomicU64,
    chunks: AtomicU64,
}

impl Counter {
    /// One more, with so many bytes.
    pub(super) fn add(&self, bytes: usize) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.chunks.fetch_add(chunks(bytes), Ordering::Relaxed);
    }

    fn count(&self) -> RequestCount {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        RequestCount { calls: read(&self.calls), chunks: read(&self.chunks) }
    }
}
