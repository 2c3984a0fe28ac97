//! What must hold of a run, whatever has happened in it.

use std::{collections::BTreeMap, fmt::Debug};

use arrow_array::{cast::AsArray, types::Float64Type};
use stages::{
    frame::{Aggregates, Alerts, Frame, Header, Kind, Micros, Readings},
    plan::Counts,
    store::Dataset,
};

use crate::{
    fates, ingest,
    rows::texts,
    topology::{ALERT, ANALYZE, Memory, STORE, TRANSFORM, VALIDATE, WINDOW},
    undisturbed::{self, Rows},
    world::{Engine, World},
};

/// Checks a run that has come to its end.
pub(crate) fn check(world: &World<'_>) {
    let stored = Stored::of(world);
    fates::check(world, &stored.frames);
    if world.scenario.memory == Memory::Ample {
        alerts_are_told_once(world, &stored);
    }
    books_agree(world);
    if !world.scenario.overtakes {
        let mut expected = undisturbed::rows(world);
        expected.values_mut().for_each(|rows| rows.sort());
        for dataset in Dataset::ALL {
            let [stored, expected] =
                [&stored.rows, &expected].map(|rows| rows.get(&dataset).map_or(&[][..], Vec::as_slice));
            same(dataset, stored, expected);
        }
    }
    windows_are_a_group_by(world, &stored);
}

/// The lake, read.
struct Stored {
    frames: Vec<Frame>,
    /// Sorted; without repeats where rows may come twice.
    rows: Rows,
}

impl Stored {
    fn of(world: &World<'_>) -> Self {
        let (mut rows, mut frames) = (Rows::new(), Vec::new());
        for file in &world.lake.files {
            let kind = match file.dataset {
                Dataset::Readings => Kind::Readings,
                Dataset::Aggregates => Kind::Aggregates,
                Dataset::Alerts => Kind::Alerts,
                Dataset::Quarantine => Kind::Quarantine,
            };
            frames.push(Frame { header: Header { kind, ..ingest::header(0) }, rows: file.rows.clone() });
            rows.entry(file.dataset).or_default().extend(texts(&file.rows));
        }
        for rows in rows.values_mut() {
            rows.sort();
            if world.scenario.may_repeat() {
                rows.dedup();
            }
        }
        Self { frames, rows }
    }

    fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Frame> {
        self.frames.iter().filter(move |frame| frame.header.kind == kind)
    }
}

/// Windows are what a batch computation makes of the readings that are not late.
fn windows_are_a_group_by(world: &World<'_>, stored: &Stored) {
    let lost = world.scenario.inputs.iter().any(|input| input.poison == Some(ALERT));
    if lost || world.scenario.may_repeat() {
        return;
    }
    /// Count, least and greatest value.
    type Sums = BTreeMap<(String, String, Micros), (u64, f64, f64)>;
    let add = |sums: &mut Sums, key: (&str, &str, Micros), (count, min, max): (u64, f64, f64)| {
        let sum = sums.entry((key.0.to_owned(), key.1.to_owned(), key.2)).or_insert((0, f64::MAX, f64::MIN));
        *sum = (sum.0 + count, sum.1.min(min), sum.2.max(max));
    };
    let (mut expected, mut found) = (Sums::new(), Sums::new());
    for frame in stored.of_kind(Kind::Readings) {
        let rows = Readings::of(frame).unwrap();
        let values = frame.rows.column_by_name("value").unwrap().as_primitive::<Float64Type>();
        for (row, value) in values.iter().enumerate() {
            let (Some(value), Some((false, _))) = (value, rows.score(row)) else { continue };
            let (device, metric) = (rows.devices().get(row).unwrap(), rows.metrics().get(row).unwrap());
            let start = rows.ts(row).div_euclid(WINDOW) * WINDOW;
            add(&mut expected, (device, metric, start), (1, value, value));
        }
    }
    for frame in stored.of_kind(Kind::Aggregates) {
        let rows = Aggregates::of(frame).unwrap();
        for row in (0..rows.len()).map(|row| rows.get(row)) {
            add(&mut found, (row.device_id, row.metric, row.start), (row.count, row.min, row.max));
        }
    }
    let other: Vec<_> = found
        .keys()
        .chain(expected.keys())
        .filter(|key| found.get(key) != expected.get(key))
        .map(|key| (key, found.get(key), expected.get(key)))
        .collect();
    assert!(other.is_empty(), "windows, and what the readings that are not late come to: {other:?}");
}

/// No transition of an alert is in the lake twice, and no alert ends that has not fired. Only where devices are
/// remembered: one that was forgotten may send again what made an alert, and that is then the same alert.
fn alerts_are_told_once(world: &World<'_>, stored: &Stored) {
    let mut told = BTreeMap::<&str, Vec<&str>>::new();
    for frame in stored.of_kind(Kind::Alerts) {
        let rows = Alerts::of(frame).unwrap();
        for row in (0..rows.len()).map(|row| rows.get(row)) {
            told.entry(row.alert).or_default().push(row.state);
        }
    }
    for (alert, mut states) in told {
        states.sort_unstable();
        if world.scenario.may_repeat() {
            states.dedup();
        }
        let fits = matches!(states[..], ["firing"] | ["firing", "resolved"] | ["expired", "firing"]);
        assert!(fits, "the alert {alert} is {states:?}");
    }
}

/// What a stage has brought forth is what the next one was given.
fn books_agree(world: &World<'_>) {
    if world.scenario.engine != Engine::OneTransaction {
        return;
    }
    let books = &world.books;
    let Counts { consumed, .. } = books[VALIDATE].counts;
    assert_eq!(books[VALIDATE].rows, world.taken.len() as u64, "messages into validate");
    assert_eq!(books[TRANSFORM].rows, consumed, "rows from validate to transform");
    assert_eq!(books[ANALYZE].rows, books[TRANSFORM].counts.produced, "rows from transform to analyze");
    assert_eq!(books[ALERT].rows, books[ANALYZE].counts.consumed, "rows from analyze to alert");
    let refused: u64 = books.iter().map(|book| book.counts.quarantined).sum();
    let windows = books[ANALYZE].counts.produced - books[ANALYZE].counts.consumed;
    assert_eq!(books[STORE].rows, books[ALERT].counts.produced + windows + refused, "rows to store");
    let in_files: usize = world.lake.files.iter().map(|file| file.rows.num_rows()).sum();
    assert_eq!(books[STORE].counts.consumed, in_files as u64, "rows in the lake");
    let dead: u64 = books.iter().map(|book| book.dead).sum();
    assert_eq!(dead, world.dead.len() as u64, "dead letters");
}

/// Both sorted; says what the one has and the other has not.
fn same<T: Ord + Debug>(dataset: Dataset, stored: &[T], expected: &[T]) {
    if stored == expected {
        return;
    }
    let count = |rows: &[T], row: &T| {
        rows.partition_point(|other| other <= row) - rows.partition_point(|other| other < row)
    };
    let more = |rows: &[T], others: &[T]| {
        rows.iter()
            .filter(|row| count(rows, row) > count(others, row))
            .map(|row| format!("  {row:?}\n"))
            .take(5)
            .collect::<String>()
    };
    panic!(
        "the {} of this run are not those of an undisturbed one\nonly here:\n{}only there:\n{}",
        dataset.as_str(),
        more(stored, expected),
        more(expected, stored)
    );
}
