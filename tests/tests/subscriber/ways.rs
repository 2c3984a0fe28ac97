//! The ways to a broker: versions, WebSockets, encryption and who we are.

use std::{fs, process::Command};

use tests::{Child, Mosquitto, Site};

use crate::{certificates::certificates, holds_exactly, series, topology, up};

/// Everything goes over a broker with these settings and these keys of the subscriber; `broker` may be replayed to
/// on its first listener.
fn all_comes(broker: &mut Mosquitto, settings: &str, url: &str, subscriber: &str) {
    broker.configure(settings);
    broker.start();
    let site = Site::new(&topology(url, subscriber));
    let series = series(&site);
    let up = up(&site);
    broker.replay(&series).ended().well();
    holds_exactly(&site, &series, [up]);
}

#[test]
fn both_versions_with_and_without_a_group() {
    for version in ["5", "'3.1.1'"] {
        for group in ["group: shared", ""] {
            let mut broker = Mosquitto::new();
            let url = broker.url("mqtt");
            let subscriber = format!("version: {version}, {group}");
            all_comes(&mut broker, "allow_anonymous true\n", &url, &subscriber);
        }
    }
}

#[test]
fn a_websocket() {
    for version in ["5", "'3.1.1'"] {
        let mut broker = Mosquitto::new();
        let (ip, port) = (broker.address().ip(), broker.address().port() + 1);
        let settings = format!("allow_anonymous true\nlistener {port} {ip}\nprotocol websockets\n");
        let subscriber = format!("version: {version}");
        all_comes(&mut broker, &settings, &format!("ws://{ip}:{port}/mqtt"), &subscriber);
    }
}

/// An authority, the broker's certificate and ours, and a password; over TCP and over a WebSocket.
#[test]
fn encrypted_with_a_client_certificate_and_a_password() {
    for (scheme, version) in [("mqtts", "5"), ("mqtts", "'3.1.1'"), ("wss", "5")] {
        let mut broker = Mosquitto::new();
        let (ip, port) = (broker.address().ip(), broker.address().port() + 1);
        certificates(&broker, ip);
        let at = |name: &str| broker.path(name).display().to_string();
        fs::write(broker.path("password"), "sword fish\n").unwrap();
        let protocol = if scheme == "wss" { "protocol websockets\n" } else { "" };
        let settings = format!(
            "per_listener_settings true\nallow_anonymous true\n\
             listener {port} {ip}\n{protocol}allow_anonymous false\nrequire_certificate true\n\
             password_file {}\ncafile {}\ncertfile {}\nkeyfile {}\n",
            at("passwords"),
            at("ca.pem"),
            at("broker.pem"),
            at("broker.key"),
        );
        let mut passwd = Command::new("mosquitto_passwd");
        passwd.args(["-c", "-b"]).arg(broker.path("passwords")).args(["millstream", "sword fish"]);
        Child::start(passwd).ended().well();
        let subscriber = format!(
            "version: {version}, username: millstream, password: {{ file: '{}' }}, \
             tls: {{ ca_file: '{}', cert_file: '{}', key_file: '{}' }}",
            at("password"),
            at("ca.pem"),
            at("us.pem"),
            at("us.key"),
        );
        all_comes(&mut broker, &settings, &format!("{scheme}://{ip}:{port}"), &subscriber);
    }
}
