use arrow_array::BooleanArray;
use arrow_select::filter::filter_record_batch;
use stages::frame::{
    FrameId, Header, Kind, Lane, Message, MessagesBuilder, Reading, ReadingsBuilder, Scores, decode,
};

use super::*;

fn header(kind: Kind) -> Header {
    let trace = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned());
    Header { id: FrameId::ingested(1, 2), kind, lane: Lane(3), created_at: 4, epoch: 1, trace }
}

fn messages(rows: u64) -> Frame {
    let mut builder = MessagesBuilder::default();
    for message in 0..rows {
        builder.append(&Message {
            message,
            topic: if message % 2 == 0 { "even" } else { "odd" },
            payload: &message.to_le_bytes(),
            received_at: 5,
            client_id: "a",
            properties: &[("key".to_owned(), "value".to_owned())],
            replays: 0,
        });
    }
    builder.finish(header(Kind::Messages)).unwrap()
}

fn readings(rows: u64) -> Frame {
    let mut builder = ReadingsBuilder::new(&["site".to_owned()]);
    for row in 0..rows {
        let value = [Some(f64::NAN), None, Some(-0.0), Some(0.1 + 0.2)][row as usize % 4];
        builder.append(&Reading {
            device_id: "a",
            metric: "temperature",
            value,
            text: value.is_none().then_some("18446744073709551616"),
            seq: (row % 2 == 0).then_some(row),
            tags: &[Some("north")],
            ..Reading::default()
        });
    }
    builder.finish(header(Kind::Readings)).unwrap()
}

fn scored(rows: u64) -> Frame {
    let Frame { header, rows: plain } = readings(rows);
    let rows = rows as usize;
    let scores =
        Scores { late: vec![true; rows], anomaly_score: vec![0.5; rows], anomaly: vec![false; rows] };
    scores.add_to(&plain, header).unwrap()
}

/// What `stages` pins the bytes of the format with.
fn golden() -> [Frame; 3] {
    [
        &include_bytes!("../../../../stages/src/frame/golden/aggregates.arrow")[..],
        include_bytes!("../../../../stages/src/frame/golden/alerts.arrow"),
        include_bytes!("../../../../stages/src/frame/golden/quarantine.arrow"),
    ]
    .map(|bytes| decode(bytes).unwrap())
}

/// Every `n`-th row, as a stage leaves out the others: the dictionaries keep their strings.
fn some(frame: &Frame, n: usize) -> Frame {
    let picked: BooleanArray = (0..frame.rows.num_rows()).map(|row| Some(row % n == 1)).collect();
    Frame { header: frame.header.clone(), rows: filter_record_batch(&frame.rows, &picked).unwrap() }
}

#[test]
fn a_frame_that_is_kept_is_what_its_bytes_decode_to() {
    let tick = Frame::tick(Lane(2), 7);
    let few = [messages(3), readings(5), scored(5), tick].into_iter().chain(golden());
    let many = [messages(5_000), readings(5_000), scored(5_000)];
    let picked = [some(&messages(100), 2), some(&scored(100), 7)];
    for frame in few.chain(many).chain(picked) {
        let body = Body::of(&frame).unwrap();
        let (kind, rows) = (frame.header.kind, frame.rows.num_rows());
        assert!(body.decoded_bytes().is_some(), "{rows} {kind} are kept");
        let read = Body::from(body.bytes.clone());
        assert!(read.decoded_bytes().is_none(), "bytes alone keep nothing");
        assert_eq!(read.frame().unwrap(), body.frame().unwrap(), "{rows} {kind}");
        assert_eq!(read, body);
        // A frame that goes on to the next stage as it was read is kept, too.
        assert!(Body::of(&read.frame().unwrap()).unwrap().decoded_bytes().is_some(), "{rows} {kind}");
    }
}

#[test]
fn a_piece_of_a_large_frame_does_not_hold_it_in_memory() {
    let frame = scored(50_000);
    let piece = Frame { header: frame.header.clone(), rows: frame.rows.slice(100, 10) };
    let body = Body::of(&piece).unwrap();
    assert_eq!(body.decoded_bytes(), None);
    assert_eq!(body.frame().unwrap(), piece, "it is decoded");
}

#[test]
fn what_a_schema_says_beside_its_columns_is_not_kept() {
    let Frame { header, rows } = readings(3);
    let said = arrow_schema::Metadata::from([("by", "somebody".to_owned())]);
    let schema = rows.schema().as_ref().clone().with_metadata(said);
    let frame = Frame { header, rows: rows.clone().with_schema(Arc::new(schema)).unwrap() };
    let body = Body::of(&frame).unwrap();
    assert_eq!(body.decoded_bytes(), None);
    assert_eq!(body.frame().unwrap().rows, rows);
}

#[test]
fn what_is_made_from_frames_has_their_bytes_and_its_own_rows() {
    let inputs = [scored(5_000), scored(4_000)].map(|frame| Body::of(&frame).unwrap());
    let frames = inputs.each_ref().map(|body| body.frame().unwrap());
    let joined = Frame::coalesce(&frames).unwrap();
    let sources: Vec<_> = inputs.iter().filter_map(Body::source).collect();
    let body = Body::made_from(&joined, &sources).unwrap();
    assert_ne!(body, Body::of(&joined).unwrap(), "compressed in the pieces of the inputs");
    let read = Body::from(body.bytes.clone());
    assert_eq!(read.frame().unwrap(), joined);
    assert!(read.source().is_none(), "bytes alone say nothing of what is in them");
    // Of the same rows all is there.
    let same = Body::made_from(&joined, &[body.source().unwrap()]).unwrap();
    assert_eq!(same, body);
}
