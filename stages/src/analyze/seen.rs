//! The identities of recent rows: what tells a repeat.

use std::collections::{HashSet, VecDeque};

use serde::{Deserialize, Serialize};

use crate::frame::Micros;

/// Identities are kept in buckets of this much event time, and forgotten by the bucket.
const BUCKET: Micros = 60_000_000;
/// So many identities of a bucket are compared one by one; beyond, looking one up takes an index.
const COMPARED_MAX: usize = 64;

/// The identities of recent rows, by event time.
#[derive(Debug)]
pub(super) struct Seen {
    /// The newest event time there was: a row beyond it cannot be a repeat.
    newest: Micros,
    buckets: VecDeque<Bucket>,
    /// The numbers of the buckets that no delta holds in full.
    unsaved: Vec<Micros>,
}

#[derive(Debug)]
struct Bucket {
    number: Micros,
    identities: Vec<u64>,
    /// How many of them an earlier delta holds.
    saved: usize,
    /// The same identities, once a long bucket was looked into: rows in order never are, rows with the
    /// time of receipt or of a clock that stands still always.
    index: HashSet<u64>,
}

impl Bucket {
    fn contains(&mut self, identity: u64) -> bool {
        if self.identities.len() <= COMPARED_MAX {
            return self.identities.contains(&identity);
        }
        if self.index.len() < self.identities.len() {
            let missing = &self.identities[self.index.len()..];
            self.index.extend(missing);
        }
        self.index.contains(&identity)
    }
}

impl Default for Seen {
    fn default() -> Self {
        Self { newest: Micros::MIN, buckets: VecDeque::new(), unsaved: Vec::new() }
    }
}

impl Seen {
    /// Remembers a row; false if it was remembered already.
    pub(super) fn insert(&mut self, ts: Micros, identity: u64) -> bool {
        let beyond = ts > self.newest;
        let bucket = bucket(&mut self.buckets, ts.div_euclid(BUCKET));
        if !beyond && bucket.contains(identity) {
            return false;
        }
        if bucket.identities.len() == bucket.saved {
            self.unsaved.push(bucket.number);
        }
        bucket.identities.push(identity);
        self.newest = self.newest.max(ts);
        true
    }

    /// A row of this event time has come, whether or not it is remembered.
    pub(super) fn hear(&mut self, ts: Micros) {
        self.newest = self.newest.max(ts);
    }

    /// The newest event time there was.
    pub(super) fn newest(&self) -> Micros {
        self.newest
    }

    pub(super) fn forget(&mut self, horizon: Micros) {
        let oldest = horizon.div_euclid(BUCKET);
        while self.buckets.front().is_some_and(|bucket| bucket.number < oldest) {
            self.buckets.pop_front();
        }
    }

    pub(super) fn changes(&mut self, all: bool) -> SeenEntry {
        let mut added = Vec::new();
        let unsaved = std::mem::take(&mut self.unsaved);
        let numbers = if all { self.buckets.iter().map(|bucket| bucket.number).collect() } else { unsaved };
        for number in numbers {
            if let Ok(place) = self.buckets.binary_search_by_key(&number, |bucket| bucket.number) {
                let bucket = &mut self.buckets[place];
                let from = if all { 0 } else { bucket.saved };
                bucket.saved = bucket.identities.len();
                added.push((number, bucket.identities[from..].iter().map(|one| one.to_le_bytes()).collect()));
            }
        }
        SeenEntry { newest: self.newest, added }
    }

    pub(super) fn apply(&mut self, entry: SeenEntry) {
        self.newest = entry.newest;
        for (number, identities) in entry.added {
            let bucket = bucket(&mut self.buckets, number);
            bucket.identities.extend(identities.into_iter().map(u64::from_le_bytes));
            bucket.saved = bucket.identities.len();
        }
    }
}

fn bucket(buckets: &mut VecDeque<Bucket>, number: Micros) -> &mut Bucket {
    let place = match buckets.back() {
        Some(last) if last.number == number => buckets.len() - 1,
        _ => buckets.binary_search_by_key(&number, |bucket| bucket.number).unwrap_or_else(|place| {
            buckets.insert(place, Bucket { number, identities: Vec::new(), saved: 0, index: HashSet::new() });
            place
        }),
    };
    &mut buckets[place]
}

/// Identities to add, by bucket.
#[derive(Serialize, Deserialize)]
pub(super) struct SeenEntry {
    newest: Micros,
    added: Vec<(Micros, Vec<[u8; 8]>)>,
}
