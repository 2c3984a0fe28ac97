//! The one clock: receipts, frames' ages and ticks are compared with each other.

use std::time::{Duration, SystemTime};

use stages::frame::Micros;

/// The time, as far as this machine knows it.
pub(crate) fn now() -> Micros {
    micros(SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default())
}

/// A duration in microseconds, at most about 290,000 years.
pub(crate) fn micros(duration: Duration) -> Micros {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
