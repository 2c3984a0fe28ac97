//! The end of a file in an object store, which says what is in it.

use std::io::{self, Cursor};

use ::parquet::{
    arrow::arrow_reader::ArrowReaderMetadata,
    errors::{ParquetError, Result},
    file::reader::{ChunkReader, Length},
};
use bytes::Bytes;
use object_store::Error;

use super::Objects;
use crate::lake::{Batches, LakeError, compact::footer::Footer};

/// So much is read at first: mostly all that is needed.
const BYTES: u64 = 256 << 10;

/// The end of a file; the rest of it is read where it is needed. Reading it blocks.
pub(super) struct Tail<'a> {
    lake: &'a Objects,
    name: object_store::path::Path,
    size: u64,
    bytes: Bytes,
}

impl<'a> Tail<'a> {
    /// The end of a file of so many bytes; none if it is gone.
    pub(super) async fn read(
        lake: &'a Objects,
        path: &str,
        size: u64,
    ) -> std::result::Result<Option<Self>, LakeError> {
        let name = lake.name(path);
        match lake.piece(&name, size.saturating_sub(BYTES)..size).await {
            Err(Error::NotFound { .. }) => Ok(None),
            piece => {
                let bytes = piece.map_err(lake.failed("read", &name))?;
                Ok(Some(Self { lake, name, size, bytes }))
            }
        }
    }

    /// What the end says, or why the file is none to be merged.
    ///
    /// # Errors
    /// When more has to be read, and cannot be.
    pub(super) fn footer(&self) -> std::result::Result<std::result::Result<Footer, String>, LakeError> {
        match ArrowReaderMetadata::load(self, Batches::options()) {
            Err(ParquetError::External(source)) => {
                Err(LakeError::Object { action: "read", path: self.lake.shown(&self.name), source })
            }
            metadata => {
                Ok(metadata.map_err(|error| error.to_string()).and_then(|metadata| Footer::of(&metadata)))
            }
        }
    }
}

impl Length for Tail<'_> {
    fn len(&self) -> u64 {
        self.size
    }
}

impl ChunkReader for Tail<'_> {
    type T = Cursor<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        let length = usize::try_from(self.size.saturating_sub(start)).map_err(io::Error::other)?;
        Ok(Cursor::new(self.get_bytes(start, length)?))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let first = self.size - self.bytes.len() as u64;
        let end = start + length as u64;
        if end > self.size {
            return Err(ParquetError::EOF(format!("the file has {} bytes, not {end}", self.size)));
        }
        if start < first {
            let piece = self.lake.wait(self.lake.piece(&self.name, start..end));
            return piece.map_err(|error| ParquetError::External(Box::new(error)));
        }
        let start = usize::try_from(start - first).map_err(io::Error::other)?;
        Ok(self.bytes.slice(start..start + length))
    }
}
