//! What is spoken on a connection below MQTT, as URLs say it.

use std::fmt;

/// The scheme of a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// MQTT on TCP.
    Mqtt,
    /// MQTT by TLS.
    Mqtts,
    /// MQTT in a WebSocket.
    Ws,
    /// MQTT in a WebSocket by TLS.
    Wss,
}

impl Scheme {
    /// Whether nobody on the way can read what is said.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Mqtts | Self::Wss)
    }

    pub(super) fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }

    /// The key of the listener's config that opens a door for it.
    pub fn key(self) -> &'static str {
        match self {
            Self::Mqtt => "listen",
            Self::Mqtts => "listen_tls",
            Self::Ws => "listen_websocket",
            Self::Wss => "listen_websocket_tls",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mqtt => "mqtt",
            Self::Mqtts => "mqtts",
            Self::Ws => "ws",
            Self::Wss => "wss",
        })
    }
}
