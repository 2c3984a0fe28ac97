//! Where a broker is, as people write it.

use std::{fmt, str::FromStr};

use hyper::Uri;

use crate::ingest::Scheme;

/// What WebSocket brokers listen on where the URL says nothing else (AWS IoT Core, EMQX, HiveMQ; Mosquitto takes any).
const WEBSOCKET_PATH: &str = "/mqtt";

/// The address of a broker: `mqtt://`, `mqtts://`, `ws://` or `wss://`, a host, and what the defaults do not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    pub(super) scheme: Scheme,
    /// An IPv6 address is without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Empty unless it is a WebSocket.
    path: String,
}

impl Broker {
    /// The host and the port.
    pub fn address(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// Whether the connection is encrypted.
    pub fn is_tls(&self) -> bool {
        self.scheme.is_tls()
    }
}

impl FromStr for Broker {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = |why: &str| format!("{text:?} is no address of a broker: {why}");
        let uri: Uri = text.parse().map_err(|error| refused(&format!("{error}; write mqtt://host:1883")))?;
        let (scheme, port) = match uri.scheme_str() {
            Some("mqtt") => (Scheme::Mqtt, 1883),
            Some("mqtts") => (Scheme::Mqtts, 8883),
            Some("ws") => (Scheme::Ws, 80),
            Some("wss") => (Scheme::Wss, 443),
            _ => return Err(refused("it must begin with mqtt://, mqtts://, ws:// or wss://")),
        };
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(refused("user and password do not belong here; use the keys username and password"));
        }
        let host = uri.host().unwrap_or_default();
        let named = uri.authority().map_or("", |authority| authority.as_str());
        if uri.port_u16().is_none() && named != host {
            return Err(refused("its port is no number from 0 to 65535"));
        }
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() {
            return Err(refused("it names no host"));
        }
        let given = uri.path_and_query().map_or("", |path| path.as_str());
        let path = match scheme {
            Scheme::Mqtt | Scheme::Mqtts if matches!(given, "" | "/") => "",
            Scheme::Mqtt | Scheme::Mqtts => return Err(refused("only ws:// and wss:// have a path")),
            Scheme::Ws | Scheme::Wss if given == "/" && !text.ends_with('/') => WEBSOCKET_PATH,
            Scheme::Ws | Scheme::Wss if given.is_empty() => WEBSOCKET_PATH,
            Scheme::Ws | Scheme::Wss => given,
        };
        let port = uri.port_u16().unwrap_or(port);
        Ok(Self { scheme, host: host.to_owned(), port, path: path.to_owned() })
    }
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, host, port, path } = self;
        if host.contains(':') {
            write!(f, "{scheme}://[{host}]:{port}{path}")
        } else {
            write!(f, "{scheme}://{host}:{port}{path}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_the_usual() {
        for (written, meant) in [
            ("mqtt://localhost", "mqtt://localhost:1883"),
            ("mqtt://localhost/", "mqtt://localhost:1883"),
            ("mqtts://broker.example.com", "mqtts://broker.example.com:8883"),
            ("mqtts://[::1]:443", "mqtts://[::1]:443"),
            ("ws://10.0.0.1:8083", "ws://10.0.0.1:8083/mqtt"),
            ("wss://broker.example.com", "wss://broker.example.com:443/mqtt"),
            ("ws://localhost:9001/", "ws://localhost:9001/"),
            ("wss://localhost/ws?tenant=a", "wss://localhost:443/ws?tenant=a"),
        ] {
            assert_eq!(written.parse::<Broker>().unwrap().to_string(), meant);
        }
    }

    #[test]
    fn what_is_no_broker_is_refused_with_the_way_out() {
        for (written, said) in [
            ("localhost:1883", "begin with mqtt://"),
            ("localhost", "begin with mqtt://"),
            ("http://localhost", "begin with mqtt://"),
            ("", "mqtt://host:1883"),
            ("mqtt://", "mqtt://host:1883"),
            ("mqtt://localhost:port", "its port is no number"),
            ("mqtt://localhost:70000", "its port is no number"),
            ("mqtt://me:secret@localhost", "keys username and password"),
            ("mqtts://localhost/mqtt", "have a path"),
        ] {
            let error = written.parse::<Broker>().unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
