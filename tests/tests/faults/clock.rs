//! A clock that is put forwards and backwards while messages flow.

use tests::{Child, Console, Site, inject::WallClock};

use crate::{QUICK, accounts_for, fleet, flows};

/// Longer than any test: a fleet publishes until it is told to end.
const FLEET_SECS: u32 = 3600;

/// How a fleet ends that was told to: 128 and SIGTERM.
const TERMINATED: i32 = 143;

/// `up` by a clock that can be put, while a fleet publishes: at each of `jumps` for a while.
fn jumping(site: &Site, fleet: Child, jumps: &[&str]) {
    let clock = WallClock::new(site.path("offset"));
    let mut command = site.up_command();
    command.args(["--console", "127.0.0.1:0"]);
    clock.tells(&mut command);
    let up = Child::start(command);
    up.says("listening on mqtt://");
    let console = Console::of(&up);
    flows(&console);
    for offset in jumps {
        clock.jump(offset);
        let seen = console.metric("millstream_ingest_acknowledged_total");
        // About as many as come in a second and a half: a roll or two.
        tests::until("messages flow by the new time", || {
            console.metric("millstream_ingest_acknowledged_total") > seen + 400.0
        });
        assert_eq!(console.trouble("queues"), None);
    }
    fleet.terminate();
    accounts_for(site, &fleet.ended().with(TERMINATED));
    up.terminate();
    let ended = up.ended().well();
    assert_eq!(ended.said("panicked"), 0, "{ended:?}");
    for queue in site.queues()["queues"].as_object().unwrap().values() {
        assert_eq!(queue["dead"], 0, "{queue}");
    }
}

#[test]
fn a_clock_that_jumps_by_an_hour_loses_nothing_and_repeats_nothing() {
    let site = Site::new(QUICK);
    let fleet = fleet(&site, FLEET_SECS);
    jumping(&site, fleet, &["+1h", "+0", "-1h", "+0"]);
}

/// Ahead by more than `idle_secs`, devices are forgotten, and with them what they sent: these send nothing twice.
#[test]
fn a_clock_that_jumps_by_years_loses_nothing() {
    let site = Site::new(QUICK);
    let fleet = site.fleet(["--rate", "300", "--seconds", &FLEET_SECS.to_string()]);
    jumping(&site, fleet, &["+3y", "+0", "+10y", "+0"]);
}
