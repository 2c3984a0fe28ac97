//! The other direction: [`PLAIN`](super::PLAIN) frames of blocks that stand alone.

use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};

use super::{PLAIN, SIZES, STORED};

/// Bytes of a block at most: below 64 KiB a table of 16-bit places will do, which stays in the nearest cache. Whole values of
/// 8 bytes.
const BLOCK_BYTES: usize = 65_528;

/// What stands before the blocks of a frame, and behind them.
pub(in super::super) const BEGIN_BYTES: usize = PLAIN.len() + SIZES[0].len();
pub(in super::super) const END_BYTES: usize = 4;

/// Of a block that has [`PROBE_SHARE`] times as many bytes so many are tried first: scores and measured values hardly become
/// smaller, and cost most.
const PROBE_BYTES: usize = 4 << 10;
const PROBE_SHARE: usize = 4;

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
        match self.worth_it(bytes).then(|| self.packed(bytes)).flatten() {
            Some(packed) => add(0, packed, out),
            None => add(STORED, bytes, out),
        }
    }

    /// Whether the first bytes of a block become smaller by a quarter.
    fn worth_it(&mut self, bytes: &[u8]) -> bool {
        let probe = bytes.get(..PROBE_BYTES).filter(|probe| bytes.len() >= probe.len() * PROBE_SHARE);
        probe.is_none_or(|probe| self.packed(probe).is_some_and(|packed| packed.len() <= PROBE_BYTES / 4 * 3))
    }

    /// A block, if it becomes smaller. There is always room.
    fn packed(&mut self, bytes: &[u8]) -> Option<&[u8]> {
        let length = compress_into_with_table(bytes, &mut self.block, &mut self.table).ok()?;
        self.block.get(..length).filter(|packed| packed.len() < bytes.len())
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
