//! LZ4 frames from and into memory that is there: what `lz4_flex` has is a reader and a writer, which bring buffers of their
//! own for each frame.
//!
//! Format: [LZ4 frame](https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md).

mod block;
mod write;

use std::io::Read;

use lz4_flex::frame::FrameDecoder;

pub(super) use self::write::{BEGIN_BYTES, Compressor, END_BYTES, begin, end, store};

use crate::frame::FrameError;

/// No frame holds more than this many times its bytes: a byte of a match's length stands for 255 bytes.
pub(super) const RATIO_MAX: usize = 255;

/// How a frame of version 1 begins whose blocks are independent, and that has no checksum, size or dictionary.
pub(super) const PLAIN: [u8; 5] = [0x04, 0x22, 0x4d, 0x18, 0b0110_0000];

/// What follows in a [`PLAIN`] frame: the largest size of a block (64 KiB, 256 KiB, 1 MiB, 4 MiB), and the checksum of the
/// two bytes before it.
pub(super) const SIZES: [[u8; 2]; 4] = [[0x40, 0x82], [0x50, 0xfb], [0x60, 0x51], [0x70, 0x73]];

/// The bit of a block's length that says that the block is not compressed.
const STORED: u32 = 1 << 31;

/// Fills `out` with what the frame `packed` holds, which must be just as much.
///
/// # Errors
/// When the frame is damaged, or holds another number of bytes.
pub(super) fn decompress(packed: &[u8], out: &mut [u8]) -> Result<(), FrameError> {
    match packed.strip_prefix(&PLAIN).and_then(|rest| rest.split_first_chunk()) {
        Some((size, blocks)) if SIZES.contains(size) => decompress_blocks(blocks, out),
        _ => decompress_any(packed, out),
    }
}

fn decompress_blocks(mut blocks: &[u8], mut out: &mut [u8]) -> Result<(), FrameError> {
    loop {
        let (length, rest) = blocks.split_first_chunk().ok_or(FrameError::Damaged)?;
        let length = u32::from_le_bytes(*length);
        if length == 0 {
            // What follows can only be padding, which a writer may count in.
            return if out.is_empty() { Ok(()) } else { Err(FrameError::Damaged) };
        }
        let length_bytes = usize::try_from(length & !STORED).map_err(|_| FrameError::Damaged)?;
        let (block, rest) = rest.split_at_checked(length_bytes).ok_or(FrameError::Damaged)?;
        blocks = rest;
        let filled = if length & STORED == 0 {
            block::decompress(block, out).ok_or(FrameError::Damaged)?
        } else {
            out.get_mut(..block.len()).ok_or(FrameError::Damaged)?.copy_from_slice(block);
            block.len()
        };
        out = out.get_mut(filled..).ok_or(FrameError::Damaged)?;
    }
}

/// For the frames of other writers: with linked blocks, checksums, their size.
fn decompress_any(packed: &[u8], out: &mut [u8]) -> Result<(), FrameError> {
    let mut frame = FrameDecoder::new(packed);
    frame.read_exact(out).map_err(|_| FrameError::Damaged)?;
    // To the end, where the checksum of the whole stands.
    match frame.read(&mut [0]) {
        Ok(0) => Ok(()),
        _ => Err(FrameError::Damaged),
    }
}
