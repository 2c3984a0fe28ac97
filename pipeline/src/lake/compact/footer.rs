//! What a Parquet file says of itself at its end: enough to decide whether and how to merge it.

use std::{fs::File, path::Path};

use arrow_schema::DataType;
use parquet::{
    arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions},
    basic::Type,
    file::metadata::ColumnChunkMetaData,
};
use stages::store;

/// A page of a column at the most, and what is reckoned for one of texts or bytes that no dictionary holds.
const PAGE_BYTES: u64 = 1 << 20;
const WIDE_BYTES: u64 = 4 << 20;

/// Rows that are decoded at once: many, unless a few hundred of them may be large.
const BATCH_ROWS: usize = 4096;
const WIDE_BATCH_ROWS: usize = 64;

/// The end of a file.
#[derive(Debug)]
pub(super) struct Footer {
    pub(super) rows: u64,
    /// [`store::columns_id`].
    pub(super) columns: u64,
    /// How many rows may be decoded at once.
    pub(super) batch_rows: usize,
    /// What its pages and decoded rows take while it is read in order.
    pub(super) memory_bytes: u64,
}

impl Footer {
    /// # Errors
    /// Why the file at `path` is none to be merged.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::default());
        Self::of(&metadata.map_err(|error| error.to_string())?)
    }

    pub(super) fn of(metadata: &ArrowReaderMetadata) -> Result<Self, String> {
        let (schema, parquet) = (metadata.schema(), metadata.metadata());
        let file = parquet.file_metadata();
        let writer = file.created_by().unwrap_or("an unknown program");
        if !writer.starts_with("millstream ") {
            return Err(format!("it was written by {writer}"));
        }
        let is_plain = |column: &ColumnChunkMetaData| {
            let root = column.column_path().parts().first();
            let field = root.and_then(|name| schema.field_with_name(name).ok());
            column.column_type() == Type::BYTE_ARRAY
                && !field.is_some_and(|field| matches!(field.data_type(), DataType::Dictionary(..)))
        };
        let (mut memory_bytes, mut wide) = (0, false);
        for group in parquet.row_groups() {
            let (mut pages, mut plain) = (0, 0);
            for column in group.columns() {
                let encoded = size(column.uncompressed_size());
                pages += encoded.min(PAGE_BYTES);
                if is_plain(column) {
                    plain += column.unencoded_byte_array_data_bytes().map_or(encoded, size);
                }
            }
            wide |= plain > WIDE_BYTES;
            memory_bytes = memory_bytes.max(pages + plain.min(2 * WIDE_BYTES));
        }
        Ok(Self {
            rows: size(file.num_rows()),
            columns: store::columns_id(schema),
            batch_rows: if wide { WIDE_BATCH_ROWS } else { BATCH_ROWS },
            memory_bytes,
        })
    }
}

/// A size as Parquet has it, which is signed and never negative.
fn size(size: i64) -> u64 {
    u64::try_from(size).unwrap_or_default()
}
