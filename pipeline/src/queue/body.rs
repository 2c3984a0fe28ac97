//! The bytes of a frame and, where this process has made them of a frame, that frame.

#[cfg(test)]
mod tests;

use std::{fmt, ops::Deref, sync::Arc};

use bytes::Bytes;
use stages::frame::{self, Encoded, Frame, FrameError, Packed, Source};

use crate::memory::Memory;

/// How much more than its rows need a frame may hold in memory to be kept: builders begin with room for about a thousand rows
/// and double it, and a slice holds all that it was cut out of.
const SPARE_BYTES: usize = 128 << 10;

/// A frame in the one codec, as it is stored. It never changes, so that what it was made of is what it decodes to.
#[derive(Clone)]
pub struct Body {
    bytes: Bytes,
    decoded: Option<Decoded>,
}

#[derive(Clone)]
struct Decoded {
    frame: Arc<Frame>,
    /// How its buffers stand in the bytes.
    packed: Arc<Packed>,
    /// What its rows hold in memory.
    held: usize,
}

impl Body {
    /// Encodes a frame. Who gets the body within this process need not decode it.
    ///
    /// # Errors
    /// Those of [`frame::encode`].
    pub fn of(frame: &Frame) -> Result<Self, FrameError> {
        Self::made_from(frame, &[])
    }

    /// Encodes a frame that was made from others. What of these it has unchanged is not compressed again.
    ///
    /// # Errors
    /// Those of [`frame::encode`].
    pub fn made_from(frame: &Frame, inputs: &[Source<'_>]) -> Result<Self, FrameError> {
        let Encoded { bytes, packed } = frame::encode_from(frame, inputs)?;
        Ok(Self { bytes: bytes.into(), decoded: Decoded::of(frame, packed) })
    }

    /// What frames that are made from this one need not compress again, where that is known.
    pub fn source(&self) -> Option<Source<'_>> {
        let Decoded { packed, .. } = self.decoded.as_ref()?;
        Some(Source { bytes: &self.bytes, packed })
    }

    /// The frame, decoded unless that is not needed.
    ///
    /// # Errors
    /// Those of [`frame::decode`].
    pub fn frame(&self) -> Result<Frame, FrameError> {
        match &self.decoded {
            Some(Decoded { frame, .. }) => {
                debug_assert_eq!(frame::decode(&self.bytes)?, **frame, "the same rows either way");
                Ok(Frame::clone(frame))
            }
            None => frame::decode(&self.bytes),
        }
    }

    /// What it takes in memory, where nobody need decode it.
    pub(super) fn decoded_bytes(&self) -> Option<usize> {
        let Decoded { packed, held, .. } = self.decoded.as_ref()?;
        Some(self.bytes.len() + packed.memory_bytes() + held)
    }
}

impl Decoded {
    /// The frame, if it is what its bytes decode to, and holds not much more memory than that.
    fn of(frame: &Frame, packed: Packed) -> Option<Self> {
        let Memory { held, needed } = Memory::of(&frame.rows);
        // What a schema says beside its columns is not encoded.
        let same = frame.rows.schema_ref().metadata().is_empty();
        (same && held <= 2 * needed + SPARE_BYTES).then(|| Self {
            frame: Arc::new(frame.clone()),
            packed: Arc::new(packed),
            held,
        })
    }
}

impl Deref for Body {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        &self.bytes
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self { bytes, decoded: None }
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl FromIterator<u8> for Body {
    fn from_iter<T: IntoIterator<Item = u8>>(bytes: T) -> Self {
        Bytes::from_iter(bytes).into()
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Body {}

impl PartialEq<Body> for Bytes {
    fn eq(&self, other: &Body) -> bool {
        *self == other.bytes
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes.fmt(f)
    }
}
