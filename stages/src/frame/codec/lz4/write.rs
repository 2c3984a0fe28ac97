//! The other direction: [`PLAIN`](super::PLAIN) frames of blocks that stand alone.

use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};

use super::{PLAIN, SIZES, STORED};

/// Bytes of a block at most: below 64 KiB a table of 16-bit places will do, which stays in the nearest cache. Whole values of
/// 8 bytes.
const BLOCK_BYTES: usize = 65_528;

/// What stands before the blocks of a frame, and behind them.
pub(in super::super) const BEGIN_BYTES: usize = PLAIN.len() + SIZES[0].len();
pub(in super::super) const END_BYTES: usize = 4;

/// What compressing needs each time.
pub(in super::super) struct Compressor {
    table: CompressTable,
    block: Vec<u8>,
}

impl Default for Compressor {
    fn default() -> Self {
        Self { table: CompressTable::small(), block: vec![0; get_maximum_output_size(BLOCK_BYTES)] }
    }
}

impl Compressor {
    /// Adds the blocks of `bytes` to `out`, and says how many.
    pub(in super::super) fn compress(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        bytes.chunks(BLOCK_BYTES).map(|block| self.add_block(block, out)).count()
    }

    fn add_block(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        // There is always room; a block may also be stored as it is.
        let packed = compress_into_with_table(bytes, &mut self.block, &mut self.table).ok();
        let packed =
            packed.and_then(|length| self.block.get(..length)).filter(|packed| packed.len() < bytes.len());
        match packed {
            Some(packed) => add(0, packed, out),
            None => add(STORED, bytes, out),
        }
    }
}

/// Begins a frame, which blocks follow.
pub(in super::super) fn begin(out: &mut Vec<u8>) {
    out.extend_from_slice(&PLAIN);
    out.extend_from_slice(&SIZES[0]);
}

/// Adds the blocks of `bytes` as they are, and says how many.
pub(in super::super) fn store(bytes: &[u8], out: &mut Vec<u8>) -> usize {
    bytes.chunks(BLOCK_BYTES).map(|block| add(STORED, block, out)).count()
}

/// Ends a frame.
pub(in super::super) fn end(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0; END_BYTES]);
}

fn add(flag: u32, block: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(block.len()).unwrap_or_default() | flag;
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(block);
}
