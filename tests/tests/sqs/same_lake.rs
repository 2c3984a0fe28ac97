//! What the queues are on does not show in the lake.

use std::{fs, path::PathBuf};

use serde_json::Value;
use tests::{Child, Ministack, Site, lake};

use crate::QUICK;

/// Time is told by rows alone, so that it does not hang on how fast a test runs.
pub(crate) const TOPOLOGY: &str = "analyze: { tick_secs: 3600, window_secs: 300, allowed_lateness_secs: 600 }
alert: { rules: [{ name: high, metric: level, above: 50, clear: 45 }] }
";

/// All of a reading that does not hang on when others came.
pub(crate) const READINGS: &str = "SELECT device_id, metric, ts::VARCHAR AS ts, seq, value, text, unit
                        FROM 'readings/**/*.parquet' ORDER BY ALL";

/// A row per minute, so far and back again over the threshold of the rule.
pub(crate) fn series(site: &Site) -> Vec<PathBuf> {
    let series = ["north", "south", "west"].map(|device| {
        let rows = (0..1000_u32).map(|row| {
            let (hour, minute) = (row / 60, row % 60);
            let (level, flow) = (row % 97, f64::from(row).sqrt());
            format!("2024-03-01 {hour:02}:{minute:02}:00,{level},{flow}\n")
        });
        let path = site.path(&format!("{device}.csv"));
        fs::write(&path, "time,level,flow\n".to_owned() + &rows.collect::<String>()).unwrap();
        path
    });
    series.into()
}

/// All that does not hang on when a message was received.
pub(crate) fn rows(site: &Site) -> [Vec<Value>; 3] {
    [
        "SELECT device_id, metric, ts::VARCHAR AS ts, value, text, unit, seq, late, anomaly_score, anomaly
         FROM 'readings/**/*.parquet' ORDER BY ALL",
        "SELECT COLUMNS(*)::VARCHAR FROM 'aggregates/**/*.parquet' ORDER BY ALL",
        "SELECT rule, device_id, metric, state, value FROM 'alerts/**/*.parquet' ORDER BY ALL",
    ]
    .map(|sql| lake::query(&site.lake(), sql))
}

/// What becomes of the series, and the books.
pub(crate) fn replayed(site: &Site, processes: &[&[&str]]) -> ([Vec<Value>; 3], Value) {
    let books = replay(site, processes);
    (rows(site), books)
}

/// Sends the series, by way of all in one process or of these; the books once all is in the lake.
pub(crate) fn replay(site: &Site, processes: &[&[&str]]) -> Value {
    let running: Vec<Child> = match processes {
        [] => vec![site.up()],
        processes => processes.iter().map(|stages| site.run(stages)).collect(),
    };
    site.replay(series(site)).ended().well();
    site.wait_until_dry();
    running.iter().for_each(Child::terminate);
    running.into_iter().for_each(|process| drop(process.ended().well()));
    site.queues()["books"].take()
}

#[test]
fn sqs_leads_to_the_same_lake_as_the_embedded_engine() {
    let topology = format!("{TOPOLOGY}{QUICK}");
    let (embedded, its_books) = replayed(&Site::new(&topology), &[]);
    assert_eq!(embedded[0].len(), 3 * 1000 * 2);
    assert!(embedded[1].len() > 500 && embedded[2].len() > 50, "{} {}", embedded[1].len(), embedded[2].len());
    let apart: [&[&str]; 5] = [&["ingest"], &["validate"], &["transform"], &["analyze", "alert"], &["store"]];
    for processes in [&[][..], &apart] {
        let services = Ministack::start();
        let (rows, books) = replayed(&Site::on_aws(&services, &topology), processes);
        for (rows, embedded) in rows.iter().zip(&embedded) {
            assert!(rows == embedded, "other rows in {} processes", processes.len());
        }
        for stage in ["ingest", "validate", "transform", "analyze", "alert", "store"] {
            assert_eq!(books[stage], its_books[stage], "{stage} in {} processes", processes.len());
        }
    }
}
