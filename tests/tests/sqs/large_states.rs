//! States that are too large for an item of a table are objects beside the lake.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tests::lake;

use crate::place::{Place, end};

/// One device, all of whose rows are remembered, in one lane.
const REST: &str = "lanes: 1\nanalyze: { dedupe_secs: 1576800000 }\n";
const STORE: &str = "age_secs: 1, age_secs_max: 1";
const ROWS: u32 = 12_000;
const METRICS: u32 = 12;

/// Numbers that cannot be told from those before.
fn series(path: PathBuf) -> PathBuf {
    let mut digits = 1_u64;
    let mut text = "time".to_owned();
    (0..METRICS).for_each(|metric| text += &format!(",m{metric}"));
    for row in 0..ROWS {
        let (hour, minute, second) = (row / 3600, row / 60 % 60, row % 60);
        text += &format!("\n2024-03-01 {hour:02}:{minute:02}:{second:02}");
        for _ in 0..METRICS {
            digits = digits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text += &format!(",{}", (digits >> 11) as f64 / 1e9);
        }
    }
    fs::write(&path, text + "\n").unwrap();
    path
}

fn objects(folder: &Path) -> usize {
    fs::read_dir(folder).into_iter().flatten().count()
}

#[test]
fn sqs_large_states_are_beside_a_lake_in_an_object_store() {
    let place = Place::in_objects();
    place.configure(STORE, REST);
    let rows = u64::from(ROWS * METRICS);
    let states = place.lake().join(".state/millstream/state/analyze/0");
    for round in 1..3 {
        let up = place.up();
        place.site.replay([series(place.site.path("pump.csv"))]).ended().well();
        place.site.wait_until_dry();
        let books = place.site.queues()["books"]["analyze"].take();
        assert_eq!((&books["consumed"], &books["repeated"]), (&rows.into(), &(rows * (round - 1)).into()));
        assert!(objects(&states) > 0, "nothing in {}", states.display());
        end(up);
    }
    place.ask(&["compact"]);
    assert!(objects(&states) > 0, "compaction leaves them");
    let read = lake::query(&place.lake(), "SELECT count(*) AS rows FROM 'readings/**/*.parquet'");
    assert_eq!(read[0]["rows"], rows);
}
