use std::io::Write;

use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, DictionaryArray, Int64Array, LargeStringArray, ListArray,
    StringArray, StructArray,
    builder::{Int32Builder, ListBuilder, MapBuilder, StringBuilder, StringDictionaryBuilder},
    types::Int32Type,
};
use arrow_ipc::{
    CompressionType, MetadataVersion,
    reader::StreamReader,
    root_as_message,
    writer::{IpcWriteOptions, StreamWriter},
};
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use proptest::{collection::vec, option, prelude::*};

use super::*;

/// Bytes that nothing compresses.
fn noise(length: usize) -> Vec<u8> {
    (0_u64..).flat_map(|number| xxh3_64(&number.to_le_bytes()).to_le_bytes()).take(length).collect()
}

/// Half of them noise, half of them repeats.
fn mixed(length: usize) -> Vec<u8> {
    noise(length)
        .chunks(1_000)
        .enumerate()
        .flat_map(|(n, c)| if n % 2 == 0 { c.to_vec() } else { vec![7; c.len()] })
        .collect()
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
        .unwrap()
}

/// What Arrow's writer makes of `rows`.
fn written(rows: &RecordBatch, alignment: usize, compression: Option<CompressionType>) -> Vec<u8> {
    let options = IpcWriteOptions::try_new(alignment, false, MetadataVersion::V5).unwrap();
    let options = options.try_with_compression(compression).unwrap();
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), &rows.schema(), options).unwrap();
    writer.write(rows).unwrap();
    writer.into_inner().unwrap()
}

fn read_rows(stream: &[u8]) -> Result<RecordBatch, FrameError> {
    let mut stream = reader::Stream::new(stream);
    let schema = stream.schema()?;
    stream.rows(&Arc::new(schema))
}

/// Arrow's reader and this one read what the writer was given, and parts of it.
#[track_caller]
fn check_is_written(rows: &RecordBatch) {
    let count = rows.num_rows();
    for (first, length) in [(0, count), (0, count / 2), (count / 3, count - count / 3), (count, 0)] {
        let rows = rows.slice(first, length);
        let stream = writer::write(&rows.schema(), &rows, &[]).unwrap().bytes;
        let by_arrow = StreamReader::try_new(stream.as_slice(), None).unwrap().next().unwrap().unwrap();
        assert_eq!(by_arrow, rows);
        by_arrow.columns().iter().for_each(|column| column.to_data().validate_full().unwrap());
        assert_eq!(read_rows(&stream).unwrap(), rows);
        assert_eq!(writer::write(&rows.schema(), &rows, &[]).unwrap().bytes, stream, "always the same bytes");
    }
}

/// Arrow's reader and this one read the same from what Arrow's writer writes, and from what this one does.
#[track_caller]
fn check_reads_as_arrow_does(rows: &RecordBatch) {
    check_is_written(rows);
    for compression in [None, Some(CompressionType::LZ4_FRAME)] {
        for alignment in [8, 64] {
            let stream = written(rows, alignment, compression);
            let by_arrow = StreamReader::try_new(stream.as_slice(), None).unwrap().next().unwrap().unwrap();
            assert_eq!(&by_arrow, rows);
            assert_eq!(read_rows(&stream).unwrap(), by_arrow);
        }
    }
}

#[test]
fn large_buffers_are_of_many_blocks() {
    for length in [0, 1, 60, 65_536, 65_537, 300_000, 9_000_000] {
        for bytes in [noise(length), vec![0; length], mixed(length)] {
            check_reads_as_arrow_does(&batch(vec![
                ("number", Arc::new(Int64Array::from(vec![1])) as ArrayRef),
                ("bytes", Arc::new(BinaryArray::from(vec![bytes.as_slice()]))),
            ]));
        }
    }
}

#[test]
fn a_stream_may_have_no_columns_rows_or_mark_of_its_end() {
    let none = RecordBatch::new_empty(Arc::new(Schema::empty()));
    check_reads_as_arrow_does(&none);
    let rows = batch(vec![("number", Arc::new(Int64Array::from(Vec::<i64>::new())) as ArrayRef)]);
    check_reads_as_arrow_does(&rows);
    let stream = written(&rows, 8, None);
    let endless = stream.strip_suffix(&END_OF_STREAM).unwrap();
    assert_eq!(read_rows(endless).unwrap(), rows);
    assert!(read_rows(&[endless, &stream].concat()).is_err(), "a second schema");
}

