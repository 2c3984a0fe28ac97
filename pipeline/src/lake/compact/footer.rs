//! What a Parquet file says of itself at its end: enough to decide whether and how to merge it.

use std::{fs::File, path::Path};

use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use stages::store;

use crate::lake::Batches;

/// The end of a file.
#[derive(Debug)]
pub(in crate::lake) struct Footer {
    pub(in crate::lake) rows: u64,
    /// [`store::columns_id`].
    pub(in crate::lake) columns: u64,
    /// How it is read.
    pub(in crate::lake) batches: Batches,
}

impl Footer {
    /// # Errors
    /// Why the file at `path` is none to be merged.
    pub(in crate::lake) fn read(path: &Path) -> Result<Self, String> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        let metadata = ArrowReaderMetadata::load(&file, Batches::options());
        Self::of(&metadata.map_err(|error| error.to_string())?)
    }

    pub(in crate::lake) fn of(metadata: &ArrowReaderMetadata) -> Result<Self, String> {
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
