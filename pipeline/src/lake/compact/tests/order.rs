//! The rows of merged files.

use proptest::prelude::*;
use stages::frame::{Fault, QuarantineBuilder, Refusal};

use super::*;

fn merged(directory: &Path, dataset: Dataset, files: &[RecordBatch]) -> RecordBatch {
    let path = |number: usize| directory.join(name(number as u64));
    let paths: Vec<_> = (0..files.len()).map(path).collect();
    for (path, rows) in paths.iter().zip(files) {
        write(dataset, path, rows.clone());
    }
    let target = directory.join("merged");
    let (_, rows) = merge::merge(&paths, dataset, File::create_new(&target).unwrap(), &|| false).unwrap();
    let merged = read(&target);
    assert_eq!(rows, merged.num_rows() as u64);
    assert_eq!(merged.schema(), read(&paths[0]).schema(), "dictionaries and all");
    merged
}

/// What merging makes of readings: each file's rows, sorted, and equal ones in the order of the files.
fn check_readings(files: &[Vec<Row>]) {
    let directory = tempfile::tempdir().unwrap();
    let batches: Vec<_> = files.iter().map(|rows| readings(rows, &["site".to_owned()])).collect();
    let merged = merged(directory.path(), Dataset::Readings, &batches);
    let mut expected = files.concat();
    expected.sort_by(|one, other| (&one.0, one.1).cmp(&(&other.0, other.1)));
    assert!(rows_of(&merged) == expected, "of {files:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn every_row_is_there_once_and_in_order(
        files in proptest::collection::vec(
            proptest::collection::vec(("[abé]{0,2}", 0_i64..20), 1..40), 1..6,
        )
    ) {
        let mut number = 0;
        let files: Vec<Vec<Row>> = files
            .into_iter()
            .map(|rows| rows.into_iter().map(|(device, ts)| (device, ts, { number += 1; number })).collect())
            .collect();
        check_readings(&files);
    }
}

#[test]
fn files_of_many_batches_are_merged_in_order() {
    let file = |offset: u64| {
        let row =
            |number: u64| (format!("{}", number % 7), (number * 3 + offset) as Micros, number * 3 + offset);
        (0..12_000).map(row).collect()
    };
    check_readings(&[file(1), file(0), file(2), vec![("3".to_owned(), 5, 99_999)]]);
}

#[test]
fn large_payloads_come_through_byte_for_byte() {
    let directory = tempfile::tempdir().unwrap();
    let payload = |number: u64| -> Vec<u8> {
        // Nothing that compresses well, and more in some rows than in others.
        let mut state = number * 2 + 1;
        let byte = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        (0..if number.is_multiple_of(5) { 60_000 } else { 30 }).map(byte).collect()
    };
    let file = |first: u64| {
        let mut builder = QuarantineBuilder::default();
        for number in first..first + 500 {
            builder.append(&Refusal {
                message: number,
                topic: ["a", "b/c"][number as usize % 2],
                payload: &payload(number),
                received_at: (1500 - number) as Micros,
                client_id: "client",
                properties: &[("key".to_owned(), number.to_string())],
                stage: "validate",
                reason: "schema",
                schema: None,
                schema_version: None,
                replays: 0,
                errors: &[Fault {
                    pointer: "/x".into(),
                    keyword: "type".into(),
                    message: number.to_string(),
                }],
            });
        }
        builder.finish(header(Kind::Quarantine)).unwrap().rows
    };
    let files = [file(0), file(500), file(1000)];
    let merged = merged(directory.path(), Dataset::Quarantine, &files);
    let all = concat_batches(&files[0].schema(), &files).unwrap();
    let order = store::arrange(Dataset::Quarantine, Granularity::Day, std::slice::from_ref(&all))
        .unwrap()
        .remove(0)
        .1;
    let order: Vec<_> = order.iter().flat_map(store::Stretch::places).collect();
    let expected = arrow_select::interleave::interleave_record_batch(&[&all], &order).unwrap();
    for (column, field) in expected.schema().fields().iter().enumerate() {
        assert_eq!(merged.column(column).to_data(), expected.column(column).to_data(), "{field}");
    }
    let footer = Footer::read(&directory.path().join(name(0))).unwrap();
    assert!(footer.batches.rows < 500, "{footer:?}");
}

#[test]
fn files_that_are_not_sorted_or_not_whole_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let (good, bad) = (directory.path().join("good"), directory.path().join("bad"));
    write(Dataset::Readings, &good, readings(&[row(0), row(1)], &[]));
    let batches = [readings(&[row(1), row(0)], &[])];
    parquet::write(
        File::create_new(&bad).unwrap(),
        Dataset::Readings,
        &batches,
        &[store::Stretch { batch: 0, first: 0, rows: 2 }],
    )
    .unwrap();
    let try_merge = |bad: &Path| {
        let target = tempfile::tempfile().unwrap();
        merge::merge(&[good.clone(), bad.to_owned()], Dataset::Readings, target, &|| false).unwrap_err()
    };
    let MergeError::Input(path, reason) = try_merge(&bad) else { panic!("not the input's fault") };
    assert_eq!((path, reason.as_str()), (bad.clone(), "its rows are not sorted"));

    let mut bytes = fs::read(&good).unwrap();
    bytes[8..40].fill(0);
    fs::write(&bad, bytes).unwrap();
    let MergeError::Input(path, _) = try_merge(&bad) else { panic!("not the input's fault") };
    assert_eq!(path, bad);
}

#[test]
fn a_merge_ends_when_it_is_to_stop() {
    let directory = tempfile::tempdir().unwrap();
    let rows: Vec<_> = (0..20_000).map(row).collect();
    let paths = [0, 1].map(|number| directory.path().join(name(number)));
    paths.iter().for_each(|path| write(Dataset::Readings, path, readings(&rows, &[])));
    let target = tempfile::tempfile().unwrap();
    let stopped = merge::merge(&paths, Dataset::Readings, target, &|| true).unwrap_err();
    assert!(matches!(stopped, MergeError::Stopped), "{stopped:?}");
}
