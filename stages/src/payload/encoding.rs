//! Takes compression away.

use std::io::{self, Read};

use flate2::bufread::MultiGzDecoder;

use super::{CONTENT_ENCODING, Encoding, too_large};
use crate::refused::Refused;

/// The largest window of Zstandard, as a power of two: 8 MiB, what [RFC 9659] allows where `zstd` is a content
/// encoding. A message could ask for 2 GiB of memory otherwise.
///
/// [RFC 9659]: https://www.rfc-editor.org/rfc/rfc9659
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// The payload without its compression. Memory is taken as bytes come out, never on the word of a header.
///
/// # Errors
/// `bad_encoding` when it is broken, `too_large` when more than `bytes_max` bytes come out.
pub(super) fn decompressed(encoding: Encoding, payload: &[u8], bytes_max: usize) -> Result<Vec<u8>, Refused> {
    let refused = |error: io::Error| {
        let name = if encoding == Encoding::Zstd { "zstd" } else { "gzip" };
        let message = format!("it cannot be read as {name}: {error}");
        Refused::new("bad_encoding", "", CONTENT_ENCODING, message)
    };
    if payload.is_empty() {
        return Err(refused(io::ErrorKind::UnexpectedEof.into()));
    }
    let read = match encoding {
        Encoding::None => up_to(bytes_max, payload),
        Encoding::Gzip => up_to(bytes_max, MultiGzDecoder::new(payload)),
        Encoding::Zstd => unzstd(payload).and_then(|decoder| up_to(bytes_max, decoder)),
    };
    let bytes = read.map_err(refused)?;
    if bytes.len() > bytes_max {
        return Err(too_large(bytes_max, "decompressed"));
    }
    Ok(bytes)
}

fn unzstd(payload: &[u8]) -> io::Result<impl Read> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(payload)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
    Ok(decoder)
}

/// All that comes out, or one byte more than may.
fn up_to(bytes_max: usize, reader: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
