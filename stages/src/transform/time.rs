//! Times as devices write them, in microseconds; finer ones are floored.

use chrono::{DateTime, NaiveDate};

use super::config::TimeFormat;
use crate::frame::Micros;

/// What can be a date with four digits of a year: 0001-01-01 and the last instant of 9999.
const RANGE: std::ops::RangeInclusive<Micros> = -62_135_596_800_000_000..=253_402_300_799_999_999;

/// The instant of an RFC 3339 text; none when it is no such text, or not of the years 1 to 9999. A
/// leap second is the first instant of the next minute.
pub(super) fn rfc3339(text: &str) -> Option<Micros> {
    usual(text.as_bytes()).or_else(|| any_spelling(text)).filter(|micros| RANGE.contains(micros))
}

fn any_spelling(text: &str) -> Option<Micros> {
    Some(DateTime::parse_from_rfc3339(text).ok()?.timestamp_micros())
}

/// The instant of a text as most devices write it, `2024-01-01T00:00:00Z` with up to six decimals: each digit is at its place,
/// which saves the library's search for it. None for any other.
fn usual(text: &[u8]) -> Option<Micros> {
    let (head, tail) = text.split_first_chunk::<19>()?;
    let [a, b, c, d, b'-', e, f, b'-', g, h, b'T', i, j, b':', k, l, b':', m, n] = *head else { return None };
    let century = pair(a, b)? * 100;
    let date = NaiveDate::from_ymd_opt((century + pair(c, d)?).cast_signed(), pair(e, f)?, pair(g, h)?)?;
    let second = date.and_hms_opt(pair(i, j)?, pair(k, l)?, pair(m, n)?)?.and_utc().timestamp();
    let decimals = match tail {
        [b'Z'] => &[],
        [b'.', decimals @ .., b'Z'] if (1..=6).contains(&decimals.len()) => decimals,
        _ => return None,
    };
    let (mut micros, mut weight) = (0, 100_000);
    for digit in decimals {
        micros += i64::from(digit_of(*digit)?) * weight;
        weight /= 10;
    }
    Some(second * 1_000_000 + micros)
}

fn pair(tens: u8, ones: u8) -> Option<u32> {
    Some(digit_of(tens)? * 10 + digit_of(ones)?)
}

fn digit_of(byte: u8) -> Option<u32> {
    let digit = byte.wrapping_sub(b'0');
    (digit < 10).then_some(digit.into())
}

/// The instant of a JSON number since 1970, by its decimal digits and so without rounding; none when
/// it is not of the years 1 to 9999, or has more digits than 128 bits hold.
pub(super) fn epoch(number: &str, format: TimeFormat) -> Option<Micros> {
    after(0, number, format)
}

/// The instant that lies a JSON number after `base`, under the same limits.
pub(super) fn after(base: Micros, number: &str, format: TimeFormat) -> Option<Micros> {
    let decimals = match format {
        TimeFormat::Rfc3339 => return None,
        TimeFormat::EpochS | TimeFormat::OffsetS => 6,
        TimeFormat::EpochMs | TimeFormat::OffsetMs => 3,
        TimeFormat::EpochUs => 0,
        TimeFormat::EpochNs => -3,
    };
    instant(scaled(number, decimals)?.checked_add(base.into())?)
}

/// An instant that can be stored; none when it is not of the years 1 to 9999.
pub(super) fn instant(micros: i128) -> Option<Micros> {
    Micros::try_from(micros).ok().filter(|micros| RANGE.contains(micros))
}

