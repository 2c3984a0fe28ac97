//! The way back from the quarantine, where publishing and remembering are two steps.

use std::fs;

use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use serde_json::{Value, json};
use tests::{Child, PATIENCE, lake};

use crate::place::{Place, end};

const STORE: &str = "age_secs: 1, age_secs_max: 1";
/// Rows are told apart by nothing: what came twice would be there twice.
const REST: &str = "
topics:
  - pattern: devices/{device}
    schema: state.json
    transform: { preset: device_sim, device: { capture: device } }
analyze: { dedupe_secs: 0 }
";

/// Only whole degrees; then all numbers.
const FIRST: &str = r#"{"properties": {"metrics": {"additionalProperties": {"type": "integer"}}}}"#;
const SECOND: &str = r#"{"properties": {"metrics": {"additionalProperties": {"type": "number"}}}}"#;

const MESSAGES: usize = 600;

/// A quarantine of so many messages that would pass now.
fn refused(place: &Place) {
    fs::write(place.site.path("state.json"), FIRST).unwrap();
    place.configure(STORE, REST);
    let (up, address) = (place.up(), place.site.address());
    let mut options = MqttOptions::new("odd", address.ip().to_string(), address.port());
    options.set_keep_alive(std::time::Duration::from_secs(30));
    let (client, mut connection) = Client::new(options, MESSAGES);
    for seq in 0..MESSAGES {
        let payload = json!({ "ts": "2026-01-01T00:00:00Z", "seq": seq, "metrics": { "t": 20.5 } });
        let topic = format!("devices/pump-{}", seq % 7);
        client.publish(topic, QoS::AtLeastOnce, false, payload.to_string()).unwrap();
    }
    let mut acknowledged = 0;
    while acknowledged < MESSAGES {
        let event = connection.recv_timeout(PATIENCE).expect("in time").expect("connected");
        acknowledged += usize::from(matches!(event, Event::Incoming(Packet::PubAck(_))));
    }
    client.disconnect().unwrap();
    place.site.wait_until_dry();
    end(up);
    fs::write(place.site.path("state.json"), SECOND).unwrap();
}

fn list(place: &Place) -> Value {
    place.ask(&["quarantine", "list"])
}

fn killed_in_the_midst(place: &Place) {
    refused(place);
    assert_eq!(list(place)["rows"], MESSAGES);
    assert_eq!(place.ask(&["quarantine", "replay", "--dry-run"])["replayed"], MESSAGES);
    assert_eq!(list(place)["replayed"], 0, "a dry run changes nothing");
    for moment in ["replay_claimed:2:kill", "replay_published:3:kill"] {
        let arguments = ["quarantine", "replay", "--rate", "300"];
        let mut command = place.command("millstream-failpoints", &arguments);
        command.env("MILLSTREAM_FAIL_POINT", moment);
        assert_eq!(Child::start(command).ended().code, None, "{moment}");
    }
    let claimed = list(place)["replayed"].as_u64().unwrap();
    assert!((2..MESSAGES as u64).contains(&claimed), "{claimed}");
    // Two at once share the rest.
    let both = [(); 2].map(|()| {
        let arguments = ["quarantine", "replay", "--rate", "0", "--json"];
        Child::start(place.command("millstream", &arguments))
    });
    let both = both.map(|replay| replay.ended().well().json());
    let of = |key: &str| both.iter().map(|told| told[key].as_u64().unwrap()).sum::<u64>();
    assert_eq!(of("replayed"), MESSAGES as u64 - claimed, "{both:?}");
    assert!(of("finished") > 0, "{both:?}");
    let none = place.ask(&["quarantine", "replay"]);
    assert_eq!(
        [&none["replayed"], &none["finished"], &none["replayed_before"]],
        [&json!(0), &json!(0), &json!(MESSAGES)]
    );
    let up = place.up();
    place.site.wait_until_dry();
    end(up);
    let sql = "SELECT count(*) AS rows, count(DISTINCT message) AS messages FROM 'readings/**/*.parquet'";
    let read = lake::query(&place.lake(), sql);
    assert_eq!((&read[0]["rows"], &read[0]["messages"]), (&json!(MESSAGES), &json!(MESSAGES)));
    let books = place.site.queues()["books"].take();
    assert_eq!(books["replay"]["consumed"], MESSAGES);
    assert_eq!(books["analyze"]["consumed"], MESSAGES, "each once, whoever published it twice: {books}");
}

#[test]
fn sqs_a_replay_that_is_killed_brings_each_message_back_once() {
    killed_in_the_midst(&Place::in_directory());
}

#[test]
fn sqs_a_replay_from_an_object_store_that_is_killed_brings_each_message_back_once() {
    killed_in_the_midst(&Place::in_objects());
}
