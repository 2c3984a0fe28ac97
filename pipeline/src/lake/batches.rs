//! How many rows of a Parquet file are decoded at once, so that memory stays bounded however large a row is.

use std::iter::zip;

use arrow_schema::{DataType, Schema};
use parquet::{
    arrow::arrow_reader::ArrowReaderOptions,
    basic::Type,
    file::metadata::{ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData},
};

/// A page of a column, unless one value takes more.
const PAGE_BYTES: u64 = 1 << 20;
/// What is decoded at once of texts and bytes that no dictionary holds, unless one row takes more.
const WIDE_BYTES: u64 = 4 << 20;
const ROWS_MAX: u64 = 4096;

/// How a file is read in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Batches {
    /// How many rows are decoded at once; at least one.
    pub(crate) rows: usize,
    /// What pages and decoded rows take then: those that are used, and those that are decoded next.
    pub(crate) memory_bytes: u64,
}

impl Batches {
    /// With these the end of a file also says how large rows are page by page: where rows are sorted, the large ones may
    /// all follow each other.
    pub(crate) fn options() -> ArrowReaderOptions {
        ArrowReaderOptions::new().with_offset_index_policy(PageIndexPolicy::Optional)
    }

    /// Those of a file whose rows are decoded as `schema` says.
    pub(crate) fn of(parquet: &ParquetMetaData, schema: &Schema) -> Self {
        let mut batches = Self { rows: to_usize(ROWS_MAX), memory_bytes: 0 };
        let groups: Vec<_> =
            (0..parquet.num_row_groups()).map(|group| Group::of(parquet, group, schema)).collect();
        let row_bytes = groups.iter().map(|group| group.row_bytes).max().unwrap_or_default();
        let rows = WIDE_BYTES.checked_div(row_bytes).unwrap_or(ROWS_MAX).clamp(1, ROWS_MAX);
        batches.rows = to_usize(rows);
        for Group { pages, plain, row_bytes, page_bytes } in groups {
            let decoded = (rows * row_bytes).max(page_bytes);
            batches.memory_bytes = batches.memory_bytes.max(pages + plain.min(2 * decoded));
        }
        batches
    }
}

/// What reading a group of rows takes.
struct Group {
    /// A page of each column.
    pages: u64,
    /// Its texts and bytes that no dictionary holds.
    plain: u64,
    /// What a row has of these, on the average of the page where it has the most.
    row_bytes: u64,
    /// What a page has of these: the rows of one batch may all be among the large ones of it.
    page_bytes: u64,
}

impl Group {
    fn of(parquet: &ParquetMetaData, index: usize, schema: &Schema) -> Self {
        let mut group = Self { pages: 0, plain: 0, row_bytes: 0, page_bytes: 0 };
        let (metadata, page_index) = (parquet.row_group(index), parquet.page_index_for_row_group(index));
        let rows = size(metadata.num_rows());
        for (number, column) in metadata.columns().iter().enumerate() {
            let encoded = size(column.uncompressed_size());
            if !is_plain(column, schema) {
                group.pages += encoded.min(PAGE_BYTES);
                continue;
            }
            let plain = column.unencoded_byte_array_data_bytes().map_or(encoded, size);
            let mut row_bytes = plain.div_ceil(rows.max(1));
            let mut page_bytes = row_bytes;
            if let Some(pages) = page_index.offset_index(number) {
                let firsts = pages.page_locations().iter().map(|page| size(page.first_row_index));
                let ends = firsts.clone().skip(1).chain([rows]);
                let sizes = pages.unencoded_byte_array_data_bytes().into_iter().flatten();
                for ((first, end), bytes) in zip(zip(firsts, ends), sizes) {
                    let (bytes, rows) = (size(*bytes), end.saturating_sub(first).max(1));
                    row_bytes = row_bytes.max(bytes.div_ceil(rows));
                    page_bytes = page_bytes.max(bytes);
                }
            }
            group.pages += encoded.min(PAGE_BYTES.max(page_bytes));
            group.plain += plain;
            group.row_bytes += row_bytes;
            group.page_bytes += page_bytes;
        }
        group
    }
}

/// Whether a column has texts or bytes, each decoded on its own.
fn is_plain(column: &ColumnChunkMetaData, schema: &Schema) -> bool {
    let root = column.column_path().parts().first();
    let field = root.and_then(|name| schema.field_with_name(name).ok());
    column.column_type() == Type::BYTE_ARRAY
        && !field.is_some_and(|field| matches!(field.data_type(), DataType::Dictionary(..)))
}