/// A JSON number times ten to the power of `decimals`, floored; none when it has more digits than 128
/// bits hold.
pub(super) fn scaled(number: &str, decimals: i32) -> Option<i128> {
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (number, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let shift = exponent.checked_add(decimals)?.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let power = 10_i128.checked_pow(shift.unsigned_abs())?;
    if shift < 0 { Some(digits.div_euclid(power)) } else { digits.checked_mul(power) }
}

#[cfg(test)]
mod tests {
    use chrono::SecondsFormat;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rfc3339_in_all_its_spellings() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1970-01-01t00:00:01z", Some(1_000_000)),
            ("1970-01-01 00:00:01Z", Some(1_000_000)),
            ("1970-01-01T02:00:00+02:00", Some(0)),
            ("1970-01-01T00:00:00-00:00", Some(0)),
            ("1970-01-01T00:00:00.5Z", Some(500_000)),
            ("1970-01-01T00:00:00.123456999Z", Some(123_456)),
            ("1970-01-01T00:00:00.1234569999999999Z", Some(123_456)),
            ("1969-12-31T23:59:59.9999999Z", Some(-1)),
            ("1969-12-31T23:59:59.0000001Z", Some(-1_000_000)),
            ("2016-12-31T23:59:60Z", Some(1_483_228_800_000_000)),
            ("2024-02-29T00:00:00Z", Some(1_709_164_800_000_000)),
            ("2023-02-29T00:00:00Z", None),
            ("2024-01-01T24:00:00Z", None),
            ("2024-01-01T00:00:00", None),
            ("2024-01-01", None),
            ("2024-01-01T00:00:00Z ", None),
            ("0001-01-01T00:00:00Z", Some(*RANGE.start())),
            ("0000-12-31T23:59:59Z", None),
            ("9999-12-31T23:59:59.999999Z", Some(*RANGE.end())),
            ("9999-12-31T23:59:59-01:00", None),
            ("", None),
        ] {
            assert_eq!(rfc3339(text), expected, "{text}");
        }
    }

    #[test]
    fn epochs_are_floored_by_their_digits() {
        use TimeFormat::{EpochMs, EpochNs, EpochS, EpochUs};
        for (number, format, expected) in [
            ("0", EpochS, Some(0)),
            ("-0", EpochS, Some(0)),
            ("1700000000", EpochS, Some(1_700_000_000_000_000)),
            ("1700000000.1234567", EpochS, Some(1_700_000_000_123_456)),
            ("1700000000.123457", EpochS, Some(1_700_000_000_123_457)),
            ("1.7e9", EpochS, Some(1_700_000_000_000_000)),
            ("17E+8", EpochS, Some(1_700_000_000_000_000)),
            ("-0.5", EpochS, Some(-500_000)),
            ("-0.0000001", EpochS, Some(-1)),
            ("1700000000123", EpochMs, Some(1_700_000_000_123_000)),
            ("1700000000123.4567", EpochMs, Some(1_700_000_000_123_456)),
            ("1700000000123456", EpochUs, Some(1_700_000_000_123_456)),
            ("1700000000123456789", EpochNs, Some(1_700_000_000_123_456)),
            ("-1", EpochNs, Some(-1)),
            ("-1000.5", EpochNs, Some(-2)),
            ("1700000000123", EpochS, None),
            ("1e400", EpochS, None),
            ("1e-400", EpochS, None),
            ("123456789012345678901234567890123456789012", EpochNs, None),
        ] {
            assert_eq!(epoch(number, format), expected, "{number} as {format:?}");
        }
    }

    proptest! {
        #[test]
        fn every_instant_comes_back(micros in RANGE) {
            let instant = DateTime::from_timestamp_micros(micros).unwrap();
            prop_assert_eq!(rfc3339(&instant.to_rfc3339()), Some(micros));
            let usually = instant.to_rfc3339_opts(SecondsFormat::AutoSi, true);
            prop_assert_eq!(rfc3339(&usually), Some(micros));
            prop_assert_eq!(usual(usually.as_bytes()), Some(micros));
            let (sign, size) = (if micros < 0 { "-" } else { "" }, micros.unsigned_abs());
            let seconds = format!("{sign}{}.{:06}", size / 1_000_000, size % 1_000_000);
            prop_assert_eq!(epoch(&seconds, TimeFormat::EpochS), Some(micros));
            let millis = format!("{sign}{}.{:03}", size / 1_000, size % 1_000);
            prop_assert_eq!(epoch(&millis, TimeFormat::EpochMs), Some(micros));
            prop_assert_eq!(epoch(&micros.to_string(), TimeFormat::EpochUs), Some(micros));
            prop_assert_eq!(epoch(&format!("{micros}000"), TimeFormat::EpochNs), Some(micros));
        }

        #[test]
        fn the_usual_spelling_is_read_as_any(
            text in "[012][09][0-9]{2}[-/][013][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{0,8})?[Zz]?",
        ) {
            if let Some(micros) = usual(text.as_bytes()) {
                prop_assert_eq!(any_spelling(&text), Some(micros));
            }
        }
    }
}
