//! The codec of frames, and joining them.

use divan::{Bencher, counter::ItemsCount};
use stages::frame::{Frame, decode, encode};

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
