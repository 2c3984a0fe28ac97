//! What is measured while the program runs, for `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// So many parts make one unit in the sum of a [`Histogram`].
const PARTS: f64 = 1e6;

/// Bounds in seconds, from what a commit on a fast disk takes to what somebody should look into.
pub const SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Bounds of how many things were dealt with at once.
pub const BATCH: &[f64] =
    &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 65536.0];

/// How often a measure was how large. Many threads add to it without waiting for each other.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// One for each bound, and one for what is beyond.
    counts: Vec<AtomicU64>,
    sum: AtomicU64,
}

/// What a [`Histogram`] held at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    /// The sum of all that was measured.
    pub sum: f64,
    /// How often it was measured.
    pub count: u64,
    /// Upper bound → how often it was that or less, and more than the bound before.
    pub buckets: Vec<(f64, u64)>,
}

impl Histogram {
    /// An empty one; `bounds` grow.
    pub fn new(bounds: &'static [f64]) -> Self {
        let counts = bounds.iter().map(|_| AtomicU64::new(0)).chain([AtomicU64::new(0)]).collect();
        Self { bounds, counts, sum: AtomicU64::new(0) }
    }

    /// Adds `value`, not negative, measured `times` times.
    pub fn observe(&self, value: f64, times: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(times, Relaxed);
        }
        self.sum.fetch_add((value * PARTS) as u64 * times, Relaxed);
    }

    /// What it holds now.
    pub fn distribution(&self) -> Distribution {
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        let buckets: Vec<_> = bounds.zip(self.counts.iter().map(|count| count.load(Relaxed))).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        Distribution { sum: self.sum.load(Relaxed) as f64 / PARTS, count, buckets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measure_counts_in_the_first_bucket_that_holds_it() {
        let histogram = Histogram::new(&[1.0, 2.0]);
        for (value, times) in [(0.5, 1), (1.0, 2), (1.5, 3), (7.0, 4)] {
            histogram.observe(value, times);
        }
        let Distribution { sum, count, buckets } = histogram.distribution();
        assert_eq!(buckets, [(1.0, 3), (2.0, 3), (f64::INFINITY, 4)]);
        assert_eq!((sum, count), (0.5 + 2.0 + 4.5 + 28.0, 10));
    }
}
