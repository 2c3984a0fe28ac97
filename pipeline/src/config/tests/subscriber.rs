//! What the config says of a broker.

use super::*;
use crate::ingest::{MqttVersion, SubscriberOptions};

fn options(yaml: &str) -> SubscriberOptions {
    let folder = folder();
    read(folder.path(), yaml).unwrap().faces().unwrap().subscriber.unwrap()
}

#[test]
fn the_default_file_shows_every_key_of_it() {
    let lines = DEFAULT.lines().skip_while(|line| *line != "  # subscriber:").skip(1);
    let shown: String =
        lines.map_while(|line| line.strip_prefix("  #   ")).map(|line| format!("    {line}\n")).collect();
    let folder = folder();
    let of = |text: &str| {
        let config = read(folder.path(), &format!("ingest:\n  subscriber:\n{text}")).unwrap();
        config.topology().ingest.subscriber.clone().unwrap()
    };
    assert_eq!(of(&shown), SubscriberConfig::default());
    let all: String = shown
        .lines()
        .map(|line| line.replacen("    # ", "    ", usize::from(line.starts_with("    # "))) + "\n")
        .collect();
    assert_ne!(all, shown);
    let every = of(&all);
    let every = serde_json::to_value(every).unwrap();
    let keys = every.as_object().unwrap().keys();
    for key in keys {
        assert!(shown.contains(&format!(" {key}: ")), "default.yaml lacks {key}");
    }
    assert!(every["username"].is_string() && every["password"].is_object() && every["group"].is_string());
}

#[test]
fn who_subscribes_does_not_listen_unless_told_to() {
    let folder = folder();
    let listens = |yaml: &str| read(folder.path(), yaml).unwrap().faces().unwrap().listener.is_some();
    assert!(listens(""));
    assert!(!listens("ingest: {subscriber: {}}"));
    assert!(listens("ingest: {subscriber: {}, listener: {}}"));

    let mut config = read(folder.path(), "ingest: {subscriber: {}}").unwrap();
    let listen = Some("127.0.0.1:0".parse().unwrap());
    config.apply(Overrides { listen, ..Overrides::default() }).unwrap();
    assert!(config.faces().unwrap().listener.is_some());
}

#[test]
fn filters_come_from_the_patterns_unless_they_are_named() {
    let topics = "topics: [{pattern: 'a/{device}'}, {pattern: '{device}/b/#'}]";
    let with = |subscriber: &str| options(&format!("ingest: {{subscriber: {subscriber}}}\n{topics}")).filters;
    assert_eq!(with("{}"), ["a/+", "+/b/#"]);
    assert_eq!(with("{group: g}"), ["$share/g/a/+", "$share/g/+/b/#"]);
    assert_eq!(with("{topics: ['c/#']}"), ["c/#"]);
}

#[test]
fn every_process_and_connection_has_an_id_of_its_own() {
    let folder = folder();
    let yaml = "ingest: {subscriber: {client_id: 'm-{worker}', group: g, connections: 3}}";
    let mut config = read(folder.path(), yaml).unwrap();
    let ids = |config: &Config| config.faces().unwrap().subscriber.unwrap().client_ids;
    assert_eq!(ids(&config), ["m-1", "m-1-2", "m-1-3"]);
    config.apply(Overrides { worker: Some("b".into()), ..Overrides::default() }).unwrap();
    assert_eq!(ids(&config), ["m-b", "m-b-2", "m-b-3"]);

    let [id] = &options("ingest: {subscriber: {}}").client_ids[..] else { panic!("one connection") };
    assert!(id.starts_with("millstream-") && id.ends_with("-1") && !id.contains('{'), "{id}");
}

#[test]
fn the_version_is_a_number_or_a_text() {
    for (written, meant) in [("5", MqttVersion::V5), ("'3.1.1'", MqttVersion::V3_1_1)] {
        let options = options(&format!("ingest: {{subscriber: {{version: {written}}}}}"));
        assert_eq!(options.version, meant);
    }
    check(&[(
        "ingest:\n  subscriber: {version: 4}\n",
        &["2:25: ingest.subscriber.version: expected 3.1.1 or a whole number from 5 to 5, got 4"],
    )]);
}

#[test]
fn what_cannot_be_carried_out_is_told_with_the_way_out() {
    check(&[
        (
            "ingest:\n  subscriber: {broker: 'http://b'}\n",
            &[
                "2:24: ingest.subscriber.broker: \"http://b\" is no address of a broker: it must begin with mqtt://, mqtts://, ws:// or wss://",
            ],
        ),
        (
            "ingest:\n  subscriber:\n    qos: 2\n    topics: [a/b+, $share/g/a]\n    group: a/b\n",
            &[
                "3:10: ingest.subscriber.qos: 2 is not offered, since it cannot be taken up again after a lost connection; use 1: repeats are dropped by analyze",
                "4:14: ingest.subscriber.topics[0]: \"a/b+\" is no topic filter; `+` is a whole level, `#` the last",
                "4:20: ingest.subscriber.topics[1]: \"$share/g/a\" names a group, and group does, too; write the topic alone",
                "5:12: ingest.subscriber.group: \"a/b\" cannot name a group; leave out / + # and NUL",
            ],
        ),
        (
            "ingest:\n  subscriber: {connections: 2}\n",
            &["2:29: ingest.subscriber.connections: needs the key group, or each would get every message"],
        ),
        (
            "ingest:\n  subscriber:\n    password: {env: P}\n    broker: mqtts://b\n    tls: {cert_file: any.json}\n",
            &[
                "3:5: ingest.subscriber.password: needs the key username beside it",
                "5:5: ingest.subscriber.tls: needs both cert_file and key_file, or none of them",
            ],
        ),
        (
            "ingest:\n  subscriber:\n    broker: ws://b\n    tls: {ca_file: any.json}\n    packet_bytes_max: 9000000\n    reconnect_secs: 90\n    reconnect_secs_max: 80\n",
            &[
                "4:5: ingest.subscriber.tls: has no use, since ws://b is not encrypted; write mqtts:// or wss:// there, or leave it out",
                "5:23: ingest.subscriber.packet_bytes_max: 9000000 is more than queues.frame_bytes_max (8388608); a message must fit into a frame",
                "7:25: ingest.subscriber.reconnect_secs_max: 80 is less than reconnect_secs (90)",
            ],
        ),
    ]);
}

#[test]
fn what_is_not_on_this_machine_is_a_warning_until_it_is_needed() {
    let folder = folder();
    let yaml = "ingest:\n  subscriber:\n    broker: mqtts://b\n    username: u\n    password: {file: gone}\n    tls: {ca_file: gone.pem}\n";
    let config = read(folder.path(), yaml).unwrap();
    let warnings: Vec<_> = config.warnings().iter().map(ToString::to_string).collect();
    let [password, ca] = &warnings[..] else { panic!("{warnings:?}") };
    assert!(
        password.starts_with("m.yaml:5:5: ingest.subscriber.password: cannot read the secret in"),
        "{password}"
    );
    assert!(ca.starts_with("m.yaml:6:20: ingest.subscriber.tls.ca_file: cannot read"), "{ca}");
    let error = config.faces().unwrap_err().to_string();
    assert!(error.starts_with("cannot subscribe: cannot read the secret in"), "{error}");
}
