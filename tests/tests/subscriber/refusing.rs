//! What an operator is told when it cannot work.

use std::fs;

use tests::{Child, Mosquitto, Site};

use crate::{certificates::certificates, topology, up};

/// What `millstream up` says that has `text` in it; it goes on trying, and ends in order when told to.
fn said(url: &str, subscriber: &str, text: &str) -> String {
    let site = Site::new(&topology(url, subscriber));
    let up = Child::start(site.millstream("up"));
    let line = up.says(text);
    up.terminate();
    up.ended().well();
    line
}

#[test]
fn a_wrong_password_is_named() {
    for version in ["5", "'3.1.1'"] {
        let mut broker = Mosquitto::new();
        fs::write(broker.path("passwords"), "").unwrap();
        broker.configure(&format!("password_file {}\n", broker.path("passwords").display()));
        broker.start();
        let subscriber = format!("version: {version}, username: millstream");
        let line = said(&broker.url("mqtt"), &subscriber, "it is tried again until it works");
        assert!(line.contains("not authorized; check username, password"), "{line}");
    }
}

#[test]
fn a_filter_that_is_not_allowed_is_named() {
    let folders = fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    let mut plugins = folders.map(|folder| folder.join("mosquitto_dynamic_security.so"));
    let plugin = plugins.find(|path| path.is_file()).expect("a plugin of Debian's mosquitto");
    let rules = r#"{"defaultACLAccess": {"subscribe": false, "publishClientReceive": true},
        "clients": [], "roles": [], "groups": [{"groupname": "all", "roles": []}], "anonymousGroup": "all"}"#;
    for version in ["5", "'3.1.1'"] {
        let mut broker = Mosquitto::new();
        let file = broker.path("rules.json");
        fs::write(&file, rules).unwrap();
        broker.configure(&format!(
            "allow_anonymous true\nplugin {}\nplugin_opt_config_file {}\n",
            plugin.display(),
            file.display()
        ));
        broker.start();
        let subscriber = format!("version: {version}");
        let line = said(&broker.url("mqtt"), &subscriber, "it refuses the subscription");
        assert!(line.contains("the subscription to devices/+/telemetry: it "), "{line}");
    }
}

#[test]
fn a_broker_that_is_not_trusted_gets_nothing() {
    let mut broker = Mosquitto::new();
    certificates(&broker, [192, 0, 2, 1].into());
    let at = |name: &str| broker.path(name).display().to_string();
    let tls = format!(
        "allow_anonymous true\ncafile {}\ncertfile {}\nkeyfile {}\n",
        at("ca.pem"),
        at("broker.pem"),
        at("broker.key")
    );
    let (trusting, distrusting) = (format!("tls: {{ ca_file: '{}' }}", at("ca.pem")), at("us.pem"));
    broker.configure(&tls);
    broker.start();
    // The right authority, but a certificate for another address; then an authority that signed nothing.
    said(&broker.url("mqtts"), &trusting, "certificate not valid for name");
    said(&broker.url("mqtts"), &format!("tls: {{ ca_file: '{distrusting}' }}"), "invalid peer certificate");
}

#[test]
fn two_with_the_same_name_are_told() {
    let mut broker = Mosquitto::new();
    broker.start();
    let site = Site::new(&topology(&broker.url("mqtt"), ""));
    let first = up(&site);
    let mut command = site.millstream("run");
    command.arg("ingest");
    let second = Child::start(command);
    first.says("look whether another client has the same client_id");
    for running in [first, second] {
        running.terminate();
        running.ended().well();
    }
}

#[test]
fn a_certificate_that_cannot_be_read_ends_the_start() {
    let site = Site::new(&topology("mqtts://127.0.0.1", "tls: { ca_file: gone.pem }"));
    let ended = Child::start(site.millstream("up")).ended().with(1);
    let error = ended.err.last().unwrap();
    assert!(error.contains("cannot subscribe: cannot read certificates from"), "{error}");
    assert!(error.contains("gone.pem"), "{error}");
}
