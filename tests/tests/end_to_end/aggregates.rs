use serde_json::Value;
use tests::{Site, lake};

use crate::quarantine::publish;

/// Windows of two seconds that close three seconds later, at once when a device falls silent.
const WINDOWS: &str = "
topics:
  - pattern: devices/{device}/telemetry
    transform: { preset: device_sim, units: { level: m } }
analyze: { window_secs: 2, allowed_lateness_secs: 3, tick_secs: 1, tick_grace_secs: 0 }
store: { age_secs: 1, age_secs_max: 1 }
";

const DEVICES: u64 = 4;
/// Messages of each device, four in a second of event time.
const STEPS: u64 = 400;
/// Three metrics in each message.
const READINGS: u64 = 3 * DEVICES * STEPS;

/// What a device says in its message `seq`; now and then two have the same time.
fn message(device: u64, seq: u64) -> (String, Vec<u8>) {
    let millis = (seq - u64::from(seq % 10 == 9)) * 250;
    let (minute, second, millis) = (millis / 60_000, millis / 1000 % 60, millis % 1000);
    let noise = (seq * 7919 + device * 104_729) % 1000;
    let payload = format!(
        r#"{{"device_id": "d{device}", "ts": "2026-01-01T12:{minute:02}:{second:02}.{millis:03}Z", "seq": {seq},
            "metrics": {{"level": {}, "flow": {}, "mode": "m{}"}}}}"#,
        noise as f64 / 7.0,
        -(noise as f64).sqrt(),
        seq % 3
    );
    (format!("devices/d{device}/telemetry"), payload.into_bytes())
}

/// The messages of all devices: some delayed, a few by more than is allowed, some twice.
fn messages() -> Vec<(String, Vec<u8>)> {
    let mut ordered = Vec::new();
    for seq in 0..STEPS {
        for device in 0..DEVICES {
            let number = seq * DEVICES + device;
            let delay = number * 6_364_136_223 % 101 % 17 * u64::from(number.is_multiple_of(3));
            ordered.push((seq + delay, device, seq));
            if number.is_multiple_of(20) {
                ordered.push((seq + delay + 3, device, seq));
            }
        }
    }
    ordered.sort_unstable();
    ordered.into_iter().map(|(_, device, seq)| message(device, seq)).collect()
}

fn send(site: &Site, messages: &[(String, Vec<u8>)]) {
    let messages: Vec<_> =
        messages.iter().map(|(topic, payload)| (topic.as_str(), payload.clone())).collect();
    publish(site, &messages);
}

fn number(row: &Value, name: &str) -> u64 {
    row[name].as_u64().unwrap_or_else(|| panic!("no {name} in {row}"))
}

/// Whether so many readings are in the lake, and all that count in windows are in windows there.
fn all_counted(site: &Site, readings: u64) -> bool {
    if !site.lake().join("aggregates").exists() {
        return false;
    }
    let sql = "SELECT count(*) AS readings, count(value) FILTER (WHERE NOT late) AS counting,
                      (SELECT sum(count)::BIGINT FROM 'aggregates/**/*.parquet') AS counted
               FROM 'readings/**/*.parquet'";
    let row = lake::query(&site.lake(), sql).remove(0);
    number(&row, "readings") == readings && row["counting"] == row["counted"]
}

/// The windows that are not what DuckDB makes of the readings; there should be none.
const WRONG: &str = r#"
WITH expected AS (
    SELECT device_id, metric, epoch_us(ts) // 2000000 * 2000000 AS start_us, count(*) AS count,
           min(value) AS min, max(value) AS max, avg(value) AS mean, stddev_samp(value) AS stddev,
           first(value ORDER BY ts, message) AS first, last(value ORDER BY ts, message) AS last,
           last(unit ORDER BY ts, message) AS unit
    FROM 'readings/**/*.parquet' WHERE value IS NOT NULL AND NOT late GROUP BY ALL
), found AS (
    SELECT *, epoch_us(start) AS start_us, epoch_us("end") AS end_us,
           count(*) OVER (PARTITION BY device_id, metric, start) AS times
    FROM 'aggregates/**/*.parquet'
)
SELECT device_id, metric, start_us, found.count AS found, expected.count AS expected
FROM expected FULL JOIN found USING (device_id, metric, start_us)
WHERE expected.count IS DISTINCT FROM found.count OR times <> 1 OR end_us <> start_us + 2000000
   OR expected.min <> found.min OR expected.max <> found.max
   OR expected.first <> found.first OR expected.last <> found.last
   OR expected.unit IS DISTINCT FROM found.unit
   OR abs(expected.mean - found.mean) > 1e-9 * abs(expected.mean)
   OR (expected.stddev IS NULL) <> (found.stddev IS NULL)
   OR abs(expected.stddev - found.stddev) > 1e-9 * expected.stddev
"#;

#[test]
fn windows_are_what_a_batch_computation_gives_after_every_kill() {
    let site = Site::new(WINDOWS);
    let mut up = site.up();
    let messages = messages();
    for part in messages.chunks(messages.len() / 5) {
        // All of it is acknowledged, and the stages are at work on it.
        send(&site, part);
        up.kill();
        up = site.up();
    }
    tests::until("every window is closed", || all_counted(&site, READINGS));
    up.terminate();
    up.ended().well();

    assert_eq!(lake::query(&site.lake(), WRONG), [Value::Null; 0]);
    let sql =
        "SELECT count(*) FILTER (WHERE late) AS late, count(DISTINCT (device_id, metric, seq)) AS told_apart,
                      (SELECT count(*) FROM 'aggregates/**/*.parquet') AS windows
               FROM 'readings/**/*.parquet'";
    let row = lake::query(&site.lake(), sql).remove(0);
    assert_eq!(number(&row, "told_apart"), READINGS, "{row}");
    assert_ne!(number(&row, "late"), 0, "some were delayed by more than is allowed: {row}");
    // Two metrics with numbers in a hundred seconds; a kill may make all of a window late.
    assert!((300..=400).contains(&number(&row, "windows")), "{row}");
}

#[test]
fn an_open_window_outlives_a_stop_and_closes_in_silence() {
    let site = Site::new(&WINDOWS.replace("tick_grace_secs: 0", "tick_grace_secs: 3600"));
    let up = site.up();
    send(&site, &[message(1, 0), message(1, 1)]);
    up.terminate();
    up.ended().well();
    assert!(site.lake().join("readings").exists());
    assert!(!site.lake().join("aggregates").exists(), "nobody told how late it is");

    site.configure(WINDOWS);
    let up = site.up();
    tests::until("its windows are closed", || all_counted(&site, 6));
    up.terminate();
    up.ended().well();
    assert_eq!(lake::query(&site.lake(), WRONG), [Value::Null; 0]);
    for (queue, depth) in site.queues()["queues"].as_object().unwrap() {
        assert_eq!(depth["frames"], 0, "{queue}");
    }
}
