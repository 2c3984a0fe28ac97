//! What a Parquet file says of itself at its end: enough to decide whether and how to merge it.

use std::{fs::File, path::Path};

use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use stages::store;

use crate::lake::Batches;

/// The end of a file.
#[derive(Debug)]
pub(super) struct Footer {
    pub(super) rows: u64,
    /// [`store::columns_id`].
    pub(super) columns: u64,
    /// How it is read.
    pub(super) batches: Batches,
}

impl Footer {
    /// # Errors
    /// Why the file at `path` is none to be merged.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        let metadata = ArrowReaderMetadata::load(&file, Batches::options());
        Self::of(&metadata.map_err(|error| error.to_string())?)
    }

    pub(super) fn of(metadata: &ArrowReaderMetadata) -> Result<Self, String> {
        let (schema, parquet) = (metadata.schema(), metadata.metadata());
        let file = parquet.file_metadata();
        let writer = file.created_by().unwrap_or("an unknown program");
        if !writer.starts_with("millstream ") {
            return Err(format!("it was written by {writer}"));
        }
        Ok(Self {
            rows: u64::try_from(file.num_rows()).unwrap_or_default(),
            columns: store::columns_id(schema),
            batches: Batches::of(parquet, schema),
        })
    }
}
