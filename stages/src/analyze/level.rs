//! How unusual a value is, by a level and a spread learnt online.

use serde::{Deserialize, Serialize};

/// Values before the first score: fewer say too little about the spread.
const WARM_UP: u32 = 16;
/// The weight of the newest value once the level is learnt: a memory of about a hundred values.
const WEIGHT_MIN: f64 = 0.01;
/// A value further away than this many spreads teaches no more than one at this distance, so that
/// an anomaly does not become the norm at once.
const TAUGHT_MAX: f64 = 5.0;
/// Mean absolute deviation to standard deviation of a normal distribution: √(π/2).
const DEVIATION: f64 = 1.253_314_137_315_500_1;

/// The level and spread of one metric of one device: exponentially weighted mean and mean absolute
/// deviation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Level {
    count: u32,
    mean: f64,
    spread: f64,
}

impl Level {
    /// How unusual `value` is, from 0 to 1: the share of a normal distribution with this level and
    /// spread that lies closer to the level, `erf(z / √2)`. 0 while warming up.
    pub(super) fn score(&self, value: f64) -> f64 {
        if self.count < WARM_UP {
            return 0.0;
        }
        let distance = (value - self.mean).abs();
        if distance == 0.0 {
            return 0.0;
        }
        libm::erf(distance / (self.spread * DEVIATION) / std::f64::consts::SQRT_2)
    }

    /// [`Level::score`], then `value` is learnt from.
    pub(super) fn score_and_learn(&mut self, value: f64) -> f64 {
        let score = self.score(value);
        self.count = self.count.saturating_add(1);
        let weight = (1.0 / f64::from(self.count)).max(WEIGHT_MIN);
        let mut distance = value - self.mean;
        if self.count > WARM_UP && self.spread > 0.0 {
            let most = TAUGHT_MAX * self.spread;
            distance = distance.clamp(-most, most);
        }
        let next = Self {
            count: self.count,
            mean: self.mean + weight * distance,
            spread: self.spread + weight * (distance.abs() * (1.0 - weight) - self.spread),
        };
        // Values at the edge of f64 overflow: then the level is learnt anew.
        *self = if next.mean.is_finite() && next.spread.is_finite() { next } else { Self::default() };
        score
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learnt(values: impl IntoIterator<Item = f64>) -> Level {
        let mut level = Level::default();
        for value in values {
            level.score_and_learn(value);
        }
        level
    }

    fn waves(count: u32) -> impl Iterator<Item = f64> {
        (0..count).map(|step| 20.0 + (f64::from(step) * 0.7).sin())
    }

    #[test]
    fn usual_values_score_low_and_a_spike_high() {
        let level = learnt(waves(200));
        assert!(level.score(20.3) < 0.6, "{}", level.score(20.3));
        assert!(level.score(40.0) > 0.9999, "{}", level.score(40.0));
    }

    #[test]
    fn nothing_is_unusual_while_warming_up() {
        assert_eq!(learnt(waves(15)).score(1e9), 0.0);
    }

    #[test]
    fn a_change_of_a_constant_is_certain() {
        let level = learnt(std::iter::repeat_n(5.0, 50));
        assert_eq!(level.score(5.0), 0.0);
        assert_eq!(level.score(5.1), 1.0);
    }

    #[test]
    fn a_lasting_change_becomes_the_norm() {
        let level = learnt(waves(200).chain(waves(1_000).map(|value| value + 10.0)));
        assert!(level.score(30.0) < 0.9, "{}", level.score(30.0));
    }

    #[test]
    fn scores_stay_scores_at_the_edge_of_f64() {
        let mut level = Level::default();
        for value in [f64::MAX, f64::MIN, 0.0, f64::MIN_POSITIVE].into_iter().cycle().take(100) {
            let score = level.score_and_learn(value);
            assert!((0.0..=1.0).contains(&score), "{score}");
        }
    }
}
