use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, DictionaryArray, Float64Array, Int64Array, LargeStringArray,
    RecordBatch, StringArray, StringViewArray, TimestampMicrosecondArray, TimestampMillisecondArray,
    UInt32Array, UInt64Array, types::Int32Type,
};
use parquet::arrow::ArrowWriter;
use tempfile::TempDir;

use super::{Problem, Verification, Way, verify};

const TS: i64 = 1_767_225_600_000_000;

#[derive(Clone)]
struct Row {
    device: &'static str,
    metric: &'static str,
    ts: i64,
    value: Option<f64>,
    text: Option<&'static str>,
    seq: Option<u64>,
    late: bool,
}

fn row(metric: &'static str, seq: u64, value: f64) -> Row {
    Row { device: "d", metric, ts: TS, value: Some(value), text: None, seq: Some(seq), late: false }
}

/// A message of two metrics.
fn payload(seq: u64) -> String {
    format!(
        r#"{{"device_id":"d","ts":"2026-01-01T00:00:00Z","seq":{seq},"metrics":{{"a":{seq}.5,"b":{}}}}}"#,
        seq * 10
    )
}

/// The rows that [`payload`] must become.
fn rows(seq: u64) -> [Row; 2] {
    [row("a", seq, seq as f64 + 0.5), row("b", seq, seq as f64 * 10.0)]
}

struct Case {
    directory: TempDir,
    ledger: String,
    published: u64,
    readings: Vec<Row>,
    quarantine: Vec<(String, &'static str)>,
    /// Rows of messages that came back from there, and were refused once more.
    refused_again: Vec<(String, &'static str)>,
}

impl Case {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            ledger: "{\"ledger\":1,\"client\":\"test\"}\n".into(),
            published: 0,
            readings: Vec::new(),
            quarantine: Vec::new(),
            refused_again: Vec::new(),
        }
    }

    /// Messages 1 to `count`, acknowledged and stored.
    fn stored(count: u64) -> Self {
        let mut case = Self::new();
        for seq in 1..=count {
            case.send(&payload(seq), true);
            case.readings.extend(rows(seq));
        }
        case
    }

    fn send(&mut self, payload: &str, acknowledged: bool) {
        self.published += 1;
        let (n, payload) = (self.published, serde_json::to_string(payload).unwrap());
        self.line(&format!(r#"{{"conn":0,"n":{n},"topic":"t","payload":{payload}}}"#));
        if acknowledged {
            self.line(&format!(r#"{{"conn":0,"acked":[[{n},{n}]]}}"#));
        }
    }

    fn line(&mut self, line: &str) {
        self.ledger += line;
        self.ledger.push('\n');
    }

    fn refuse(&mut self, payload: &str, reason: &'static str) {
        self.quarantine.push((payload.to_owned(), reason));
    }

    fn verify(&self) -> Verification {
        self.verify_after(Way::Direct)
    }

    fn verify_after(&self, way: Way) -> Verification {
        let (ledger, lake) = (self.directory.path().join("ledger"), self.directory.path().join("lake"));
        fs::write(&ledger, &self.ledger).unwrap();
        // Over two partitions, and in two forms that writers have.
        let (first, second) = self.readings.split_at(self.readings.len() / 2);
        write(&lake.join("readings/date=2026-01-01/a.parquet"), readings(first));
        write(&lake.join("readings/date=2026-01-02/b.parquet"), readings_of_another_writer(second));
        fs::write(lake.join("readings/.tmp-c.parquet"), "half a file").unwrap();
        if !self.quarantine.is_empty() {
            write(&lake.join("quarantine/date=2026-01-01/q.parquet"), quarantine(&self.quarantine, None));
        }
        if !self.refused_again.is_empty() {
            write(
                &lake.join("quarantine/date=2026-01-01/r.parquet"),
                quarantine(&self.refused_again, Some(1)),
            );
        }
        let result = verify(&ledger, &lake, way).unwrap();
        let Verification { stored, quarantined, repeated, unacknowledged_absent, missing, .. } = result;
        assert_eq!(result.published, stored + quarantined + repeated + unacknowledged_absent + missing);
        assert_eq!(result.published, self.published);
        assert_eq!(result.readings, self.readings.len() as u64);
        result
    }
}

fn readings(rows: &[Row]) -> RecordBatch {
    let devices: DictionaryArray<Int32Type> = rows.iter().map(|row| row.device).collect();
    let metrics: DictionaryArray<Int32Type> = rows.iter().map(|row| row.metric).collect();
    let times =
        TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.ts)).with_timezone("UTC");
    let columns: [(&str, ArrayRef); 7] = [
        ("device_id", Arc::new(devices)),
        ("metric", Arc::new(metrics)),
        ("ts", Arc::new(times)),
        ("value", Arc::new(rows.iter().map(|row| row.value).collect::<Float64Array>())),
        ("text", Arc::new(rows.iter().map(|row| row.text).collect::<StringArray>())),
        ("seq", Arc::new(rows.iter().map(|row| row.seq).collect::<UInt64Array>())),
        ("late", Arc::new(rows.iter().map(|row| Some(row.late)).collect::<BooleanArray>())),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn readings_of_another_writer(rows: &[Row]) -> RecordBatch {
    let devices = LargeStringArray::from_iter_values(rows.iter().map(|row| row.device));
    let metrics = StringViewArray::from_iter_values(rows.iter().map(|row| row.metric));
    let seqs = rows.iter().map(|row| row.seq.map(|seq| seq as i64)).collect::<Int64Array>();
    let columns: Vec<(&str, ArrayRef)> = if rows.iter().all(|row| row.ts % 1000 == 0) {
        let times = TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| row.ts / 1000));
        vec![("ts", Arc::new(times))]
    } else {
        vec![("ts", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.ts))))]
    };
    let others: [(&str, ArrayRef); 5] = [
        ("device_id", Arc::new(devices)),
        ("metric", Arc::new(metrics)),
        ("value", Arc::new(rows.iter().map(|row| row.value).collect::<Float64Array>())),
        ("text", Arc::new(rows.iter().map(|row| row.text).collect::<StringArray>())),
        ("seq", Arc::new(seqs)),
    ];
    RecordBatch::try_from_iter(columns.into_iter().chain(others)).unwrap()
}

