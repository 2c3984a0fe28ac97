//! Parquet files: ZSTD, sorted, with statistics and a bloom filter on the device.

use std::{fs::File, io::BufWriter};

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Schema};
use arrow_select::interleave::interleave_record_batch;
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, Encoding, ZstdLevel},
    errors::ParquetError,
    file::{
        metadata::SortingColumn,
        properties::{WriterProperties, WriterVersion},
    },
    schema::types::ColumnPath,
};
use stages::store::Dataset;

/// Rows that are gathered at once: enough to amortise the call, little enough to stay in the cache.
const GATHERED_ROWS: usize = 16_384;

/// Writes the rows that `order` picks from `batches`, in that order, as one file. The file is
/// complete, but not synced, on return.
pub(super) fn write(
    file: File,
    dataset: Dataset,
    batches: &[RecordBatch],
    order: &[(usize, usize)],
) -> Result<File, ParquetError> {
    let batches: Vec<&RecordBatch> = batches.iter().collect();
    let Some(schema) = batches.first().map(|batch| batch.schema()) else { return Ok(file) };
    let properties = properties(dataset, &schema)?;
    let mut writer = ArrowWriter::try_new(BufWriter::new(file), schema, Some(properties))?;
    for picked in order.chunks(GATHERED_ROWS) {
        let rows = interleave_record_batch(&batches, picked).map_err(ParquetError::from)?;
        writer.write(&rows)?;
    }
    let buffered = writer.into_inner()?;
    buffered.into_inner().map_err(|error| ParquetError::from(error.into_error()))
}

fn properties(dataset: Dataset, schema: &Schema) -> Result<WriterProperties, ParquetError> {
    let sorted_by = dataset.sorted_by();
    let index = |name: &str| schema.index_of(name).ok().and_then(|index| i32::try_from(index).ok());
    let sorting = sorted_by.iter().filter_map(|name| {
        Some(SortingColumn { column_idx: index(name)?, descending: false, nulls_first: false })
    });
    let mut builder = WriterProperties::builder()
        .set_created_by(concat!("millstream ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_column_bloom_filter_enabled(ColumnPath::from(sorted_by[0]), true)
        .set_sorting_columns(Some(sorting.collect()));
    for field in schema.fields() {
        // Instants and counters grow: differences of neighbours pack better than a dictionary.
        if matches!(field.data_type(), DataType::Timestamp(..) | DataType::UInt64) {
            let column = ColumnPath::from(field.name().as_str());
            builder = builder
                .set_column_dictionary_enabled(column.clone(), false)
                .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
        }
    }
    Ok(builder.build())
}
