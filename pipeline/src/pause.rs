//! Pauses before something is tried again.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// From half of a pause to the whole, left to chance: who failed together does not come again together.
pub(crate) fn spread(pause: Duration) -> Duration {
    spread_by(pause, chance())
}

/// The same, by a chance from 0 to 1.
pub(crate) fn spread_by(pause: Duration, chance: f64) -> Duration {
    pause.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
}

/// A number from 0 to 1 that nobody foresees: the keys of the standard library's hash maps are random.
pub(crate) fn chance() -> f64 {
    f64::from((RandomState::new().hash_one(()) >> 32) as u32) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_a_fraction_that_changes() {
        let chances: Vec<f64> = (0..100).map(|_| chance()).collect();
        assert!(chances.iter().all(|chance| (0.0..=1.0).contains(chance)), "{chances:?}");
        assert!(chances.iter().any(|chance| *chance > 0.5) && chances.iter().any(|chance| *chance < 0.5));
    }

    #[test]
    fn a_pause_is_half_to_whole() {
        let pause = Duration::from_secs(10);
        for (chance, secs) in [(-1.0, 5.0), (0.0, 5.0), (0.5, 7.5), (1.0, 10.0), (2.0, 10.0)] {
            assert_eq!(spread_by(pause, chance), Duration::from_secs_f64(secs));
        }
        let pauses: Vec<_> = (0..100).map(|_| spread(pause)).collect();
        assert!(pauses.iter().all(|spread| (pause / 2..=pause).contains(spread)), "{pauses:?}");
    }
}
