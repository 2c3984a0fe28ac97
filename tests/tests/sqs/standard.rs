//! Queues without order: what a device sends may overtake itself, and frames may come twice, in several hands at once.

use serde_json::Value;
use tests::{Ministack, Site, lake};

use crate::{
    QUICK,
    same_lake::{READINGS, TOPOLOGY, replay},
};

/// Windows that are there twice, or do not hold what the readings that are not late make of them; those that are still open are
/// not in the lake.
const OTHER_WINDOWS: &str = "
    WITH expected AS (
        SELECT device_id::VARCHAR, metric::VARCHAR, epoch_ms(start_ms), count(value), min(value), max(value),
               arg_min(value, ts), arg_max(value, ts)
        FROM (SELECT *, epoch_ms(ts) // 300000 * 300000 AS start_ms FROM 'readings/**/*.parquet' WHERE NOT late)
        GROUP BY device_id, metric, start_ms)
    SELECT device_id::VARCHAR, metric::VARCHAR, epoch_ms(epoch_ms(start)), count, min, max, first, last
    FROM 'aggregates/**/*.parquet' EXCEPT ALL SELECT * FROM expected";

/// Transitions that are there twice.
const REPEATED_ALERTS: &str = "
    SELECT alert, state, count(*) AS times FROM 'alerts/**/*.parquet' GROUP BY alert, state HAVING times > 1";

#[test]
fn sqs_standard_queues_lead_to_each_reading_once() {
    let topology = format!("{TOPOLOGY}{QUICK}");
    let embedded = Site::new(&topology);
    replay(&embedded, &[]);
    let expected = lake::query(&embedded.lake(), READINGS);
    assert_eq!(expected.len(), 3 * 1000 * 2);
    let apart: [&[&str]; 8] = [
        &["ingest"],
        &["validate"],
        &["transform"],
        &["analyze"],
        &["analyze"],
        &["alert"],
        &["alert"],
        &["store"],
    ];
    for processes in [&[][..], &apart] {
        let services = Ministack::start();
        let site = Site::on_standard_queues(&services, &topology);
        let books = replay(&site, processes);
        let of = processes.len();
        assert!(lake::query(&site.lake(), READINGS) == expected, "other readings in {of} processes");
        for stage in ["analyze", "alert"] {
            assert_eq!(books[stage]["consumed"], 3 * 1000 * 2, "{stage} in {of} processes");
        }
        for other in [OTHER_WINDOWS, REPEATED_ALERTS] {
            assert_eq!(lake::query(&site.lake(), other), [Value::Null; 0], "in {of} processes");
        }
        let some = "SELECT count(*) AS windows FROM 'aggregates/**/*.parquet'";
        assert_ne!(lake::query(&site.lake(), some)[0]["windows"], 0);
    }
}
