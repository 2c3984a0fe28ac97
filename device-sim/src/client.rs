//! An MQTT client that only publishes, and never forgets what was not acknowledged.

pub(crate) mod codec;
pub(crate) mod link;
pub(crate) mod session;

use std::{fmt, str::FromStr};

use clap::ValueEnum;

/// The keep-alive that clients ask for.
pub(crate) const KEEP_ALIVE_SECS: u16 = 60;
const DEFAULT_PORT: u16 = 1883;

/// The protocol version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mqtt {
    /// MQTT 3.1.1.
    #[value(name = "3.1.1")]
    V3_1_1,
    /// MQTT 5.0.
    #[value(name = "5", alias = "5.0")]
    V5,
}

/// The quality of service of every publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Qos {
    /// Nothing is acknowledged, and nothing is promised.
    #[value(name = "0")]
    AtMostOnce,
    /// Acknowledged by PUBACK.
    #[value(name = "1")]
    AtLeastOnce,
    /// Acknowledged by PUBREC.
    #[value(name = "2")]
    ExactlyOnce,
}

/// Where to publish, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The broker.
    pub broker: Address,
    /// The protocol version.
    pub mqtt: Mqtt,
    /// The quality of service.
    pub qos: Qos,
    /// Connections, at least 1. A device stays on one of them.
    pub connections: u16,
    /// Publishes that a connection keeps unacknowledged, at least 1. The server's Receive Maximum lowers it.
    pub inflight: u16,
    /// Client identifiers are this, `-`, and the number of the connection.
    pub client_prefix: String,
}

/// A broker's address: `mqtt://[user[:password]@]host[:port]`, port 1883 by default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
    credentials: Option<(String, String)>,
}

impl Address {
    /// The address of a broker without credentials. An IPv6 address goes without brackets.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port, credentials: None }
    }

    pub(crate) fn credentials(&self) -> Option<(&str, &str)> {
        self.credentials.as_ref().map(|(user, password)| (user.as_str(), password.as_str()))
    }
}

/// Without credentials: it is made for messages.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "mqtt://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "mqtt://{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rest = match text.split_once("://") {
            Some(("mqtt" | "tcp", rest)) => rest,
            Some(("mqtts" | "ssl", _)) => {
                return Err("device-sim does not speak TLS: use the broker's mqtt:// port".into());
            }
            Some((scheme, _)) => return Err(format!("unknown scheme {scheme:?}: use mqtt://host:port")),
            None => text,
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (credentials, place) = match rest.rsplit_once('@') {
            Some((user, place)) => (Some(user.split_once(':').unwrap_or((user, ""))), place),
            None => (None, rest),
        };
        let (host, port) = split_port(place)?;
        if host.is_empty() {
            return Err("no host: use mqtt://host:port".into());
        }
        let credentials = credentials.map(|(user, password)| (user.to_owned(), password.to_owned()));
        Ok(Self { host: host.to_owned(), port, credentials })
    }
}

fn split_port(place: &str) -> Result<(&str, u16), String> {
    let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        Some(port) => match port.parse() {
            Ok(port) if port > 0 => port,
            _ => return Err(format!("port {port:?} is not a number from 1 to 65535")),
        },
        None => DEFAULT_PORT,
    };
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn addresses_are_read() {
        for (text, shown, credentials) in [
            ("mqtt://127.0.0.1:1884", "mqtt://127.0.0.1:1884", None),
            ("mqtt://broker.example", "mqtt://broker.example:1883", None),
            ("broker:99", "mqtt://broker:99", None),
            ("mqtt://[::1]:7", "mqtt://[::1]:7", None),
            ("mqtt://[::1]/", "mqtt://[::1]:1883", None),
            ("mqtt://me:p@ss:w@host", "mqtt://host:1883", Some(("me", "p@ss:w"))),
            ("mqtt://me@host", "mqtt://host:1883", Some(("me", ""))),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), shown, "{text}");
            assert_eq!(address.credentials(), credentials, "{text}");
        }
    }

    #[test]
    fn wrong_addresses_say_what_to_write() {
        for (text, part) in [
            ("mqtts://host", "mqtt://"),
            ("http://host", "unknown scheme \"http\""),
            ("mqtt://", "no host"),
            ("mqtt://host:0", "port \"0\""),
            ("mqtt://host:no", "port \"no\""),
        ] {
            let error = text.parse::<Address>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
