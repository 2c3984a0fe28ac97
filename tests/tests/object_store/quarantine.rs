//! The quarantine, read from an object store.

use std::time::Duration;

use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use serde_json::{Value, json};
use tests::{Child, PATIENCE};

use crate::place::{Place, end};

/// Publishes each message and waits until all are acknowledged.
fn send(place: &Place, payloads: &[String]) {
    let address = place.site.address();
    let mut options = MqttOptions::new("odd", address.ip().to_string(), address.port());
    options.set_keep_alive(Duration::from_secs(30));
    let (client, mut connection) = Client::new(options, payloads.len());
    for payload in payloads {
        client.publish("devices/pump/telemetry", QoS::AtLeastOnce, false, payload.as_bytes()).unwrap();
    }
    let mut acknowledged = 0;
    while acknowledged < payloads.len() {
        let event = connection.recv_timeout(PATIENCE).expect("in time").expect("connected");
        acknowledged += usize::from(matches!(event, Event::Incoming(Packet::PubAck(_))));
    }
    client.disconnect().unwrap();
}

fn ask(place: &Place, arguments: &[&str]) -> Value {
    let mut command = place.command("quarantine");
    // The site puts its own arguments first.
    let program = command.get_program().to_owned();
    let mut asked = std::process::Command::new(program);
    asked.arg("quarantine").args(arguments).arg("--json");
    asked
        .args(command.get_args().skip(1))
        .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command = asked;
    Child::start(command).ended().well().json()
}

#[test]
fn object_store_the_quarantine_is_listed_shown_and_replayed_from_it() {
    let place = Place::new();
    let up = place.up();
    for round in 0..3 {
        let refused: Vec<_> = (0..20).map(|number| format!("no JSON {round} {number}")).collect();
        send(&place, &refused);
        place.site.wait_until_dry();
    }
    let listed = ask(&place, &["list"]);
    assert_eq!(listed["rows"], 60, "{listed}");
    assert_eq!(listed["reason"]["top"], json!([{ "name": "validate: not_json", "rows": 60, "replayed": 0 }]));
    // From one merged file as from many, or where there are both.
    let died = Child::start(place.armed("compact", "log_merged:1:kill")).ended();
    assert_eq!(died.code, None);
    let plain = crate::rows::numbers(&place.lake().join("quarantine")).len();
    assert!((60..=120).contains(&plain), "{plain} rows for a reader that knows no log");
    assert_eq!(ask(&place, &["list"])["rows"], 60);
    crate::compaction::finish(&place);
    assert_eq!(ask(&place, &["list"])["rows"], 60);
    assert_eq!(ask(&place, &["list", "--until", "2020-01-01T00:00:00Z"])["rows"], 0);
    let replayed = ask(&place, &["replay", "--rate", "0"]);
    assert_eq!((&replayed["replayed"], &replayed["still_refused"]), (&json!(0), &json!(60)), "{replayed}");
    end(up);
}
