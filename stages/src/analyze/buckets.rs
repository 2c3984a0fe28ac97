//! Identities of rows by the minute of event time, in which they are forgotten, too.

use std::collections::{HashSet, VecDeque};

use crate::frame::Micros;

/// Identities are kept in buckets of this much event time, and forgotten by the bucket.
const BUCKET: Micros = 60_000_000;
/// So many identities of a bucket are compared one by one; beyond, looking one up takes an index.
const COMPARED_MAX: usize = 64;

/// The identities of rows, by event time.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    list: VecDeque<Bucket>,
    /// The numbers of the buckets that no delta holds in full.
    unsaved: Vec<Micros>,
    /// How many identities there are.
    len: usize,
}

/// Identities to add, by bucket.
pub(super) type Added = Vec<(Micros, Vec<[u8; 8]>)>;

#[derive(Debug)]
struct Bucket {
    number: Micros,
    identities: Vec<u64>,
    /// How many of them an earlier delta holds.
    saved: usize,
    /// The same identities, once a long bucket was looked into: rows in order never are, rows of a clock that stands
    /// still always.
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

impl Buckets {
    /// Adds an identity.
    pub(super) fn insert(&mut self, ts: Micros, identity: u64) {
        let bucket = bucket(&mut self.list, ts.div_euclid(BUCKET));
        if bucket.identities.len() == bucket.saved {
            self.unsaved.push(bucket.number);
        }
        bucket.identities.push(identity);
        self.len += 1;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// About how many bytes it takes.
    pub(super) fn size(&self) -> usize {
        self.len * size_of::<u64>() + self.list.len() * size_of::<Bucket>()
    }

    /// The last instant and the size of each bucket.
    pub(super) fn parts(&self) -> impl Iterator<Item = (Micros, usize)> {
        self.list.iter().map(|bucket| {
            let end = bucket.number.saturating_add(1).saturating_mul(BUCKET);
            (end.saturating_sub(1), bucket.identities.len() * size_of::<u64>() + size_of::<Bucket>())
        })
    }

    /// Whether an identity is in any bucket that [`Buckets::forget`] would leave: has it been called or not.
    pub(super) fn contains(&mut self, identity: u64, horizon: Micros) -> bool {
        let oldest = horizon.div_euclid(BUCKET);
        // What comes again has mostly come not long ago.
        let mut known = self.list.iter_mut().rev().take_while(|bucket| bucket.number >= oldest);
        known.any(|bucket| bucket.contains(identity))
    }

    /// Forgets what is older than `horizon`, by the bucket. How many identities.
    pub(super) fn forget(&mut self, horizon: Micros) -> u64 {
        let oldest = horizon.div_euclid(BUCKET);
        let before = self.len;
        while self.list.front().is_some_and(|bucket| bucket.number < oldest) {
            self.len -= self.list.pop_front().map_or(0, |bucket| bucket.identities.len());
        }
        (before - self.len) as u64
    }

    pub(super) fn changes(&mut self, all: bool) -> Added {
        let mut added = Vec::new();
        let unsaved = std::mem::take(&mut self.unsaved);
        let numbers = if all { self.list.iter().map(|bucket| bucket.number).collect() } else { unsaved };
        for number in numbers {
            if let Ok(place) = self.list.binary_search_by_key(&number, |bucket| bucket.number) {
                let bucket = &mut self.list[place];
                let from = if all { 0 } else { bucket.saved };
                bucket.saved = bucket.identities.len();
                added.push((number, bucket.identities[from..].iter().map(|one| one.to_le_bytes()).collect()));
            }
        }
        added
    }

    pub(super) fn apply(&mut self, added: Added) {
        for (number, identities) in added {
            let bucket = bucket(&mut self.list, number);
            self.len += identities.len();
            bucket.identities.extend(identities.into_iter().map(u64::from_le_bytes));
            bucket.saved = bucket.identities.len();
        }
    }
}

fn bucket(list: &mut VecDeque<Bucket>, number: Micros) -> &mut Bucket {
    let place = match list.back() {
        Some(last) if last.number == number => list.len() - 1,
        _ => list.binary_search_by_key(&number, |bucket| bucket.number).unwrap_or_else(|place| {
            list.insert(place, Bucket { number, identities: Vec::new(), saved: 0, index: HashSet::new() });
            place
        }),
    };
    &mut list[place]
}
