//! Times as devices write them, in microseconds; finer ones are floored.

use chrono::DateTime;

use super::config::TimeFormat;
use crate::frame::Micros;

/// What can be a date with four digits of a year: 0001-01-01 and the last instant of 9999.
const RANGE: std::ops::RangeInclusive<Micros> = -62_135_596_800_000_000..=253_402_300_799_999_999;

/// The instant of an RFC 3339 text; none when it is no such text, or not of the years 1 to 9999. A
/// leap second is the first instant of the next minute.
pub(super) fn rfc3339(text: &str) -> Option<Micros> {
    let instant = DateTime::parse_from_rfc3339(text).ok()?;
    Some(instant.timestamp_micros()).filter(|micros| RANGE.contains(micros))
}

/// The instant of a JSON number since 1970, by its decimal digits and so without rounding; none when
/// it is not of the years 1 to 9999, or has more digits than 128 bits hold.
pub(super) fn epoch(number: &str, format: TimeFormat) -> Option<Micros> {
    let decimals = match format {
        TimeFormat::Rfc3339 => return None,
        TimeFormat::EpochS => 6,
        TimeFormat::EpochMs => 3,
        TimeFormat::EpochUs => 0,
        TimeFormat::EpochNs => -3,
    };
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (number, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let shift = exponent.checked_add(decimals)?.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let power = 10_i128.checked_pow(shift.unsigned_abs())?;
    let micros = if shift < 0 { digits.div_euclid(power) } else { digits.checked_mul(power)? };
    Micros::try_from(micros).ok().filter(|micros| RANGE.contains(micros))
}