/// A size as Parquet has it, which is signed and never negative.
fn size(size: i64) -> u64 {
    u64::try_from(size).unwrap_or_default()
}

fn to_usize(rows: u64) -> usize {
    usize::try_from(rows).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use ::parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};
    use arrow_array::{Array, cast::AsArray, types::GenericBinaryType};
    use stages::{
        frame::{FrameId, Header, Kind, Lane, QuarantineBuilder, Refusal},
        store::{Dataset, Stretch},
    };

    use super::*;
    use crate::lake::parquet;

    const MIB: usize = 1 << 20;

    /// Like no other.
    fn payload(message: u64, size: usize) -> Vec<u8> {
        message.to_le_bytes().into_iter().cycle().take(size).collect()
    }

    /// How a file is read that store has written of messages with payloads of these sizes, and what the payloads of each
    /// batch take then.
    fn read(sizes: &[usize]) -> (Batches, Vec<usize>) {
        let mut builder = QuarantineBuilder::default();
        for (message, size) in (0..).zip(sizes) {
            builder.append(&Refusal {
                message,
                topic: "devices/a",
                payload: &payload(message, *size),
                received_at: 0,
                client_id: "",
                properties: &[],
                stage: "validate",
                reason: "schema",
                schema: None,
                errors: &[],
                schema_version: None,
                replays: 0,
            });
        }
        let header = Header {
            id: FrameId([0; 16]),
            kind: Kind::Quarantine,
            lane: Lane(0),
            created_at: 0,
            epoch: 0,
            trace: None,
        };
        let rows = builder.finish(header).unwrap().rows;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.parquet");
        let all = Stretch { batch: 0, first: 0, rows: rows.num_rows().try_into().unwrap() };
        parquet::write(File::create(&path).unwrap(), Dataset::Quarantine, &[rows], &[all]).unwrap();

        let file = File::open(&path).unwrap();
        let metadata = ArrowReaderMetadata::load(&file, Batches::options()).unwrap();
        let batches = Batches::of(metadata.metadata(), metadata.schema());
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata);
        let reader = reader.with_batch_size(batches.rows).build().unwrap();
        let payloads = reader.map(|rows| {
            let rows = rows.unwrap();
            let payloads = rows.column_by_name("payload").unwrap().as_bytes::<GenericBinaryType<i32>>();
            (0..payloads.len()).map(|row| payloads.value(row).len()).sum()
        });
        (batches, payloads.collect())
    }

    #[test]
    fn small_rows_are_decoded_many_at_once() {
        let (batches, payloads) = read(&[100; 6_000]);
        assert_eq!((batches.rows, payloads.len()), (4096, 2));
        assert!(batches.memory_bytes < 4 * MIB as u64, "{batches:?}");
    }

    #[test]
    fn few_large_rows_are_decoded_at_once() {
        let scattered = (0..640).map(|row| if row % 40 == 0 { 2 * MIB } else { 100 }).collect();
        for sizes in [scattered, vec![2 * MIB; 16]] {
            let (batches, payloads) = read(&sizes);
            let most = *payloads.iter().max().unwrap();
            assert_eq!(payloads.iter().sum::<usize>(), sizes.iter().sum::<usize>());
            assert!(most <= 5 * MIB, "{most} bytes at once: {batches:?}");
            assert!(batches.memory_bytes < 16 * MIB as u64, "{batches:?}");
        }
    }

    #[test]
    fn where_large_rows_follow_each_other_what_they_take_is_known() {
        let mut sizes = vec![100; 6_000];
        sizes[3_000..3_016].fill(2 * MIB);
        let (batches, payloads) = read(&sizes);
        let most = *payloads.iter().max().unwrap();
        assert!(batches.rows < 200 && most as u64 <= batches.memory_bytes, "{most} at once: {batches:?}");
    }

    #[test]
    fn a_row_that_is_larger_than_a_batch_is_decoded_alone() {
        let (batches, payloads) = read(&[9 * MIB; 4]);
        assert_eq!((batches.rows, payloads), (1, vec![9 * MIB; 4]));
        assert!((18..32).contains(&(batches.memory_bytes / MIB as u64)), "{batches:?}");
    }
}
