//! How a connection ends, and who is told.

use std::io;

use mqtt_protocol_core::mqtt::result_code::{DisconnectReasonCode, MqttError};

use super::Connection;

/// Why a connection ends.
#[derive(Debug)]
pub(super) enum End {
    /// The client said so; `will` tells whether it wants its will published all the same.
    Left { will: bool, expiry_secs: Option<u32> },
    /// The socket failed, or the client hung up without a word.
    Lost(Option<io::Error>),
    /// The client broke the protocol.
    Broken(MqttError),
    /// The client did what this endpoint does not take.
    Refused(DisconnectReasonCode),
    /// The client sent nothing for one and a half times its keep-alive.
    Silent,
    /// Another connection has the client's id now.
    TakenOver,
    /// This process stops serving.
    Stopping,
}

impl End {
    /// What a client of MQTT 5 is still to be told.
    pub(super) fn farewell(&self) -> Option<DisconnectReasonCode> {
        match self {
            Self::Left { .. } | Self::Lost(_) => None,
            // Where the state machine has said so already, it does not say it again.
            Self::Broken(error) => Some((*error).into()),
            Self::Refused(code) => Some(*code),
            Self::Silent => Some(DisconnectReasonCode::KeepAliveTimeout),
            Self::TakenOver => Some(DisconnectReasonCode::SessionTakenOver),
            Self::Stopping => Some(DisconnectReasonCode::ServerShuttingDown),
        }
    }

    /// Whether the client's will is published. Not when it is we who leave: its devices are well.
    pub(super) fn publishes_will(&self) -> bool {
        !matches!(self, Self::Left { will: false, .. } | Self::Stopping)
    }
}

impl From<MqttError> for End {
    fn from(error: MqttError) -> Self {
        Self::Broken(error)
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Lost(Some(error))
    }
}

impl Connection {
    /// Logs what somebody could do something about, once for each client.
    pub(super) fn report(&self, end: &End) {
        let (client, peer) = (self.hello.client_id.as_str(), self.peer);
        let (about, complaint) = match end {
            End::Left { .. } | End::TakenOver | End::Stopping | End::Lost(None) => return,
            End::Lost(Some(error)) if error.kind() == io::ErrorKind::InvalidData => {
                ("broken", error.to_string())
            }
            End::Lost(Some(error)) => return tracing::debug!(client, %peer, %error, "lost a connection"),
            End::Silent => {
                return tracing::debug!(client, %peer, "closed a connection that was silent for too long");
            }
            End::Broken(MqttError::PacketTooLarge) => {
                let max = self.shared.options.packet_bytes_max;
                ("size", format!("it sends a packet of more than packet_bytes_max = {max}"))
            }
            End::Refused(reason) => ("refused", format!("it broke MQTT: {reason}")),
            End::Broken(error) => ("broken", format!("it broke MQTT: {error}")),
        };
        if self.shared.complains(client, about) {
            tracing::warn!(client, %peer, "closed a connection: {complaint}");
        }
    }
}
