//! A checksum beside what is stored: SQLite checks how its pages hang together, not what they hold.

use std::fmt::Display;

use rusqlite::{Error, Result, ffi};
use xxhash_rust::xxh3::xxh3_64;

/// The checksum of bytes (XXH3, 64 bits), as SQLite keeps it.
pub(crate) fn checksum(bytes: &[u8]) -> i64 {
    xxh3_64(bytes).cast_signed()
}

/// The bytes, if they are those that were stored. Those of earlier versions of Millstream have no checksum, and are taken
/// as they are.
///
/// # Errors
/// As SQLite's for a damaged file, when they are others.
pub(crate) fn checked(bytes: &[u8], sum: Option<i64>, what: impl Display) -> Result<&[u8]> {
    if sum.is_none_or(|sum| sum == checksum(bytes)) {
        return Ok(bytes);
    }
    Err(damage(format!("the checksum of {what} does not fit")))
}

/// What SQLite's error for a damaged file would be where only we know of the damage.
pub(crate) fn damage(said: String) -> Error {
    Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CORRUPT), Some(said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_counts() {
        let sum = checksum(b"21.4");
        assert_eq!(checked(b"21.4", Some(sum), "a frame").unwrap(), b"21.4");
        assert_eq!(checked(b"21.5", None, "a frame").unwrap(), b"21.5", "of an earlier version");
        for bit in 0..4 * 8 {
            let mut damaged = *b"21.4";
            damaged[bit / 8] ^= 1 << (bit % 8);
            let error = checked(&damaged, Some(sum), "a frame").unwrap_err();
            assert_eq!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseCorrupt));
            assert_eq!(error.to_string(), "the checksum of a frame does not fit");
        }
    }
}
