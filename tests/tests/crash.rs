//! kill -9, again and again, while messages flow: the tested way to stop.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

use std::{fs, path::PathBuf, thread::sleep, time::Duration};

use tests::{Child, Site, lake};

/// Rolls all the time, of several files each.
const RESTLESS: &str = "
analyze: { dedupe_secs: 1576800000 }
store: { partition: hour, rows_max: 1000, age_secs: 1, age_secs_max: 1 }
";

/// How long each process lives after it has come up: some die in their first moment.
const LIVES: [u64; 8] = [300, 0, 150, 450, 30, 600, 80, 250];

/// Kills `up` over and over while `sender` sends; returns the one that outlives it.
fn kill_meanwhile(site: &Site, mut up: Child, sender: &mut Child) -> Child {
    let mut kills = 0;
    for millis in LIVES {
        sleep(Duration::from_millis(millis));
        if !sender.is_running() {
            break;
        }
        up.kill();
        kills += 1;
        up = site.up();
    }
    assert!(kills >= 3, "the sender was done after {kills} kills");
    up
}

/// Series of a row per minute, with values that need all their digits.
fn long_series(site: &Site) -> Vec<PathBuf> {
    let series = ["north", "south", "west"].map(|device| {
        let rows = (0..8000_u32).map(|row| {
            let (day, hour, minute) = (1 + row / 1440, row / 60 % 24, row % 60);
            let (level, flow) = (f64::from(row).sqrt(), f64::from(row) / 7.0);
            format!("2024-03-{day:02} {hour:02}:{minute:02}:00,{level},{flow}\n")
        });
        let path = site.path(&format!("{device}.csv"));
        fs::write(&path, "time,level,flow\n".to_owned() + &rows.collect::<String>()).unwrap();
        path
    });
    series.into()
}

#[test]
fn a_replay_survives_every_kill() {
    let site = Site::new(RESTLESS);
    let series = long_series(&site);
    let up = site.up();
    let reader = lake::watch(&site.lake());
    reader.says("watching");
    // As fast as the recorded minutes allow, so that it lasts for some seconds on any machine.
    let paced = ["--speed".into(), "80000".into()];
    let mut replay = site.replay(series.iter().cloned().chain(paced));
    let up = kill_meanwhile(&site, up, &mut replay);
    replay.ended().well();
    up.terminate();
    up.ended().well();
    assert_eq!(lake::holds_exactly(&site.lake(), &series), 3 * 8000 * 2);
    reader.terminate();
    let read = reader.ended().well().json();
    assert_ne!(read["reads"], 0, "{read}");
}

#[test]
fn the_books_of_a_faulty_fleet_balance_after_every_kill() {
    let site = Site::new(RESTLESS);
    let up = site.up();
    let reader = lake::watch(&site.lake());
    reader.says("watching");
    let mut fleet = site.fleet(["--rate", "2000", "--seconds", "6", "--faults", "default"]);
    let up = kill_meanwhile(&site, up, &mut fleet);
    let report = fleet.ended().well().json();
    up.terminate();
    up.ended().well();
    let books = site.verify();
    assert_eq!(books["acknowledged"], report["acknowledged"]);
    assert_ne!(books["quarantined"], 0, "the faults of the fleet");
    assert_ne!(books["repeated"], 0, "the faults of the fleet");
    reader.terminate();
    reader.ended().well();
}
