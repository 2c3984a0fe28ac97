use std::{fs, path::Path, sync::Arc};

use arrow_array::{RecordBatch, UInt32Array};
use arrow_schema::{Field, Schema};
use parquet::{arrow::ArrowWriter, file::properties::WriterProperties};
use stages::{
    frame::{FrameId, Header, Kind, Lane, Micros, QuarantineBuilder, Refusal},
    topic::{Pattern, Topics},
};
use tempfile::TempDir;

use super::*;

const DAY: Micros = 86_400_000_000;

/// Refused messages with these numbers and times of receipt.
fn rows(messages: &[(u64, Micros)]) -> RecordBatch {
    rows_with(messages, b"{}")
}

pub(super) fn rows_with(messages: &[(u64, Micros)], payload: &[u8]) -> RecordBatch {
    let mut builder = QuarantineBuilder::default();
    for &(message, received_at) in messages {
        let device = message % 3;
        builder.append(&Refusal {
            message,
            topic: &format!("devices/d-{device}"),
            payload,
            received_at,
            client_id: "c",
            properties: &[("a".to_owned(), "b".to_owned())],
            stage: "validate",
            reason: "schema",
            schema: Some("s.json"),
            errors: &[],
            schema_version: Some("1"),
            replays: 1,
        });
    }
    let id = FrameId([0; 16]);
    let header = Header { id, kind: Kind::Quarantine, lane: Lane(0), created_at: 0, epoch: 0, trace: None };
    builder.finish(header).unwrap().rows
}

/// The same as a version of this program wrote them that did not know the newest columns.
fn old(rows: &RecordBatch) -> RecordBatch {
    let new = ["schema_version", "replays"];
    let columns =
        (0..rows.num_columns()).filter(|index| !new.contains(&rows.schema().field(*index).name().as_str()));
    rows.project(&columns.collect::<Vec<_>>()).unwrap()
}

/// The same as whoever merges files of both may write them: with null for what old rows lack.
fn merged(rows: &RecordBatch) -> RecordBatch {
    let (schema, mut columns) = (rows.schema(), rows.columns().to_vec());
    let fields = schema.fields().iter().enumerate().map(|(index, field)| -> Field {
        if field.name() != "replays" {
            return field.as_ref().clone();
        }
        columns[index] = Arc::new(UInt32Array::from(vec![None; rows.num_rows()]));
        field.as_ref().clone().with_nullable(true)
    });
    let schema = Schema::new(fields.collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

pub(super) fn write(path: &Path, rows: &RecordBatch, group_rows: usize) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(group_rows)).build();
    let file = fs::File::create_new(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, rows.schema(), Some(properties)).unwrap();
    writer.write(rows).unwrap();
    writer.close().unwrap();
}

fn lake() -> TempDir {
    let lake = tempfile::tempdir().unwrap();
    let at = |name: &str| lake.path().join(name);
    write(&at("date=1970-01-01/a.parquet"), &old(&rows(&[(1, 5), (2, 6), (3, 7), (4, 8)])), 2);
    write(&at("date=1970-01-01/b.parquet"), &rows(&[(5, 9)]), 2);
    write(&at("date=1970-01-02/c.parquet"), &merged(&rows(&[(6, DAY)])), 2);
    fs::write(at("date=1970-01-02/.d.parquet"), "half a file").unwrap();
    lake
}

/// Number, replays and version of what a filter picks.
async fn picked(lake: &TempDir, filter: Filter, take: Take) -> Vec<(u64, u32, Option<String>)> {
    let topics = Topics::new(vec![Pattern::parse("devices/{device}").unwrap()]);
    let mut reader =
        Reader::open(lake.path().to_owned(), topics, (filter, take), Replayed::new(None)).unwrap();
    let mut found = Vec::new();
    while let Some(picked) = reader.next().await.unwrap() {
        let rows = picked.rows().unwrap();
        for row in 0..rows.len() {
            let all = take == Take::All;
            assert_eq!(
                (rows.payload(row), rows.properties(row).len()),
                if all { (&b"{}"[..], 1) } else { (&b""[..], 0) }
            );
            let version = rows.schema_version(row).map(str::to_owned);
            found.push((rows.message(row), rows.replays(row), version));
        }
    }
    found
}

#[tokio::test]
async fn files_with_and_without_the_newest_columns_are_read() {
    let lake = lake();
    let one = || Some("1".to_owned());
    let expected = [(1, 0, None), (2, 0, None), (3, 0, None), (4, 0, None), (5, 1, one()), (6, 0, one())];
    for take in [Take::Marks, Take::All] {
        assert_eq!(picked(&lake, Filter::default(), take).await, expected);
    }
}

#[tokio::test]
async fn filters_pick_what_has_all_of_it() {
    let lake = lake();
    let check = async |filter: Filter, expected: &[u64]| {
        let found = picked(&lake, filter, Take::Marks).await;
        assert_eq!(found.iter().map(|(message, ..)| *message).collect::<Vec<_>>(), expected);
    };
    let text = |text: &str| Some(text.to_owned());
    let span = |since, until| Span { since, until };
    check(Filter { device: text("d-1"), ..Filter::default() }, &[1, 4]).await;
    check(Filter { topic: Pattern::parse("+/d-0").ok(), ..Filter::default() }, &[3, 6]).await;
    check(Filter { message: Some(5), ..Filter::default() }, &[5]).await;
    check(Filter { schema: text("s.json"), reason: text("not_json"), ..Filter::default() }, &[]).await;
    check(Filter { schema: text("t.json"), ..Filter::default() }, &[]).await;
    check(Filter { stage: text("transform"), ..Filter::default() }, &[]).await;
    check(Filter { span: span(Some(6), Some(8)), ..Filter::default() }, &[2, 3]).await;
    check(Filter { span: span(Some(9), None), ..Filter::default() }, &[5, 6]).await;
    check(Filter { span: span(None, Some(6)), device: text("d-1"), ..Filter::default() }, &[1]).await;
    check(Filter { span: span(None, Some(6)), device: text("d-2"), ..Filter::default() }, &[]).await;
}

#[tokio::test]
async fn few_rows_are_read_at_once_where_payloads_are_large() {
    let lake = tempfile::tempdir().unwrap();
    let large = vec![b'x'; 2_000_000];
    let messages: Vec<_> = (0..12).map(|message| (message, 5)).collect();
    let path = lake.path().join("date=1970-01-01/a.parquet");
    write(&path, &rows_with(&messages, &large), 1_000);
    for (take, expected) in [(Take::Marks, vec![12]), (Take::All, vec![2; 6])] {
        let filter = Filter { reason: Some("schema".to_owned()), ..Filter::default() };
        let opened = Reader::open(lake.path().into(), Topics::default(), (filter, take), Replayed::new(None));
        let (mut reader, mut read) = (opened.unwrap(), Vec::new());
        while let Some(picked) = reader.next().await.unwrap() {
            read.push(picked.rows().unwrap().len());
        }
        assert_eq!(read, expected, "rows at once of {take:?}");
    }
}

#[tokio::test]
async fn a_file_that_is_none_is_told() {
    let lake = lake();
    fs::write(lake.path().join("date=1970-01-01/c.parquet"), "no Parquet").unwrap();
    let reader = Reader::open(
        lake.path().into(),
        Topics::default(),
        (Filter::default(), Take::All),
        Replayed::new(None),
    );
    let mut reader = reader.unwrap();
    let error = loop {
        match reader.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it is passed over"),
            Err(error) => break error.to_string(),
        }
    };
    assert!(error.starts_with("cannot read ") && error.contains("/c.parquet as Parquet: "), "{error}");
}
