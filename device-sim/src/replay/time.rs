//! The time column of a recorded series.

use chrono::{DateTime, Datelike, NaiveDateTime, TimeDelta, Utc};

/// The forms that a time may have, for messages.
pub(super) const FORMS: &str = "YYYY-MM-DD HH:MM:SS[.fff] (UTC), RFC 3339, or seconds since 1970";

/// Reads a time in one of [`FORMS`].
pub(super) fn parse(cell: &str) -> Option<DateTime<Utc>> {
    let cell = cell.trim();
    let offset = DateTime::parse_from_rfc3339(cell).ok().map(|time| time.to_utc());
    let time = offset.or_else(|| naive(cell)).or_else(|| epoch(cell))?;
    // RFC 3339 has four digits for the year; what is beyond is an epoch in milliseconds or less.
    (0..=9999).contains(&time.year()).then_some(time)
}

fn naive(cell: &str) -> Option<DateTime<Utc>> {
    ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"]
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(cell, form).ok())
        .map(|time| time.and_utc())
}

/// Digit by digit: a float would lose the microseconds.
fn epoch(cell: &str) -> Option<DateTime<Utc>> {
    let (negative, digits) = match cell.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, cell),
    };
    let (secs, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    if !is_digits(secs) || !is_digits(fraction) {
        return None;
    }
    let secs: i64 = secs.parse().ok()?;
    let nanos = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    let nanos = nanos.fold(0, |nanos, digit| nanos * 10 + i64::from(digit - b'0'));
    let since = TimeDelta::try_seconds(secs)?.checked_add(&TimeDelta::nanoseconds(nanos))?;
    let since = if negative { -since } else { since };
    DateTime::UNIX_EPOCH.checked_add_signed(since)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::message::rfc3339;

    #[test]
    fn every_form_is_read() {
        for (cell, expected) in [
            ("2015-02-26 21:42:53", "2015-02-26T21:42:53Z"),
            ("2015-02-26 21:42:53.25", "2015-02-26T21:42:53.250Z"),
            ("2015-02-26T21:42:53.000001", "2015-02-26T21:42:53.000001Z"),
            ("2015-02-26T21:42:53Z", "2015-02-26T21:42:53Z"),
            ("2015-02-26T23:42:53+02:00", "2015-02-26T21:42:53Z"),
            (" 1700000000 ", "2023-11-14T22:13:20Z"),
            ("1700000000.123456", "2023-11-14T22:13:20.123456Z"),
            ("0", "1970-01-01T00:00:00Z"),
            ("-1.5", "1969-12-31T23:59:58.500Z"),
        ] {
            assert_eq!(parse(cell).map(rfc3339).as_deref(), Some(expected), "{cell}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for cell in [
            "",
            "yesterday",
            "2015-02-30 00:00:00",
            "26.02.2015",
            "1.4e9",
            "1700000000000",
            "1.",
            ".5",
            "--1",
            "nan",
        ] {
            assert_eq!(parse(cell), None, "{cell}");
        }
    }
}
