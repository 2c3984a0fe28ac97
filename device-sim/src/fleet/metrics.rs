//! The weather at one device: daily curves, random walks and noise.

use std::f64::consts::TAU;

use rand::{RngExt, rngs::Xoshiro256PlusPlus};

/// What every device measures, in the order of the samples.
pub(crate) const METRICS: [&str; 4] = ["temperature", "humidity", "pressure", "battery"];
/// The size of a spike and of a full drift in each metric's unit: well outside what the weather does.
pub(super) const UNUSUAL: [f64; 4] = [18.0, 35.0, 40.0, 30.0];
/// Decimals that the sensors give.
const DECIMALS: [f64; 4] = [100.0, 10.0, 100.0, 10.0];

const DAY_SECS: f64 = 86_400.0;

/// A walk that is drawn back to zero: an Ornstein-Uhlenbeck process, stepped over the time that has passed.
#[derive(Debug, Clone)]
struct Walk {
    value: f64,
    /// How much it strays in the long run, one standard deviation.
    spread: f64,
    /// How long it remembers, in seconds.
    memory_secs: f64,
}

impl Walk {
    fn step(&mut self, secs: f64, rng: &mut Xoshiro256PlusPlus) -> f64 {
        let kept = (-secs / self.memory_secs).exp();
        self.value = self.value * kept + self.spread * (1.0 - kept * kept).sqrt() * normal(rng);
        self.value
    }
}

/// The state of one device's sensors.
#[derive(Debug, Clone)]
pub(super) struct Weather {
    mean_temperature: f64,
    daily_swing: f64,
    warmest_at_secs: f64,
    temperature: Walk,
    humidity: Walk,
    pressure: Walk,
    battery_full_at_secs: f64,
    battery_life_secs: f64,
    sampled_at_secs: f64,
}

impl Weather {
    pub(super) fn new(start_secs: f64, rng: &mut Xoshiro256PlusPlus) -> Self {
        let battery_life_secs = rng.random_range(20.0..60.0) * DAY_SECS;
        Self {
            mean_temperature: rng.random_range(12.0..26.0),
            daily_swing: rng.random_range(2.0..7.0),
            warmest_at_secs: rng.random_range(13.0..17.0) * 3600.0,
            temperature: Walk { value: 0.0, spread: 1.2, memory_secs: 7200.0 },
            humidity: Walk { value: 0.0, spread: 4.0, memory_secs: 5400.0 },
            pressure: Walk { value: 0.0, spread: 7.0, memory_secs: DAY_SECS },
            battery_full_at_secs: start_secs - rng.random_range(0.0..1.0) * battery_life_secs,
            battery_life_secs,
            sampled_at_secs: start_secs,
        }
    }

    /// The four metrics at `now_secs` of the epoch, rounded as the sensors do: °C, %, hPa, %.
    pub(super) fn sample(&mut self, now_secs: f64, rng: &mut Xoshiro256PlusPlus) -> [f64; 4] {
        let passed = (now_secs - self.sampled_at_secs).max(0.0);
        self.sampled_at_secs = now_secs;
        let day = ((now_secs - self.warmest_at_secs) / DAY_SECS * TAU).cos();
        let warmth = self.daily_swing * day + self.temperature.step(passed, rng);
        let humidity = 55.0 - 2.2 * warmth + self.humidity.step(passed, rng) + 0.4 * normal(rng);
        let used = (now_secs - self.battery_full_at_secs) / self.battery_life_secs;
        let values = [
            self.mean_temperature + warmth + 0.08 * normal(rng),
            humidity.clamp(5.0, 100.0),
            1013.0 + self.pressure.step(passed, rng) + 0.05 * normal(rng),
            100.0 - 95.0 * used.rem_euclid(1.0),
        ];
        rounded(values)
    }
}

/// `values` with the decimals that the sensors give.
pub(super) fn rounded(values: [f64; 4]) -> [f64; 4] {
    std::array::from_fn(|metric| (values[metric] * DECIMALS[metric]).round() / DECIMALS[metric])
}

/// Nearly normal with mean 0 and deviation 1: the sum of four uniform numbers (Irwin-Hall), scaled.
fn normal(rng: &mut Xoshiro256PlusPlus) -> f64 {
    let sum: f64 = (0..4).map(|_| rng.random::<f64>()).sum();
    (sum - 2.0) * 3.0_f64.sqrt()
}
