//! One block. `lz4_flex` copies a repeat that lies over itself byte by byte; in columns of numbers that is most of what
//! there is: a value that stands in several rows repeats what is 8 bytes before it.
//!
//! Format: [LZ4 block](https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md).

/// So many bytes are copied at once, also where fewer are wanted and there is room: the rest is written over.
const CHUNK: usize = 16;

/// The shortest repeat; lengths count from it.
const MATCH_MIN: usize = 4;

/// The length in a token that says that more of it follows.
const MORE: usize = 15;

/// Fills `out` from its beginning, and says how far; nothing if the block is damaged or has more than fits.
pub(super) fn decompress(mut block: &[u8], out: &mut [u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let (token, rest) = block.split_first()?;
        let (literals, repeat) = (usize::from(token >> 4), usize::from(token & 15));
        block = rest;
        let literals = length(literals, &mut block)?;
        match (block.first_chunk::<CHUNK>(), out.get_mut(at..)?.first_chunk_mut::<CHUNK>()) {
            (Some(from), Some(to)) if literals <= CHUNK => *to = *from,
            _ => out.get_mut(at..at.checked_add(literals)?)?.copy_from_slice(block.get(..literals)?),
        }
        at += literals;
        block = block.get(literals..)?;
        // A block ends with literals.
        if block.is_empty() {
            return Some(at);
        }
        let (back, rest) = block.split_first_chunk()?;
        block = rest;
        let back = usize::from(u16::from_le_bytes(*back));
        let repeat = MATCH_MIN + length(repeat, &mut block)?;
        let end = at.checked_add(repeat).filter(|end| *end <= out.len())?;
        if back == 0 || back > at {
            return None;
        }
        repeat_from(out, at - back, at, end);
        at = end;
    }
}

/// A length whose first part stood in the token.
fn length(mut length: usize, block: &mut &[u8]) -> Option<usize> {
    if length == MORE {
        loop {
            let (more, rest) = block.split_first()?;
            *block = rest;
            length = length.checked_add(usize::from(*more))?;
            if *more != u8::MAX {
                break;
            }
        }
    }
    Some(length)
}

/// Fills `at..end` with what stands from `from` on, which may be what is written here.
fn repeat_from(out: &mut [u8], from: usize, at: usize, end: usize) {
    let back = at - from;
    let chunks = (end - at).div_ceil(CHUNK);
    let wild = at + chunks * CHUNK;
    if wild > out.len() {
        return repeat_to_the_end(out, from, at, end);
    }
    if back >= CHUNK {
        if end - at > 4 * CHUNK && back >= end - at {
            return out.copy_within(from..from + (end - at), at);
        }
        for step in 0..chunks {
            let chunk = chunk_at(out, from + step * CHUNK);
            out[at + step * CHUNK..][..CHUNK].copy_from_slice(&chunk);
        }
        return;
    }
    let pattern = pattern(chunk_at(out, from), back);
    if CHUNK.is_multiple_of(back) {
        for to in out[at..wild].chunks_exact_mut(CHUNK) {
            to.copy_from_slice(&pattern);
        }
        return;
    }
    let step = CHUNK - CHUNK % back;
    let mut to = at;
    while to < end {
        match out[to..].first_chunk_mut() {
            Some(chunk) => *chunk = pattern,
            None => return repeat_to_the_end(out, to - back, to, end),
        }
        to += step;
    }
}

/// For where no whole chunk fits: what is copied doubles each time.
fn repeat_to_the_end(out: &mut [u8], from: usize, mut at: usize, end: usize) {
    while at < end {
        let length = (at - from).min(end - at);
        out.copy_within(from..from + length, at);
        at += length;
    }
}

fn chunk_at(out: &[u8], at: usize) -> [u8; CHUNK] {
    out[at..].first_chunk().copied().unwrap_or_default()
}

/// The first `back` bytes of `chunk` over and over.
fn pattern(mut chunk: [u8; CHUNK], back: usize) -> [u8; CHUNK] {
    if back == 8 {
        chunk.copy_within(..8, 8);
        return chunk;
    }
    for place in back..CHUNK {
        chunk[place] = chunk[place - back];
    }
    chunk
}
