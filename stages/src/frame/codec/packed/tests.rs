use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, DictionaryArray, Int64Array, RecordBatch, StringArray,
    types::Int32Type,
};
use arrow_ipc::reader::StreamReader;
use arrow_select::{concat::concat_batches, filter::filter_record_batch};
use proptest::{collection::vec, option, prelude::*};

use super::*;
use crate::frame::{Frame, Kind, Lane, decode, encode, encode_from};

type Row = (i64, Option<i64>, Option<String>, Vec<u8>, Option<bool>);

fn frame(rows: RecordBatch) -> Frame {
    Frame { rows, ..Frame::tick(Lane(1), 2) }
}

fn batch(rows: &[Row]) -> RecordBatch {
    let repeated: DictionaryArray<Int32Type> = rows.iter().map(|row| row.2.as_deref()).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("number", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0)))),
        ("perhaps", Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>())),
        ("text", Arc::new(rows.iter().map(|row| row.2.as_deref()).collect::<StringArray>())),
        ("repeated", Arc::new(repeated)),
        ("bytes", Arc::new(BinaryArray::from_iter_values(rows.iter().map(|row| &row.3)))),
        ("flag", Arc::new(rows.iter().map(|row| row.4).collect::<BooleanArray>())),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
        .unwrap()
}

/// Rows that compress well.
fn even(count: i64) -> RecordBatch {
    let row = |number| (number / 3, Some(number), Some(format!("text {}", number % 7)), vec![7; 50], None);
    batch(&(0..count).map(row).collect::<Vec<_>>())
}

/// The frame of `rows` as it is encoded after those of `inputs`.
#[track_caller]
fn encoded(rows: &RecordBatch, inputs: &[Encoded]) -> Encoded {
    let frame = frame(rows.clone());
    let sources: Vec<_> = inputs.iter().map(|Encoded { bytes, packed }| Source { bytes, packed }).collect();
    let encoded = encode_from(&frame, &sources).unwrap();
    assert_eq!(decode(&encoded.bytes).unwrap(), frame);
    let by_arrow = StreamReader::try_new(encoded.bytes.as_slice(), None).unwrap().next().unwrap().unwrap();
    assert_eq!(by_arrow.columns(), rows.columns());
    encoded
}

/// How many blocks each buffer of a column has.
fn blocks(encoded: &Encoded, name: &str) -> Vec<usize> {
    let column = encoded.packed.schema.index_of(name).unwrap();
    encoded.packed.columns[column].iter().map(|piece| piece.count).collect()
}

#[test]
fn a_frame_of_the_same_rows_has_the_same_bytes() {
    for rows in [even(0), even(1), even(5_000), even(5_000).slice(13, 2_000)] {
        let first = encoded(&rows, &[]);
        let again = encoded(&rows, &[first]);
        assert_eq!(again.bytes, encode(&frame(rows.clone())).unwrap());
        assert_eq!(encoded(&rows, &[again]).bytes, encode(&frame(rows)).unwrap());
    }
}

#[test]
fn rows_joined_are_copied_block_by_block() {
    let parts = [even(5_000), even(3_000), even(4_000)];
    let inputs = parts.each_ref().map(|rows| encoded(rows, &[]));
    let rows = concat_batches(&parts[0].schema(), &parts).unwrap();
    let joined = encoded(&rows, &inputs);
    assert_eq!(blocks(&encoded(&rows, &[]), "number"), [0, 2], "96,000 bytes, and no nulls");
    assert_eq!(blocks(&joined, "number"), [0, 3]);
    // Offsets that rise evenly do not become smaller.
    assert_eq!(blocks(&joined, "bytes"), [0, 0, 4 + 3 + 4]);
    // Another column beside them, and one that has the name of one before, but other values.
    let other: ArrayRef = Arc::new(Int64Array::from_iter_values((0..12_000).map(|row| row * row)));
    let mut columns = vec![("more".to_owned(), Arc::clone(&other))];
    for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
        columns.push((field.name().clone(), if field.name() == "perhaps" { &other } else { column }.clone()));
    }
    let more = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, column)| (name, column, true)),
    );
    let more = encoded(&more.unwrap(), &[joined]);
    assert_eq!((blocks(&more, "number"), blocks(&more, "perhaps")), (vec![0, 3], vec![0, 2]));
}

#[test]
fn nothing_of_what_is_not_kept_gets_between_the_others() {
    // Mostly empty, but for what stands before the slice: its offsets do not begin at 0, and compress.
    let row = |number: i64| {
        let text = if number < 10 || number % 1_000 == 7 { "text" } else { "" };
        (number, (number % 3 == 0).then_some(number), Some(text.to_owned()), vec![], Some(number % 5 == 0))
    };
    let all = batch(&(0..5_000).map(row).collect::<Vec<_>>());
    let (slice, whole) = (all.slice(13, 3_000), all.slice(0, 4_000));
    let inputs = || [encoded(&slice, &[]), encoded(&whole, &[])];
    for (one, other) in [(0, 1), (1, 0)] {
        let [first, second] = inputs();
        let sources = if one < other { [first, second] } else { [second, first] };
        encoded(&slice, &sources);
        encoded(&whole, &sources);
    }
}

#[test]
fn small_pieces_are_compressed_together() {
    let parts = [(); 10].map(|()| even(100));
    let inputs = parts.each_ref().map(|rows| encoded(rows, &[]));
    let rows = concat_batches(&parts[0].schema(), &parts).unwrap();
    assert_eq!(blocks(&encoded(&rows, &inputs), "number"), [0, 1]);
}

#[test]
fn values_of_the_same_length_are_not_taken_for_the_same() {
    let first = encoded(&even(3_000), &[]);
    let mut rows: Vec<Row> = (0..3_000).map(|row| (row, None, None, vec![7; 50], None)).collect();
    rows[2_999].3[49] = 8;
    encoded(&batch(&rows), &[first]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn what_is_made_from_frames_is_what_it_is(
        parts in vec(vec(
            (0..9_i64, option::of(any::<i64>()), option::of("[a-c]{1,9}"), vec(0..4_u8, 0..40), option::of(any::<bool>())),
            0..300,
        ), 1..5),
        kept in vec(any::<bool>(), 1..9),
        (first, length) in (0..40_usize, 0..900_usize),
    ) {
        let parts: Vec<_> = parts.iter().map(|rows| batch(rows)).collect();
        let inputs: Vec<_> = parts.iter().map(|rows| encoded(rows, &[])).collect();
        let rows = concat_batches(&parts[0].schema(), &parts).unwrap();
        let count = rows.num_rows();
        let kept: BooleanArray = kept.iter().cycle().take(count).map(|kept| Some(*kept)).collect();
        let (first, length) = (first.min(count), length.min(count - first.min(count)));
        encoded(&filter_record_batch(&rows, &kept).unwrap(), &inputs);
        let cut = encoded(&rows.slice(first, length), &inputs);
        encoded(&rows.slice(first, length), &[cut]);
        let joined = encoded(&rows, &inputs);
        encoded(&rows, &[joined]);
    }
}

#[test]
fn the_kind_of_a_frame_changes_nothing() {
    let rows = even(100);
    let first = encoded(&rows, &[]);
    let source = Source { bytes: &first.bytes, packed: &first.packed };
    let mut other = frame(rows);
    other.header.kind = Kind::Alerts;
    assert_eq!(encode_from(&other, &[source]).unwrap().bytes, encode(&other).unwrap());
}
