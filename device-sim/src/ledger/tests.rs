use std::{fs, path::Path, time::Instant};

use super::{Book, Line, Reader, push};
use crate::client::session::Settled;

fn lines(path: &Path) -> Vec<String> {
    let mut reader = Reader::open(path).unwrap();
    let mut lines = Vec::new();
    while let Some(line) = reader.next().unwrap() {
        lines.push(format!("{line:?}"));
    }
    lines
}

async fn write(path: &Path) {
    let book = Book::open(path, "sim-1").unwrap();
    let mut recorder = book.recorder(2);
    let sent_at = Instant::now();
    for n in 1..=4 {
        recorder.published(n, "devices/d/telemetry", "{\"a\": \"ü\n\"}", &["late".to_owned()]);
    }
    for (n, refused) in [(1, None), (2, None), (4, None), (3, Some(151))] {
        recorder.settled(&Settled { n, sent_at, refused });
    }
    recorder.resent(2);
    recorder.flush().await.unwrap();
    drop(recorder);
    book.close().await.unwrap();
}

#[tokio::test]
async fn what_is_written_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger");
    write(&path).await;
    let read = lines(&path);
    assert_eq!(read.len(), 8, "{read:#?}");
    let published = Line::Published {
        conn: 2,
        n: 4,
        topic: "devices/d/telemetry".into(),
        payload: "{\"a\": \"ü\n\"}".into(),
    };
    assert_eq!(read[0], format!("{:?}", Line::Run));
    assert_eq!(read[4], format!("{published:?}"));
    assert_eq!(read[5], format!("{:?}", Line::Refused { conn: 2, numbers: vec![3] }));
    assert_eq!(read[6], format!("{:?}", Line::Resent { conn: 2, ranges: vec![(2, 2)] }));
    assert_eq!(read[7], format!("{:?}", Line::Acked { conn: 2, ranges: vec![(1, 2), (4, 4)] }));
}

#[tokio::test]
async fn half_a_line_is_not_read_and_the_next_run_removes_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger");
    write(&path).await;
    let whole = lines(&path);
    let mut torn = fs::read(&path).unwrap();
    torn.extend_from_slice(br#"{"conn":2,"n":5,"topic":"devices/d/telemetry","payload":"{}"#);
    fs::write(&path, torn).unwrap();
    assert_eq!(lines(&path), whole);
    write(&path).await;
    assert_eq!(lines(&path), [whole.clone(), whole].concat());
}

#[test]
fn a_line_that_is_none_is_named() {
    for (line, part) in [
        ("{\"conn\":0}", "names no publish"),
        ("nonsense", "not a ledger line"),
        ("{\"ledger\":2,\"client\":\"x\"}", "ledger format 2"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger");
        fs::write(&path, format!("{{\"ledger\":1,\"client\":\"x\"}}\n{line}\n")).unwrap();
        let mut reader = Reader::open(&path).unwrap();
        reader.next().unwrap();
        let error = reader.next().unwrap_err().to_string();
        assert!(error.contains("ledger:2: ") && error.contains(part), "{error}");
    }
}

#[test]
fn neighbours_share_a_range() {
    let mut ranges = Vec::new();
    for n in [1, 2, 3, 7, 8, 5] {
        push(&mut ranges, n);
    }
    assert_eq!(ranges, [(1, 3), (7, 8), (5, 5)]);
}