#[test]
fn columns_within_columns_are_written() {
    let mut lists = ListBuilder::new(StringDictionaryBuilder::<Int32Type>::new());
    let mut maps = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    for row in 0..500 {
        for entry in 0..row % 5 {
            lists.values().append_value(if entry % 2 == 0 { "even" } else { "odd" });
            maps.keys().append_value(format!("key {entry}"));
            maps.values().append_option((entry != 3).then_some(row));
        }
        lists.append(row % 7 != 0);
        maps.append(row % 9 != 0).unwrap();
    }
    let (lists, maps): (ListArray, _) = (lists.finish(), maps.finish());
    let both = StructArray::try_from(vec![
        ("lists", Arc::new(lists.clone()) as ArrayRef),
        ("maps", Arc::new(maps.clone()) as ArrayRef),
    ]);
    check_reads_as_arrow_does(&batch(vec![
        ("lists", Arc::new(lists) as ArrayRef),
        ("maps", Arc::new(maps) as _),
        ("both", Arc::new(both.unwrap()) as _),
    ]));
}

#[test]
fn columns_that_no_kind_has_are_written_too() {
    let words: LargeStringArray = (0..100).map(|row| (row % 3 != 0).then(|| format!("word {row}"))).collect();
    check_reads_as_arrow_does(&batch(vec![("words", Arc::new(words) as ArrayRef)]));
}

#[test]
fn only_one_batch_is_a_frame() {
    let rows = batch(vec![("number", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef)]);
    let mut writer = StreamWriter::try_new(Vec::new(), &rows.schema()).unwrap();
    writer.write(&rows).unwrap();
    writer.write(&rows).unwrap();
    assert!(matches!(read_rows(&writer.into_inner().unwrap()), Err(FrameError::Batches)));
    let empty = StreamWriter::try_new(Vec::new(), &rows.schema()).unwrap().into_inner().unwrap();
    assert!(matches!(read_rows(&empty), Err(FrameError::Batches)));
}

/// Where the body of a stream's last message begins.
fn body_of_last(stream: &[u8]) -> usize {
    let (mut at, mut last) = (0, 0);
    while stream[at + 4..at + 8] != [0; 4] {
        let length = u32::from_le_bytes(stream[at + 4..at + 8].try_into().unwrap()) as usize;
        last = at + 8 + length;
        at = last + root_as_message(&stream[at + 8..last]).unwrap().bodyLength() as usize;
    }
    last
}

#[test]
fn what_a_buffer_says_of_its_length_is_not_believed() {
    let rows = batch(vec![("number", Arc::new(Int64Array::from(vec![Some(5); 1_000])) as ArrayRef)]);
    let stream = written(&rows, 8, Some(CompressionType::LZ4_FRAME));
    // The first buffer may be of nulls, and empty.
    let prefix = body_of_last(&stream)
        + stream[body_of_last(&stream)..]
            .windows(8)
            .position(|bytes| bytes == 8_000_i64.to_le_bytes())
            .unwrap();
    for length in [1, 7_999, 8_001, i64::MAX, i64::MIN, -2, 1 << 40, 1 << 62] {
        let mut damaged = stream.clone();
        damaged[prefix..prefix + 8].copy_from_slice(&i64::to_le_bytes(length));
        assert!(matches!(read_rows(&damaged), Err(FrameError::Damaged)), "{length} bytes");
    }
}

