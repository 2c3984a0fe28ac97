//! A checksum behind what is stored: SQLite checks how its pages hang together, not what they hold.

use rusqlite::{Error, Result, ffi};
use xxhash_rust::xxh3::xxh3_64;

/// What ends sealed bytes. Those of earlier versions of Millstream have no seal, and are taken as they are.
const MARK: [u8; 4] = *b"xxh3";

const SEAL_BYTES: usize = size_of::<u64>() + MARK.len();

/// The bytes with their checksum (XXH3, 64 bits) behind them.
pub(crate) fn seal(bytes: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(bytes.len() + SEAL_BYTES);
    sealed.extend_from_slice(bytes);
    sealed.extend_from_slice(&xxh3_64(bytes).to_le_bytes());
    sealed.extend_from_slice(&MARK);
    sealed
}

/// The bytes that were sealed.
///
/// # Errors
/// As SQLite's for a damaged file, when they are others.
pub(crate) fn unseal<'a>(sealed: &'a [u8], what: &str) -> Result<&'a [u8]> {
    let Some(rest) = sealed.strip_suffix(&MARK) else { return Ok(sealed) };
    match rest.split_last_chunk() {
        Some((bytes, sum)) if xxh3_64(bytes).to_le_bytes() == *sum => Ok(bytes),
        _ => {
            let said = format!("the checksum of {what} does not fit");
            Err(Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CORRUPT), Some(said)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_counts() {
        let sealed = seal(b"21.4");
        assert_eq!(unseal(&sealed, "a frame").unwrap(), b"21.4");
        assert_eq!(unseal(b"21.4", "a frame").unwrap(), b"21.4", "of an earlier version");
        for bit in 0..(sealed.len() - MARK.len()) * 8 {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let error = unseal(&damaged, "a frame").unwrap_err();
            assert_eq!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseCorrupt));
            assert_eq!(error.to_string(), "the checksum of a frame does not fit");
        }
    }
}
