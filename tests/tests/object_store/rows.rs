//! Numbered rows: published into the queue of store, and found in the files of the object store.

use std::{fs::File, path::Path};

use arrow_array::{Array, UInt64Array};
use millstream::{
    database::Database,
    queue::{EncodedFrame, Publish, QueueName, SqliteOptions, SqliteQueues},
};
use parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};
use stages::frame::{Frame, FrameId, Header, Kind, Lane, Micros, Reading, ReadingsBuilder};
use tests::{Site, lake};

const HOUR: Micros = 3_600_000_000;
/// Hours, and so files, that each frame has rows of.
pub(crate) const PARTITIONS: u64 = 3;
/// Rows of a frame.
pub(crate) const ROWS: u64 = 30;

/// Publishes the frames with these numbers for store.
pub(crate) fn publish(site: &Site, frames: std::ops::Range<u64>) {
    publish_all(site, frames.map(frame).collect());
}

pub(crate) fn publish_all(site: &Site, frames: Vec<Frame>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let database = Database::open(&site.data().join("millstream.db")).unwrap();
        let queues = SqliteQueues::open(database, SqliteOptions::default()).await.unwrap();
        let publish = frames
            .iter()
            .map(|frame| Publish { queue: QueueName::Store, frame: EncodedFrame::of(frame).unwrap() });
        for answer in queues.publish(publish.collect()).await {
            answer.unwrap();
        }
    });
}

pub(crate) fn header(number: u64, kind: Kind) -> Header {
    let id = FrameId(u128::from(number + 1).to_be_bytes());
    Header { id, kind, lane: Lane(0), created_at: 0, epoch: 1, trace: None }
}

fn frame(number: u64) -> Frame {
    let mut builder = ReadingsBuilder::new(&[]);
    for message in number * ROWS..(number + 1) * ROWS {
        builder.append(&Reading {
            device_id: &format!("device-{}", message % 7),
            metric: "level",
            ts: (message % PARTITIONS) as Micros * HOUR + message as Micros,
            value: Some(message as f64),
            seq: Some(message),
            message,
            ..Reading::default()
        });
    }
    builder.finish(header(number, Kind::Readings)).unwrap()
}

/// Asserts that exactly the rows of so many frames are in the lake, each once.
#[track_caller]
pub(crate) fn assert_once(lake: &Path, frames: u64) {
    let expected: Vec<_> = (0..frames * ROWS).collect();
    let found = numbers(&lake.join("readings"));
    assert!(found == expected, "{} rows instead of {}: {found:?}", found.len(), expected.len());
}

/// The numbers of all rows that readers see, in order.
pub(crate) fn numbers(dataset: &Path) -> Vec<u64> {
    let mut numbers = Vec::new();
    for path in lake::files(dataset) {
        numbers.extend(numbers_in(&path));
    }
    numbers.sort_unstable();
    numbers
}

/// Those of a file.
pub(crate) fn numbers_in(path: &Path) -> Vec<u64> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let mask = ProjectionMask::columns(builder.parquet_schema(), ["message"]);
    let mut numbers = Vec::new();
    for batch in builder.with_projection(mask).build().unwrap() {
        let batch = batch.unwrap();
        let column: &UInt64Array = batch.column(0).as_any().downcast_ref().unwrap();
        numbers.extend(column.values());
    }
    numbers
}