fn compressed(bytes: &[u8], info: FrameInfo) -> Vec<u8> {
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn decompressed(packed: &[u8], length: usize) -> Result<Vec<u8>, FrameError> {
    let mut out = vec![0; length];
    lz4::decompress(packed, &mut out).map(|()| out)
}

#[test]
fn every_kind_of_lz4_frame_is_read() {
    let bytes = mixed(200_000);
    for size in [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB, BlockSize::Max4MB] {
        for mode in [BlockMode::Independent, BlockMode::Linked] {
            let info = FrameInfo::new().block_size(size).block_mode(mode);
            let checked =
                info.clone().block_checksums(true).content_checksum(true).content_size(Some(200_000));
            for info in [info, checked] {
                let mut packed = compressed(&bytes, info);
                assert_eq!(decompressed(&packed, bytes.len()).unwrap(), bytes);
                for length in [0, 1, bytes.len() - 1, bytes.len() + 1] {
                    assert!(decompressed(&packed, length).is_err(), "read as {length} bytes");
                }
                // A writer may count padding in.
                packed.push(0);
                assert_eq!(decompressed(&packed, bytes.len()).unwrap(), bytes);
            }
        }
    }
}

#[test]
fn a_cut_lz4_frame_is_refused() {
    let bytes = mixed(3_000);
    let plain = compressed(&bytes, FrameInfo::new());
    let checked = compressed(&bytes, FrameInfo::new().content_checksum(true));
    // Where a frame has a checksum, lz4_flex reads it, which does not miss the mark of the end.
    for (packed, lengths) in [(&plain, 0..plain.len()), (&checked, 0..checked.len() - 8)] {
        for length in lengths {
            assert!(decompressed(&packed[..length], bytes.len()).is_err(), "cut to {length} bytes");
        }
    }
}

#[test]
fn plain_lz4_frames_begin_as_the_fast_way_expects() {
    let sizes = [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB, BlockSize::Max4MB];
    for (size, expected) in sizes.into_iter().zip(lz4::SIZES) {
        let packed = compressed(b"some bytes", FrameInfo::new().block_size(size));
        assert_eq!(packed[..7], [lz4::PLAIN.as_slice(), &expected].concat());
    }
}

proptest! {
    #[test]
    fn repeats_of_any_period_and_length_are_read(
        pieces in vec((vec(any::<u8>(), 0..40), 1..40_usize, 0..300_usize), 0..12)
    ) {
        let mut bytes: Vec<u8> = Vec::new();
        for (literals, back, length) in pieces {
            bytes.extend(literals);
            let from = bytes.len().saturating_sub(back);
            let repeated: Vec<_> = bytes[from..].iter().copied().cycle().take(length).collect();
            bytes.extend(repeated);
        }
        let packed = compressed(&bytes, FrameInfo::new().block_size(BlockSize::Max64KB));
        prop_assert_eq!(decompressed(&packed, bytes.len()).unwrap(), bytes);
    }

    #[test]
    fn columns_of_any_type_are_read_as_arrow_reads_them(
        rows in vec(
            (any::<i64>(), option::of(any::<i64>()), option::of(".{0,9}"), option::of("[a-c]"), option::of(any::<bool>())),
            0..200,
        )
    ) {
        let repeated: DictionaryArray<Int32Type> = rows.iter().map(|row| row.3.as_deref()).collect();
        check_reads_as_arrow_does(&batch(vec![
            ("number", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0))) as ArrayRef),
            ("perhaps", Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>())),
            ("text", Arc::new(rows.iter().map(|row| row.2.as_deref()).collect::<StringArray>())),
            ("repeated", Arc::new(repeated) as _),
            ("flag", Arc::new(rows.iter().map(|row| row.4).collect::<BooleanArray>())),
        ]));
    }

    #[test]
    fn no_damage_to_a_stream_without_checksum_ends_the_process(
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)
    ) {
        let repeated: DictionaryArray<Int32Type> = ["a", "b", "a"].into_iter().cycle().take(100).collect();
        let rows = batch(vec![
            ("repeated", Arc::new(repeated) as ArrayRef),
            ("bytes", Arc::new(BinaryArray::from_iter_values((0..100).map(mixed)))),
        ]);
        let mut stream = written(&rows, 8, Some(CompressionType::LZ4_FRAME));
        let length = stream.len() - END_OF_STREAM.len();
        for (place, byte) in damage {
            stream[place.index(length)] = byte;
        }
        let _refused = decode(&stream);
        let _refused = panic::catch_unwind(|| read_rows(&stream));
    }

    #[test]
    fn no_bytes_make_lz4_panic(bytes in vec(any::<u8>(), 0..300), length in 0..10_000_usize) {
        let plain = [lz4::PLAIN.as_slice(), &lz4::SIZES[0], &(bytes.len() as u32).to_le_bytes(), &bytes, &[0; 4]];
        let _refused = decompressed(&plain.concat(), length);
        let _refused = decompressed(&[lz4::PLAIN.as_slice(), &lz4::SIZES[0], &bytes].concat(), length);
        let _refused = decompressed(&bytes, length);
    }
}
