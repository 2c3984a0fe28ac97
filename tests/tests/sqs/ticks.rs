//! Silence is noticed, and never told ahead of what still waits.

use std::{thread::sleep, time::Duration};

use chrono::{SecondsFormat, Utc};
use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use serde_json::{Value, json};
use tests::{Child, Ministack, PATIENCE, Site, lake, until};

/// How far time stays behind: little, as tests have no patience, but more than a lease.
const QUEUES: &str = "queues: { engine: sqs, lease_secs: 5, sqs: { tick_hold_secs: 6, endpoint: ";

/// A device is missed after a time that is longer than a busy machine takes a breath.
const SILENCE: &str = "
lanes: 2
ingest: { linger_ms: 200 }
analyze: { tick_secs: 1, tick_grace_secs: 0, window_secs: 2, allowed_lateness_secs: 2 }
alert: { rules: [{ name: silent, absent_secs: 12 }] }
store: { age_secs: 1, age_secs_max: 1 }
";

/// Longer than a device may be silent, and what time stays behind.
const NIGHT: Duration = Duration::from_secs(22);

/// Two processes tell time.
const APART: [&[&str]; 6] =
    [&["ingest"], &["validate"], &["transform"], &["analyze", "alert"], &["analyze", "alert"], &["store"]];

fn site(services: &Ministack) -> Site {
    let site = Site::on_aws(services, SILENCE);
    site.configure(&format!("{QUEUES}'{}' }} }}\n{SILENCE}", services.endpoint()));
    site
}

fn start(site: &Site, processes: &[&[&str]]) -> Vec<Child> {
    match processes {
        [] => vec![site.up()],
        processes => processes.iter().map(|stages| site.run(stages)).collect(),
    }
}

/// Devices that send all the time.
fn fleet(site: &Site, secs: u32) -> Child {
    site.fleet(["--devices", "5", "--rate", "5", "--seconds", &secs.to_string()])
}

/// A device sends one reading, which is acknowledged, and nothing more.
fn say(site: &Site, device: &str) {
    let mut options = MqttOptions::new(device, site.address().ip().to_string(), site.address().port());
    options.set_keep_alive(Duration::from_secs(30));
    let (client, mut connection) = Client::new(options, 1);
    let at = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
    let message = json!({"device_id": device, "ts": at, "seq": 1, "metrics": {"temperature": 21.5}});
    let topic = format!("devices/{device}/telemetry");
    client.publish(topic, QoS::AtLeastOnce, false, message.to_string()).unwrap();
    until("it is acknowledged", || {
        let event = connection.recv_timeout(PATIENCE).expect("in time").expect("connected");
        matches!(event, Event::Incoming(Packet::PubAck(_)))
    });
    client.disconnect().unwrap();
}

/// A column of what the lake has; nothing while it has no such dataset.
fn texts(site: &Site, dataset: &str, sql: &str) -> Vec<Value> {
    if !site.lake().join(dataset).exists() {
        return Vec::new();
    }
    lake::query(&site.lake(), sql).into_iter().map(|mut row| row["device_id"].take()).collect()
}

/// The devices that are missed, one for each time.
fn missed(site: &Site) -> Vec<Value> {
    let sql = "SELECT device_id FROM 'alerts/**/*.parquet' WHERE state = 'firing' ORDER BY ALL";
    texts(site, "alerts", sql)
}

/// Waits until `silent` are missed and their windows are closed; nobody else may be missed.
fn until_missed(site: &Site, silent: &[&str]) {
    until("silent devices are missed", || {
        let missed = missed(site);
        assert!(missed.iter().all(|device| silent.iter().any(|silent| device == silent)), "{missed:?}");
        missed.len() == silent.len()
    });
    let sql = "SELECT DISTINCT device_id FROM 'aggregates/**/*.parquet'";
    until("their windows are closed", || {
        let closed = texts(site, "aggregates", sql);
        silent.iter().all(|silent| closed.iter().any(|device| device == silent))
    });
}

#[test]
fn sqs_a_silent_device_is_missed_while_others_send() {
    for processes in [&[][..], &APART] {
        let services = Ministack::start();
        let site = site(&services);
        let _running = start(&site, processes);
        let mut fleet = fleet(&site, 300);
        say(&site, "quiet");
        until_missed(&site, &["quiet"]);
        assert!(fleet.is_running());
    }
}

#[test]
fn sqs_silent_devices_are_missed_when_nobody_sends() {
    for processes in [&[][..], &APART] {
        let services = Ministack::start();
        let site = site(&services);
        let _running = start(&site, processes);
        say(&site, "quiet");
        say(&site, "still");
        until_missed(&site, &["quiet", "still"]);
    }
}

/// Nobody validates for longer than a device may be silent; `night` comes back with who does then.
fn check_night(night: impl FnOnce(&Site, Child) -> Child) -> Site {
    let services = Ministack::start();
    let site = site(&services);
    let mut running = start(&site, &APART);
    let fleet = fleet(&site, 50);
    say(&site, "quiet");
    until("readings are in the lake", || site.lake().join("readings").exists());
    let validate = running.remove(1);
    running.push(night(&site, validate));
    until_missed(&site, &["quiet"]);
    fleet.ended().well();
    site.wait_until_dry();
    running.iter().for_each(Child::terminate);
    running.into_iter().for_each(|process| drop(process.ended().well()));
    assert_eq!(missed(&site), ["quiet"]);
    site
}

#[test]
fn sqs_time_waits_for_a_validate_that_does_not_run() {
    let site = check_night(|site, validate| {
        validate.terminate();
        validate.ended().well();
        sleep(NIGHT);
        site.run(&["validate"])
    });
    let late = lake::query(&site.lake(), "SELECT count(*) AS n FROM 'readings/**/*.parquet' WHERE late");
    assert_eq!(late, [json!({"n": 0})]);
}

#[test]
fn sqs_time_waits_for_a_validate_that_sleeps() {
    check_night(|_, mut validate| {
        assert!(validate.stop());
        sleep(NIGHT);
        validate.go_on();
        validate
    });
}
