//! kill -9: the tested way to stop.

use std::{fs, path::PathBuf, thread::sleep, time::Duration};

use tests::{Child, Site, lake, until};

use crate::RESTLESS;

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

/// Devices that saw no acknowledgement send again what is already durable.
#[test]
fn what_is_sent_again_after_a_lost_acknowledgement_makes_no_second_row() {
    for (qos, moment) in [("1", "puback_before"), ("2", "pubrec_before"), ("2", "pubcomp_before")] {
        for mqtt in ["5", "3.1.1"] {
            let site = Site::new(RESTLESS);
            let mut armed = site.armed("up", &format!("{moment}:500:kill"));
            armed.arg("--listen").arg(site.address().to_string());
            let mut up = Child::start(armed);
            up.says("listening on mqtt://");
            let load = ["--rate", "1000", "--messages", "2000", "--devices", "50", "--faults", "default"];
            let fleet = site.fleet(load.into_iter().chain(["--qos", qos, "--mqtt", mqtt]));
            until("it dies between what is durable and its acknowledgement", || !up.is_running());
            let up = site.up();
            let report = fleet.ended().well().json();
            // What has seen its PUBREC is not sent again, only released.
            assert!(moment == "pubcomp_before" || report["resent"] != 0, "{report}");
            up.terminate();
            up.ended().well();
            assert_eq!(site.verify()["acknowledged"], report["published"], "{moment}, MQTT {mqtt}");
        }
    }
}