fn quarantine(rows: &[(String, &'static str)], replays: Option<u32>) -> RecordBatch {
    let topics: DictionaryArray<Int32Type> = rows.iter().map(|_| "t").collect();
    let replays: Option<ArrayRef> =
        replays.map(|replays| Arc::new(UInt32Array::from(vec![replays; rows.len()])) as _);
    let columns: [(&str, ArrayRef); 3] = [
        ("topic", Arc::new(topics)),
        ("payload", Arc::new(BinaryArray::from_iter_values(rows.iter().map(|(payload, _)| payload)))),
        ("reason", Arc::new(StringArray::from_iter_values(rows.iter().map(|(_, reason)| reason)))),
    ];
    RecordBatch::try_from_iter(columns.into_iter().chain(replays.map(|replays| ("replays", replays))))
        .unwrap()
}

fn write(path: &Path, batch: RecordBatch) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut writer = ArrowWriter::try_new(fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn problems(result: &Verification) -> [u64; 4] {
    [result.missing, result.duplicated, result.altered, result.unexplained]
}

#[test]
fn a_whole_lake_balances() {
    let mut case = Case::stored(50);
    case.readings[3].late = true;
    let result = case.verify();
    assert_eq!((result.stored, result.acknowledged, result.late), (50, 50, 1));
    assert!(result.is_balanced() && result.examples.is_empty(), "{result}");
    assert!(result.to_string().ends_with("the books balance\n"));
}

#[test]
fn a_missing_row_is_a_missing_message() {
    for lost in [0, 37, 99] {
        let mut case = Case::stored(50);
        let row = case.readings.remove(lost);
        let result = case.verify();
        assert_eq!(problems(&result), [1, 0, 0, 0]);
        assert_eq!(result.stored, 49);
        let [example] = result.examples.as_slice() else { panic!("{result}") };
        assert_eq!((example.problem, example.seq), (Problem::Missing, row.seq));
        assert_eq!((example.topic.as_deref(), example.device.as_deref()), (Some("t"), Some("d")));
        assert!(example.detail.contains("1 of its 2 rows"), "{result}");
    }
}

#[test]
fn a_row_twice_is_a_duplicate() {
    let mut case = Case::stored(50);
    case.readings.push(case.readings[7].clone());
    case.readings.push(case.readings[7].clone());
    let result = case.verify();
    assert_eq!(problems(&result), [0, 2, 0, 0]);
    assert_eq!(result.stored, 50);
    assert!(result.to_string().contains("duplicated: d b seq 4: 40 at 2026-01-01T00:00:00Z"), "{result}");
}

#[test]
fn a_changed_value_text_or_time_is_altered() {
    let changes: [fn(&mut Row); 4] = [
        |row| row.value = row.value.map(|value| f64::from_bits(value.to_bits() + 1)),
        |row| row.ts += 1,
        |row| row.text = Some("and more"),
        |row| (row.value, row.text) = (None, Some("4.5")),
    ];
    for change in changes {
        for place in [6, 60] {
            let mut case = Case::stored(50);
            change(&mut case.readings[place]);
            let result = case.verify();
            assert_eq!(problems(&result), [0, 0, 1, 0], "{result}");
            assert_eq!(result.stored, 50, "it is there, but it is not what was sent");
        }
    }
}

#[test]
fn a_row_of_nobody_is_unexplained() {
    let changes: [fn(&mut Row); 4] = [
        |row| row.device = "other",
        |row| row.metric = "other",
        |row| row.seq = Some(1000),
        |row| row.seq = None,
    ];
    for change in changes {
        let mut case = Case::stored(50);
        let mut extra = case.readings[20].clone();
        change(&mut extra);
        case.readings.push(extra);
        assert_eq!(problems(&case.verify()), [0, 0, 0, 1]);
    }
}

#[test]
fn repetitions_lead_to_no_second_row() {
    let mut case = Case::stored(10);
    case.send(&payload(4), true);
    case.send(&payload(4), false);
    let result = case.verify();
    assert_eq!((result.stored, result.repeated, problems(&result)), (10, 2, [0; 4]));
    case.readings.extend(rows(4));
    assert_eq!(problems(&case.verify()), [0, 2, 0, 0]);
}

#[test]
fn what_was_not_acknowledged_may_be_there_once() {
    let mut case = Case::stored(10);
    case.send(&payload(11), false);
    let absent = case.verify();
    assert_eq!((absent.stored, absent.unacknowledged_absent, problems(&absent)), (10, 1, [0; 4]));
    case.readings.extend(rows(11));
    let there = case.verify();
    assert_eq!((there.stored, there.unacknowledged_absent, problems(&there)), (11, 0, [0; 4]));
    case.readings.push(rows(11)[0].clone());
    assert_eq!(problems(&case.verify()), [0, 1, 0, 0]);
    case.readings.truncate(21);
    assert_eq!(problems(&case.verify()), [1, 0, 0, 0], "half a message is never right");
}

#[test]
fn the_quarantine_is_an_answer_too() {
    let mut case = Case::stored(10);
    for (payload, reason) in [("{", "not_json"), ("[]", "schema"), (payload(77).as_str(), "future_time")] {
        case.send(payload, true);
        case.refuse(payload, reason);
    }
    let result = case.verify();
    assert_eq!((result.stored, result.quarantined, problems(&result)), (10, 3, [0; 4]));
    let reasons = ["future_time", "not_json", "schema"].map(|reason| (reason.to_owned(), 1));
    assert_eq!(result.quarantine_reasons, BTreeMap::from(reasons));
    // A message that must be refused, and is nowhere.
    case.quarantine.remove(0);
    let result = case.verify();
    assert_eq!(problems(&result), [1, 0, 0, 0]);
    assert!(result.examples[0].detail.contains(r#"payload "{""#), "{result}");
}

#[test]
fn a_message_that_came_back_from_the_quarantine_is_there_once() {
    let mut case = Case::stored(2);
    // It is stored, after it was refused; another one was refused again.
    case.refuse(&payload(1), "schema");
    case.send("{", true);
    case.refuse("{", "not_json");
    case.refused_again.push(("{".to_owned(), "not_json"));
    let result = case.verify();
    assert_eq!((result.stored, result.quarantined, problems(&result)), (2, 1, [0; 4]));
}

#[test]
fn the_quarantine_keeps_a_copy_for_each_time_it_was_sent() {
    let mut case = Case::stored(1);
    case.send("{", true);
    case.line(r#"{"conn":0,"resent":[[1,2]]}"#);
    case.refuse("{", "not_json");
    case.refuse("{", "not_json");
    let result = case.verify();
    assert_eq!((result.quarantined, problems(&result)), (1, [0; 4]));
    case.refuse("{", "not_json");
    assert_eq!(problems(&case.verify()), [0, 1, 0, 0]);
    case.refuse("never sent", "not_json");
    assert_eq!(problems(&case.verify()), [0, 1, 0, 1]);
    // Who was in between may have sent it again, but not come by another.
    let result = case.verify_after(Way::ThroughBroker);
    assert_eq!((result.quarantined, problems(&result)), (1, [0, 0, 0, 1]));
}

#[test]
fn a_message_may_not_be_stored_in_part_and_refused() {
    let mut case = Case::stored(2);
    case.readings.pop();
    case.refuse(&payload(2), "schema");
    assert_eq!(problems(&case.verify()), [1, 0, 0, 0]);
}

#[test]
fn a_refused_publish_is_not_missed() {
    let mut case = Case::stored(3);
    case.send(&payload(4), false);
    case.line(r#"{"conn":0,"refused":[4],"reason":151}"#);
    let result = case.verify();
    assert_eq!((result.unacknowledged_absent, problems(&result)), (1, [0; 4]));
}

#[test]
fn runs_of_one_ledger_count_apart() {
    let mut case = Case::stored(3);
    case.line(r#"{"ledger":1,"client":"test"}"#);
    // The same device, sequence number and metrics, measured a second later.
    let again = payload(1).replace("00:00:00Z", "00:00:01Z");
    case.line(&format!(
        r#"{{"conn":0,"n":1,"topic":"t","payload":{}}}"#,
        serde_json::to_string(&again).unwrap()
    ));
    case.line(r#"{"conn":0,"acked":[[1,1]]}"#);
    case.published += 1;
    assert_eq!(problems(&case.verify()), [1, 0, 0, 0]);
    case.readings.extend(rows(1).map(|row| Row { ts: TS + 1_000_000, ..row }));
    let result = case.verify();
    assert_eq!((result.stored, problems(&result)), (4, [0; 4]));
}

#[test]
fn at_most_ten_examples_of_each_problem() {
    let mut case = Case::stored(100);
    for row in &mut case.readings[..50] {
        row.ts += 5;
    }
    case.readings.drain(150..);
    let result = case.verify();
    assert_eq!(problems(&result), [25, 0, 50, 0]);
    for problem in [Problem::Missing, Problem::Altered] {
        assert_eq!(result.examples.iter().filter(|example| example.problem == problem).count(), 10);
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    let case = Case::stored(1);
    case.verify();
    let (ledger, lake) = (case.directory.path().join("ledger"), case.directory.path().join("lake"));
    let error = |ledger: &Path, lake: &Path| {
        let error = verify(ledger, lake, Way::Direct).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        error.to_string()
    };
    let text = error(&ledger, &case.directory.path().join("nowhere"));
    assert!(text.contains("nowhere"), "{text}");
    let text = error(&ledger, case.directory.path());
    assert!(text.contains("neither readings nor quarantine"), "{text}");
    fs::write(lake.join("readings/date=2026-01-01/broken.parquet"), "PAR1, not quite").unwrap();
    let text = error(&ledger, &lake);
    assert!(text.contains("broken.parquet"), "{text}");
    let batch =
        RecordBatch::try_from_iter([("metric", Arc::new(StringArray::from(vec!["a"])) as ArrayRef)]).unwrap();
    write(&lake.join("readings/date=2026-01-01/broken.parquet"), batch);
    let text = error(&ledger, &lake);
    assert!(text.contains("broken.parquet") && text.contains("no column device_id"), "{text}");
    fs::write(&ledger, format!("{}{}\n", case.ledger, r#"{"conn":0,"acked":[[5,9]]}"#)).unwrap();
    let text = error(&ledger, &lake);
    assert!(text.contains("ledger:4: 5 to 9 of connection 0 are not published"), "{text}");
}
