//! What tells a row of a device from another.

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::frame::{Micros, Readings};

/// Values with at most so many decimals …
pub(super) const SCALE_MAX: u8 = 3;
/// … that are less than this without their point are remembered as they are.
const MANTISSA_MAX: f64 = 1e12;
/// Of other values and of texts so many bytes of a hash are remembered.
pub(super) const HASH_BYTES: usize = 5;
const POWERS: [f64; SCALE_MAX as usize + 1] = [1.0, 10.0, 100.0, 1000.0];

/// A row: equal ones of a device are repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::analyze) struct Row {
    /// Stands for the name of the metric, see [`metric_hash`].
    pub(in crate::analyze) metric: u64,
    pub(in crate::analyze) ts: Micros,
    pub(in crate::analyze) seq: Option<u64>,
    pub(in crate::analyze) value: Value,
}

/// What a row says. Of one number there is one form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::analyze) enum Value {
    /// `mantissa / 10^scale`, with the least scale that does.
    Decimal { mantissa: i64, scale: u8 },
    /// Of any other number, of a text, or of nothing.
    Hash([u8; HASH_BYTES]),
}

/// What stands for the name of a metric.
pub(in crate::analyze) fn metric_hash(name: &str) -> u64 {
    xxh3_64(name.as_bytes())
}

impl Row {
    pub(in crate::analyze) fn of(readings: &Readings<'_>, row: usize, metric: u64) -> Self {
        let value = Value::of(readings.value(row), readings.text(row));
        Self { metric, ts: readings.ts(row), seq: readings.seq(row), value }
    }
}

impl Value {
    pub(in crate::analyze) fn of(value: Option<f64>, text: Option<&str>) -> Self {
        if let (Some(value), None) = (value, text)
            && let Some(decimal) = decimal(value)
        {
            return decimal;
        }
        let mut hash = Xxh3::new();
        if let Some(value) = value {
            hash.update(b"v");
            hash.update(&value.to_bits().to_le_bytes());
        }
        if let Some(text) = text {
            hash.update(b"t");
            hash.update(text.as_bytes());
        }
        let [a, b, c, d, e, ..] = hash.digest().to_le_bytes();
        Self::Hash([a, b, c, d, e])
    }

    /// That of a mantissa with any scale.
    pub(super) fn normal(mut mantissa: i64, mut scale: u8) -> Self {
        while scale > 0 && mantissa % 10 == 0 {
            (mantissa, scale) = (mantissa / 10, scale - 1);
        }
        Self::Decimal { mantissa, scale }
    }
}

/// A value with few decimals, exactly: a quotient of two whole numbers that are exact is rounded as its text would be.
fn decimal(value: f64) -> Option<Value> {
    (0..=SCALE_MAX).zip(POWERS).find_map(|(scale, power)| {
        let mantissa = (value * power).round_ties_even();
        let whole = mantissa as i64;
        // By way of the whole number: zero has a sign, too, which that does not have.
        let same = mantissa.abs() < MANTISSA_MAX && (whole as f64 / power).to_bits() == value.to_bits();
        same.then_some(Value::Decimal { mantissa: whole, scale })
    })
}
