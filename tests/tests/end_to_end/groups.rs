//! Adjacent stages as one hop: the same lake with and without, and whatever waits when that changes.

use std::{fs, path::PathBuf};

use serde_json::Value;
use tests::{Child, Site, lake, until};

use crate::QUICK;

const GROUPED: &str = "groups: [[validate, transform], [analyze, alert]]\n";
/// Time is told by rows alone, so that it does not hang on how fast a test runs.
const TOPOLOGY: &str = "analyze: { tick_secs: 3600, window_secs: 300, allowed_lateness_secs: 600 }
alert: { rules: [{ name: high, metric: level, above: 50, clear: 45 }] }
topics:
  - pattern: devices/{device}/telemetry
    schema: builtin:device_sim
    transform: { preset: device_sim }
  - pattern: devices/{device}/state
";

fn site(groups: &str) -> Site {
    Site::new(&topology(groups))
}

fn topology(groups: &str) -> String {
    format!("{groups}{TOPOLOGY}{QUICK}")
}

/// A row per minute, so far and back again over the threshold of the rule.
fn series(site: &Site) -> Vec<PathBuf> {
    let series = ["north", "south", "west"].map(|device| {
        let rows = (0..2000_u32).map(|row| {
            let (day, hour, minute) = (1 + row / 1440, row / 60 % 24, row % 60);
            let (level, flow) = (row % 97, f64::from(row).sqrt());
            format!("2024-03-{day:02} {hour:02}:{minute:02}:00,{level},{flow}\n")
        });
        let path = site.path(&format!("{device}.csv"));
        fs::write(&path, "time,level,flow\n".to_owned() + &rows.collect::<String>()).unwrap();
        path
    });
    series.into()
}

/// All that does not hang on when a message was received.
fn rows(site: &Site) -> [Vec<Value>; 3] {
    [
        "SELECT device_id, metric, ts::VARCHAR AS ts, value, text, unit, seq, late, anomaly_score, anomaly
         FROM 'readings/**/*.parquet' ORDER BY ALL",
        "SELECT COLUMNS(*)::VARCHAR FROM 'aggregates/**/*.parquet' ORDER BY ALL",
        "SELECT rule, device_id, metric, state, value FROM 'alerts/**/*.parquet' ORDER BY ALL",
    ]
    .map(|sql| lake::query(&site.lake(), sql))
}

fn check_books(site: &Site) {
    let mut command = site.millstream("queues");
    command.args(["--check", "--json"]);
    let told = Child::start(command).ended().well().json();
    assert_eq!(told["balance"]["balanced"], true, "{told}");
}

fn end(up: Child) {
    up.terminate();
    up.ended().well();
}

#[test]
fn a_lake_is_the_same_with_groups_and_without() {
    let lakes =
        ["", "groups: [[validate, transform]]\n", "groups: [[analyze, alert]]\n", GROUPED].map(|groups| {
            let site = site(groups);
            let up = site.up();
            site.replay(series(&site)).ended().well();
            site.wait_until_dry();
            check_books(&site);
            let books = site.queues()["books"].clone();
            end(up);
            (groups, rows(&site), books)
        });
    let [(_, plain, books), grouped @ ..] = lakes;
    assert_eq!(plain[0].len(), 3 * 2000 * 2);
    assert!(plain[1].len() > 1000 && plain[2].len() > 100, "{} {}", plain[1].len(), plain[2].len());
    for (groups, rows, its_books) in grouped {
        for (rows, plain) in rows.iter().zip(&plain) {
            assert!(rows == plain, "{groups}: other rows");
        }
        for stage in ["validate", "transform", "analyze", "alert", "store"] {
            assert_eq!(its_books[stage], books[stage], "{groups}: {stage}");
        }
    }
}

#[test]
fn groups_come_and_go_while_rows_wait_in_the_queues_within() {
    let site = site("");
    let before = site.run(&["ingest", "validate"]);
    let fleet =
        site.fleet(["--devices", "20", "--rate", "2000", "--messages", "2000", "--faults", "default"]);
    fleet.ended().well();
    wait_for(&site, "transform");
    end(before);
    // What waits within the hop comes first, or its rows would be late.
    site.configure(&topology("groups: [[validate, transform]]\n"));
    let middle = site.run(&["validate", "transform", "analyze"]);
    until("the queue within the hop is dry", || site.queues()["queues"]["transform"]["frames"] == 0);
    wait_for(&site, "alert");
    middle.kill();
    site.configure(&topology(GROUPED));
    let up = site.up();
    site.wait_until_dry();
    check_books(&site);
    up.kill();
    site.configure(&topology(""));
    let up = site.up();
    check_books(&site);
    end(up);
    let books = site.verify();
    assert_eq!((&books["missing"], &books["duplicated"]), (&0.into(), &0.into()), "{books}");
}

fn wait_for(site: &Site, queue: &str) {
    until(&format!("rows wait for {queue}"), || site.queues()["queues"][queue]["frames"] != 0);
}

#[test]
fn no_kill_costs_or_repeats_a_row_of_a_hop() {
    let site = site(GROUPED);
    let mut up = site.up();
    let load = ["--devices", "50", "--rate", "1500", "--messages", "6000", "--faults", "default"];
    let fleet = site.fleet(load);
    // Each life with or without groups goes on where the one before was.
    for (life, groups) in [GROUPED, "", "groups: [[analyze, alert]]\n", GROUPED].into_iter().enumerate() {
        let rows = 800 * (life as u64 + 1);
        until(&format!("alert has consumed {rows} rows"), || {
            site.queues()["books"]["alert"]["consumed"].as_u64().is_some_and(|consumed| consumed >= rows)
        });
        up.kill();
        site.configure(&topology(groups));
        up = site.up();
    }
    let report = fleet.ended().well().json();
    assert_eq!(report["published"], report["acknowledged"]);
    site.wait_until_dry();
    check_books(&site);
    end(up);
    let books = site.verify();
    assert_eq!(books["acknowledged"], report["acknowledged"]);
    assert_ne!(books["quarantined"], 0, "the faults of the fleet");
}

#[test]
fn a_part_of_a_group_is_not_run_alone() {
    let site = site(GROUPED);
    let mut run = site.millstream("run");
    run.args(["ingest", "validate"]);
    let said = Child::start(run).ended().with(1).err.join("\n");
    assert!(said.contains("runs validate and transform as one hop: run transform, too"), "{said}");
    end(site.run(&["analyze", "alert", "store"]));
}
