//! MQTT clients that are not ours, as programs of their own.

use std::{env, net::SocketAddr, process::Command};

use crate::lake::python;

/// `mosquitto_pub`, which is to publish to `broker`.
///
/// # Panics
/// When it is not installed.
pub fn mosquitto_pub(broker: SocketAddr) -> Command {
    let paths = env::var_os("PATH").unwrap_or_default();
    let installed = env::split_paths(&paths).any(|path| path.join("mosquitto_pub").is_file());
    assert!(installed, "there is no mosquitto_pub: apt-get install mosquitto-clients, or run tests/run.sh");
    let mut command = Command::new("mosquitto_pub");
    command.arg("-h").arg(broker.ip().to_string()).arg("-p").arg(broker.port().to_string());
    command
}

/// A script around paho-mqtt, which is to publish to `broker`; its text says what else it wants to know.
///
/// # Panics
/// When Python's packages are not installed.
pub fn paho_publish(broker: SocketAddr) -> Command {
    let mut command = python("paho_publish.py");
    command.arg(broker.ip().to_string()).arg(broker.port().to_string());
    command
}
