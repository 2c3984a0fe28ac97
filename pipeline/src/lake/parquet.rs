//! Parquet files: ZSTD, sorted, with statistics and a bloom filter on the device.

use std::{fs::File, io::BufWriter};

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Schema, SchemaRef};
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
use stages::store::{Dataset, Gather, Stretch};

use crate::failpoint::fail_point;

/// Rows that are gathered at once: enough to amortise the call, little enough to stay in the cache.
const GATHERED_ROWS: u32 = 16_384;

/// A merged file is written in groups of rows of no more than this, encoded, so that memory stays bounded.
const GROUP_BYTES: usize = 64 << 20;

/// Writes the rows of `order` out of `batches`, in that order, as one file. The file is complete, but not synced, on
/// return.
///
/// # Errors
/// When the file cannot be written, or there are no such rows.
pub fn write(
    file: File,
    dataset: Dataset,
    batches: &[RecordBatch],
    order: &[Stretch],
) -> Result<File, ParquetError> {
    let batches: Vec<&RecordBatch> = batches.iter().collect();
    let Some(schema) = batches.first().map(|batch| batch.schema()) else { return Ok(file) };
    let mut writer = Writer::new(file, dataset, schema)?;
    writer.write(&batches, order)?;
    writer.finish()
}

/// A file that is written piece by piece.
pub(super) struct Writer(ArrowWriter<BufWriter<File>>);

impl Writer {
    pub(super) fn new(file: File, dataset: Dataset, schema: SchemaRef) -> Result<Self, ParquetError> {
        let properties = properties(dataset, &schema)?;
        Ok(Self(ArrowWriter::try_new(BufWriter::new(file), schema, Some(properties))?))
    }

    /// Appends the rows of `order` out of `batches`.
    pub(super) fn write(&mut self, batches: &[&RecordBatch], order: &[Stretch]) -> Result<(), ParquetError> {
        let Some(mut gather) = Gather::of(batches) else { return Ok(()) };
        let (mut gathered, mut room) = (Vec::new(), GATHERED_ROWS);
        for stretch in order {
            let mut left = *stretch;
            while left.rows >= room {
                let (fitting, others) = left.split(room);
                gathered.push(fitting);
                self.append(&gather.take(&gathered)?)?;
                gathered.clear();
                (left, room) = (others, GATHERED_ROWS);
            }
            if left.rows > 0 {
                room -= left.rows;
                gathered.push(left);
            }
        }
        if gathered.is_empty() { Ok(()) } else { self.append(&gather.take(&gathered)?) }
    }

    fn append(&mut self, rows: &RecordBatch) -> Result<(), ParquetError> {
        self.0.write(rows)?;
        if self.0.in_progress_size() >= GROUP_BYTES {
            self.0.flush()?;
        }
        Ok(())
    }

    /// The file, which is complete now, but not synced.
    pub(super) fn finish(mut self) -> Result<File, ParquetError> {
        // What is left then is the footer.
        self.0.flush()?;
        fail_point!("file_half");
        let buffered = self.0.into_inner()?;
        buffered.into_inner().map_err(|error| ParquetError::from(error.into_error()))
    }
}

/// How files of `dataset` are written, whose columns are those of `schema`.
///
/// # Errors
/// Never with a level of compression that ZSTD knows.
pub fn properties(dataset: Dataset, schema: &Schema) -> Result<WriterProperties, ParquetError> {
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
        } else if field.name() == "anomaly_score" {
            // Hardly two are equal: a dictionary costs four times as much, until it is given up, and saves nothing.
            builder = builder.set_column_dictionary_enabled(ColumnPath::from("anomaly_score"), false);
        }
    }
    Ok(builder.build())
}
