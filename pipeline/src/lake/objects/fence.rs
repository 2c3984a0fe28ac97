//! What stands under a name so that no file ever will.

use std::sync::Arc;

use ::parquet::{
    arrow::ArrowWriter,
    errors::ParquetError,
    file::{
        metadata::KeyValue,
        reader::{FileReader, SerializedFileReader},
    },
};
use arrow_schema::SchemaRef;
use bytes::Bytes;
use stages::{
    frame::{
        AggregatesBuilder, AlertsBuilder, FrameError, FrameId, Header, Kind, Lane, QuarantineBuilder,
        ReadingsBuilder,
    },
    store::Dataset,
};

use crate::lake::parquet;

/// No fence is larger.
pub(super) const BYTES_MAX: u64 = 64 << 10;

/// What the end of the file says for programs, and for people.
const KEY: &str = "millstream.fence";
const MEANING: &str = "no rows: this name was taken from a worker that was interrupted while it wrote";

/// A Parquet file without rows, with the columns of a dataset.
pub(super) fn file(dataset: Dataset, tags: &[String]) -> Result<Vec<u8>, ParquetError> {
    let schema = columns(dataset, tags).map_err(|error| ParquetError::External(Box::new(error)))?;
    let properties = parquet::properties(dataset, &schema)?;
    let mut writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(properties))?;
    writer.append_key_value_metadata(KeyValue::new(KEY.to_owned(), MEANING.to_owned()));
    writer.into_inner()
}

/// Whether a file is a fence.
pub(super) fn is_fence(file: Bytes) -> bool {
    let Ok(reader) = SerializedFileReader::new(file) else { return false };
    let entries = reader.metadata().file_metadata().key_value_metadata();
    entries.into_iter().flatten().any(|entry| entry.key == KEY)
}

/// The columns that files of `dataset` have now.
fn columns(dataset: Dataset, tags: &[String]) -> Result<SchemaRef, FrameError> {
    let header =
        |kind| Header { id: FrameId([0; 16]), kind, lane: Lane(0), created_at: 0, epoch: 0, trace: None };
    let frame = match dataset {
        Dataset::Readings => ReadingsBuilder::new(tags).finish(header(Kind::Readings)),
        Dataset::Aggregates => AggregatesBuilder::default().finish(header(Kind::Aggregates)),
        Dataset::Alerts => AlertsBuilder::default().finish(header(Kind::Alerts)),
        Dataset::Quarantine => QuarantineBuilder::default().finish(header(Kind::Quarantine)),
    };
    Ok(frame?.rows.schema())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_has_columns_and_no_rows_and_is_told_from_files() {
        let tags = ["site".to_owned()];
        for dataset in Dataset::ALL {
            let fence = file(dataset, &tags).unwrap();
            assert!(fence.len() as u64 <= BYTES_MAX, "{} bytes", fence.len());
            let reader = SerializedFileReader::new(Bytes::from(fence.clone())).unwrap();
            let metadata = reader.metadata().file_metadata();
            let columns = columns(dataset, &tags).unwrap();
            assert_eq!(metadata.num_rows(), 0);
            assert_eq!(metadata.schema().get_fields().len(), columns.fields().len());
            assert!(is_fence(fence.into()));
            let plain = ArrowWriter::try_new(Vec::new(), columns, None).unwrap().into_inner().unwrap();
            assert!(!is_fence(plain.into()));
        }
        assert!(!is_fence(Bytes::from_static(b"PAR1 and no more")));
    }
}
