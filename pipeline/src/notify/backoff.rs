//! How long to wait before something is tried again.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::pause::spread_by;

/// The shortest and the longest wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Backoff {
    pub(super) min: Duration,
    pub(super) max: Duration,
}

impl Backoff {
    /// The wait after so many failures: it doubles with each of them. Half of it is left to chance (`chance` is
    /// from 0 to 1), so that what failed together does not come again together.
    pub(super) fn after(self, failures: u32, chance: f64) -> Duration {
        let doubled = self.min.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
        spread_by(doubled.min(self.max), chance)
    }
}

/// What the header `Retry-After` asks for ([RFC 9110, section 10.2.3](https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3)):
/// seconds, or an instant.
pub(super) fn retry_after(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    if let Ok(secs) = text.parse() {
        return Some(Duration::from_secs(secs));
    }
    let at = DateTime::parse_from_rfc2822(text).ok()?;
    Some((at.to_utc() - now).to_std().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_and_half_of_them_is_chance() {
        let backoff = Backoff { min: Duration::from_secs(1), max: Duration::from_secs(60) };
        for (failures, least, most) in [(0, 500, 1000), (1, 500, 1000), (2, 1000, 2000), (6, 16_000, 32_000)]
        {
            assert_eq!(backoff.after(failures, 0.0), Duration::from_millis(least));
            assert_eq!(backoff.after(failures, 1.0), Duration::from_millis(most));
        }
        for failures in [7, 100, u32::MAX] {
            assert_eq!(backoff.after(failures, 1.0), backoff.max);
        }
    }

    #[test]
    fn retry_after_is_seconds_or_an_instant() {
        let now = DateTime::from_timestamp(1_445_412_420, 0).unwrap();
        for (text, secs) in [
            ("120", Some(120)),
            ("0", Some(0)),
            ("Wed, 21 Oct 2015 07:28:00 GMT", Some(60)),
            ("Wed, 21 Oct 2015 07:26:00 GMT", Some(0)),
            ("soon", None),
            ("-5", None),
        ] {
            assert_eq!(retry_after(text, now), secs.map(Duration::from_secs), "{text}");
        }
    }
}
