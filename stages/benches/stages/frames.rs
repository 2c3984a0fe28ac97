//! The codec of frames, and joining them.

use arrow_array::RecordBatch;
use divan::{Bencher, counter::ItemsCount};
use stages::frame::{Encoded, Frame, Source, decode, encode, encode_from};

use crate::fixture::{self, SIZES};

#[divan::bench(args = SIZES)]
fn encode_messages(bencher: Bencher<'_, '_>, count: u64) {
    encoding(bencher, count, &fixture::validated(0, count));
}

#[divan::bench(args = SIZES)]
fn decode_messages(bencher: Bencher<'_, '_>, count: u64) {
    decoding(bencher, count, &fixture::validated(0, count));
}

#[divan::bench(args = SIZES)]
fn encode_readings(bencher: Bencher<'_, '_>, count: u64) {
    encoding(bencher, count, &fixture::scored(0, count));
}

#[divan::bench(args = SIZES)]
fn decode_readings(bencher: Bencher<'_, '_>, count: u64) {
    decoding(bencher, count, &fixture::scored(0, count));
}

/// Readings with their scores, made from one frame of readings.
#[divan::bench(args = SIZES)]
fn encode_readings_of_one(bencher: Bencher<'_, '_>, count: u64) {
    let first = fixture::readings(0, count);
    let rows = first.rows.num_columns();
    let mut scored = fixture::scored(0, count);
    let mut columns = scored.rows.columns().to_vec();
    columns.splice(..rows, first.rows.columns().iter().cloned());
    scored.rows = RecordBatch::try_new(scored.rows.schema(), columns).unwrap();
    encoding_from(bencher, count, &scored, &[first]);
}

/// What validate sends on of ten frames.
#[divan::bench(args = SIZES)]
fn encode_messages_of_ten(bencher: Bencher<'_, '_>, count: u64) {
    let frames: Vec<_> = (0..10).map(|part| fixture::validated(part * count / 10, count / 10)).collect();
    encoding_from(bencher, count, &Frame::coalesce(&frames).unwrap(), &frames);
}

/// What alert sends on of ten frames.
#[divan::bench(args = SIZES)]
fn encode_readings_of_ten(bencher: Bencher<'_, '_>, count: u64) {
    let frames: Vec<_> = (0..10).map(|part| fixture::scored(part * count / 10, count / 10)).collect();
    encoding_from(bencher, count, &Frame::coalesce(&frames).unwrap(), &frames);
}

/// Ten frames into one.
#[divan::bench(args = SIZES)]
fn join_messages(bencher: Bencher<'_, '_>, count: u64) {
    joining(bencher, count, fixture::validated);
}

/// Ten frames into one.
#[divan::bench(args = SIZES)]
fn join_readings(bencher: Bencher<'_, '_>, count: u64) {
    joining(bencher, count, fixture::scored);
}

fn encoding(bencher: Bencher<'_, '_>, count: u64, frame: &Frame) {
    bencher.counter(ItemsCount::new(count)).bench_local(|| encode(frame).unwrap());
}

fn encoding_from(bencher: Bencher<'_, '_>, count: u64, frame: &Frame, inputs: &[Frame]) {
    let inputs: Vec<_> = inputs.iter().map(|frame| encode_from(frame, &[]).unwrap()).collect();
    let inputs: Vec<_> = inputs.iter().map(|Encoded { bytes, packed }| Source { bytes, packed }).collect();
    bencher.counter(ItemsCount::new(count)).bench_local(|| encode_from(frame, &inputs).unwrap());
}

fn decoding(bencher: Bencher<'_, '_>, count: u64, frame: &Frame) {
    let bytes = encode(frame).unwrap();
    bencher.counter(ItemsCount::new(count)).bench_local(|| decode(&bytes).unwrap());
}

fn joining(bencher: Bencher<'_, '_>, count: u64, frame: impl Fn(u64, u64) -> Frame) {
    let piece = count / 10;
    let bytes: Vec<_> = (0..10).map(|part| encode(&frame(part * piece, piece)).unwrap()).collect();
    let frames: Vec<_> = bytes.iter().map(|bytes| decode(bytes).unwrap()).collect();
    bencher.counter(ItemsCount::new(count)).bench_local(|| Frame::coalesce(&frames).unwrap());
}
