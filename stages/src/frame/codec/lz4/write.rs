//! The other direction: [`PLAIN`](super::PLAIN) frames of blocks that stand alone.

use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};

use super::{PLAIN, SIZES, STORED};

/// Bytes of a block at most: below 64 KiB a table of 16-bit places will do, which stays in the nearest cache. Whole values of
/// 8 bytes.
const BLOCK_BYTES: usize = 65_528;

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
    /// Adds the frame of `bytes` to `out`.
    pub(in super::super) fn compress(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&PLAIN);
        out.extend_from_slice(&SIZES[0]);
        for block in bytes.chunks(BLOCK_BYTES) {
            self.add_block(block, out);
        }
        out.extend_from_slice(&[0; 4]);
    }

    fn add_block(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        // There is always room; a block may also be stored as it is.
        let packed = compress_into_with_table(bytes, &mut self.block, &mut self.table).ok();
        let packed =
            packed.and_then(|length| self.block.get(..length)).filter(|packed| packed.len() < bytes.len());
        let (flag, block) = packed.map_or((STORED, bytes), |packed| (0, packed));
        let length = u32::try_from(block.len()).unwrap_or_default() | flag;
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(block);
    }
}
