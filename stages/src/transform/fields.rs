//! Times and sequence numbers of a payload.

use std::borrow::Cow;

use super::{
    config::TimeFormat,
    json::{self, Json, Kind},
    pointers::Pointer,
    time,
};
use crate::{frame::Micros, refused::Refused};

/// The longest text of a device, metric, unit or tag, in bytes. A reading has one of each, and many readings may have
/// the same: without a limit a short message could ask for any amount of memory.
pub(super) const TEXT_BYTES_MAX: usize = 1024;

/// Which times are taken.
#[derive(Debug)]
pub(super) struct Bounds {
    /// How far a time may lie after the receipt.
    pub(super) max_future: Micros,
    pub(super) min_time: Option<Micros>,
}

/// The instant that `json`, found at `pointer`, tells. Offsets count from `base`.
pub(super) fn time(
    json: Option<Json<'_>>,
    (pointer, format): (&Pointer, TimeFormat),
    base: Micros,
    bounds: &Bounds,
    received_at: Micros,
) -> Result<Micros, Refused> {
    let refused = |message: String| Refused::new("bad_time", &pointer.text, "time", message);
    let json = json.ok_or_else(|| refused("there is nothing here".to_owned()))?;
    let ts = match (json::kind(json), format) {
        (Ok(Kind::Text(text)), TimeFormat::Rfc3339) => time::rfc3339(&text),
        (Ok(Kind::Number(number)), format) if format.is_offset() => time::after(base, number, format),
        (Ok(Kind::Number(number)), format) => time::epoch(number, format),
        _ => None,
    };
    let ts = ts.ok_or_else(|| {
        refused(format!("{} is no time of the years 1 to 9999 as {}", shown(json.text), wanted(format)))
    })?;
    bounds.check(ts, received_at).map_err(|(reason, keyword, problem)| {
        Refused::new(reason, &pointer.text, keyword, format!("{} {problem}", shown(json.text)))
    })?;
    Ok(ts)
}

impl Bounds {
    /// Whether an instant may be stored.
    ///
    /// # Errors
    /// The reason to refuse it, the key of the config that says so, and what is wrong with it.
    pub(super) fn check(
        &self,
        ts: Micros,
        received_at: Micros,
    ) -> Result<(), (&'static str, &'static str, String)> {
        if ts > received_at.saturating_add(self.max_future) {
            let (ahead, allowed) = (ts.saturating_sub(received_at) / 1_000_000, self.max_future / 1_000_000);
            let problem = format!("lies {ahead} s after its receipt; {allowed} s are allowed");
            return Err(("future_time", "max_future_secs", problem));
        }
        if self.min_time.is_some_and(|min_time| ts < min_time) {
            let problem = "lies before the earliest time that is allowed".to_owned();
            return Err(("before_min_time", "min_time", problem));
        }
        Ok(())
    }
}

/// Checks the length of a text that is part of each reading.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check_length(text: &str) -> Result<(), String> {
    if text.len() <= TEXT_BYTES_MAX {
        return Ok(());
    }
    Err(format!("{} has {} bytes; {TEXT_BYTES_MAX} are allowed", shown(text), text.len()))
}

/// The sequence number that `json`, found at `pointer`, tells; there may be none.
pub(super) fn seq(json: Option<Json<'_>>, pointer: &Pointer) -> Result<Option<u64>, Refused> {
    let Some(json) = json else { return Ok(None) };
    let seq = match json::kind(json) {
        Ok(Kind::Null) => return Ok(None),
        Ok(Kind::Number(number)) => unsigned(number),
        _ => None,
    };
    let refused = || {
        Refused::new("bad_seq", &pointer.text, "seq", format!("{} is no integer from 0 on", shown(json.text)))
    };
    seq.map(Some).ok_or_else(refused)
}

/// An integer from 0 on, also in another notation, as `5.0`, which JSON Schema takes for one, too.
pub(super) fn unsigned(number: &str) -> Option<u64> {
    /// From 2^53 on, floats skip integers.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let whole = || {
        let value: f64 = number.parse().ok()?;
        let whole = value.fract() == 0.0 && (0.0..EXACT).contains(&value);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked just above")]
        whole.then_some(value as u64)
    };
    number.parse().ok().or_else(whole)
}

/// Whether a JSON number is written as an integer.
pub(super) fn is_integer(number: &str) -> bool {
    !number.contains(['.', 'e', 'E'])
}

/// The text of a value from the payload for a message to people, cut short.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    const CHARS_MAX: usize = 60;
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

fn wanted(format: TimeFormat) -> &'static str {
    match format {
        TimeFormat::Rfc3339 => "an RFC 3339 text",
        TimeFormat::EpochS => "a number of seconds since 1970",
        TimeFormat::EpochMs => "a number of milliseconds since 1970",
        TimeFormat::EpochUs => "a number of microseconds since 1970",
        TimeFormat::EpochNs => "a number of nanoseconds since 1970",
        TimeFormat::OffsetS => "a number of seconds after the message's time",
        TimeFormat::OffsetMs => "a number of milliseconds after the message's time",
    }
}
