//! Messages that come over a broker: Debian's Mosquitto, started by the tests.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod certificates;
mod ending;
mod messages;
mod order;
mod refusing;
mod sharing;
mod ways;

use std::{fs, path::PathBuf};

use tests::{Child, Mosquitto, Site, lake, until};

/// How many readings [`series`] has.
const READINGS: u64 = 3 * 2000 * 2;

/// A topology that subscribes at `broker`, with more keys of the subscriber as a flow mapping.
fn topology(broker: &str, subscriber: &str) -> String {
    format!(
        "ingest: {{ subscriber: {{ broker: '{broker}', reconnect_secs_max: 1, {subscriber} }} }}\n\
         analyze: {{ dedupe_secs: 1576800000 }}\n\
         store: {{ age_secs: 1, age_secs_max: 1 }}\n"
    )
}

/// `millstream up`, once it has subscribed.
fn up(site: &Site) -> Child {
    let up = Child::start(site.millstream("up"));
    up.says("subscribed to ");
    up
}

/// Another process of the site that only takes messages, once it has subscribed.
fn another(site: &Site, worker: &str) -> Child {
    let mut command = site.millstream("run");
    command.args(["ingest", "--worker", worker]);
    let run = Child::start(command);
    run.says("subscribed to ");
    run
}

/// Three series of a row per second, with values that need all their digits.
fn series(site: &Site) -> Vec<PathBuf> {
    let series = ["north", "south", "west"].map(|device| {
        let rows = (0..2000_u32).map(|row| {
            let (hour, minute, second) = (row / 3600, row / 60 % 60, row % 60);
            let (level, flow) = (f64::from(row).sqrt(), f64::from(row) / 7.0);
            format!("2024-03-01 {hour:02}:{minute:02}:{second:02},{level},{flow}\n")
        });
        let path = site.path(&format!("{device}.csv"));
        fs::write(&path, "time,level,flow\n".to_owned() + &rows.collect::<String>()).unwrap();
        path
    });
    series.into()
}

/// The pace of [`series`] at which it takes longer than some restarts, also on a busy machine.
const PACE: [&str; 2] = ["--speed", "100"];

/// `device-sim replay` of [`series`] at [`PACE`].
fn paced_replay(broker: &Mosquitto, series: &[PathBuf]) -> Child {
    broker.replay(series.iter().map(|path| path.as_os_str()).chain(PACE.map(AsRef::as_ref)))
}

/// How many readings analyze has let through.
fn readings(site: &Site) -> u64 {
    site.queues()["books"]["analyze"]["consumed"].as_u64().unwrap_or_default()
}

/// Waits for all readings, stops what runs, and asserts that the lake has each of them once.
fn holds_exactly(site: &Site, series: &[PathBuf], running: impl IntoIterator<Item = Child>) {
    until("the readings come", || readings(site) >= READINGS);
    for child in running {
        child.terminate();
        child.ended().well();
    }
    assert_eq!(lake::holds_exactly(&site.lake(), series), READINGS);
}
