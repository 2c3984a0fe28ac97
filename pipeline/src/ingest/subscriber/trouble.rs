//! Why there is no subscription at the moment, and who is told.

use std::collections::HashSet;

use rumqttc::{ConnectReturnCode, mqttbytes, v5, v5::mqttbytes::v5 as v5_packets};

use super::Broker;

/// So many different troubles are told until it works again.
const TOLD_MAX: usize = 16;

/// Why a connection to a broker was not made, or ended. All of these may pass.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Trouble {
    #[error("{0}")]
    Failed(String),
    #[error("no answer within connect_secs")]
    Slow,
    #[error("it has hung up; if that goes on, look whether another client has the same client_id")]
    HungUp,
    #[error("it gives no sign of life")]
    Silent,
    #[error("it refuses the connection: {0}; check username, password and client certificate")]
    NotAuthorized(&'static str),
    #[error("it refuses the client_id; choose one that it allows")]
    ClientId,
    #[error("it does not speak this version of MQTT; set version: \"3.1.1\"")]
    Version,
    #[error("it refuses the connection: {0}")]
    Refused(String),
    #[error(
        "another client has come with the same client_id; give each process its own by --worker, \
         or by the key client_id"
    )]
    TakenOver,
    #[error("it sends a packet of {0} bytes, more than packet_bytes_max; allow more")]
    TooLarge(usize),
    #[error("it has sent {0} messages without waiting for their acknowledgement, which MQTT does not allow")]
    Flood(usize),
    #[error("it refuses the subscription to {filter}: {reason}")]
    Subscription { filter: String, reason: String },
    #[error(
        "it sends a message with QoS 2, which was not asked for; end the session that has been left under this client_id"
    )]
    ExactlyOnce,
}

impl From<rumqttc::ConnectionError> for Trouble {
    fn from(error: rumqttc::ConnectionError) -> Self {
        use rumqttc::{ConnectionError as E, StateError as S};
        match error {
            E::ConnectionRefused(code) => match code {
                ConnectReturnCode::BadUserNamePassword => Self::NotAuthorized("bad user name or password"),
                ConnectReturnCode::NotAuthorized => Self::NotAuthorized("not authorized"),
                ConnectReturnCode::BadClientId => Self::ClientId,
                code => Self::Refused(format!("{code:?}")),
            },
            E::MqttState(S::ConnectionAborted) => Self::HungUp,
            E::MqttState(S::AwaitPingResp) => Self::Silent,
            E::NetworkTimeout | E::FlushTimeout => Self::Slow,
            E::MqttState(S::Deserialization(mqttbytes::Error::Io(error))) => Self::Failed(error.to_string()),
            E::MqttState(S::Deserialization(mqttbytes::Error::PayloadSizeLimitExceeded(bytes))) => {
                Self::TooLarge(bytes)
            }
            E::MqttState(error) => Self::Failed(error.to_string()),
            E::Io(error) => Self::Failed(error.to_string()),
            error => Self::Failed(error.to_string()),
        }
    }
}

impl From<v5::ConnectionError> for Trouble {
    fn from(error: v5::ConnectionError) -> Self {
        use v5::{ConnectionError as E, StateError as S};
        use v5_packets::{ConnectReturnCode as Code, DisconnectReasonCode};
        match error {
            E::ConnectionRefused(code) | E::MqttState(S::ConnFail { reason: code }) => match code {
                Code::BadUserNamePassword => Self::NotAuthorized("bad user name or password"),
                Code::NotAuthorized => Self::NotAuthorized("not authorized"),
                Code::ClientIdentifierNotValid | Code::BadClientId => Self::ClientId,
                Code::UnsupportedProtocolVersion | Code::RefusedProtocolVersion => Self::Version,
                code => Self::Refused(format!("{code:?}")),
            },
            E::MqttState(S::ServerDisconnect {
                reason_code: DisconnectReasonCode::SessionTakenOver, ..
            }) => Self::TakenOver,
            E::MqttState(S::ConnectionAborted) => Self::HungUp,
            E::MqttState(S::AwaitPingResp) => Self::Silent,
            E::Timeout(_) => Self::Slow,
            E::MqttState(S::Deserialization(v5::mqttbytes::Error::Io(error))) => {
                Self::Failed(error.to_string())
            }
            E::MqttState(S::Deserialization(v5::mqttbytes::Error::PayloadSizeLimitExceeded {
                pkt_size,
                ..
            })) => Self::TooLarge(pkt_size),
            E::MqttState(error) => Self::Failed(error.to_string()),
            E::Io(error) => Self::Failed(error.to_string()),
            error => Self::Failed(error.to_string()),
        }
    }
}

/// Tells an operator what happens to one connection, each thing once.
#[derive(Debug)]
pub(super) struct Teller<'a> {
    broker: &'a Broker,
    client_id: &'a str,
    filters: String,
    told: HashSet<String>,
    /// Whether the next subscription is worth telling: the first one, and one after a trouble that was told.
    owes: bool,
}

impl<'a> Teller<'a> {
    pub(super) fn new(broker: &'a Broker, client_id: &'a str, filters: &[String]) -> Self {
        Self { broker, client_id, filters: filters.join(", "), told: HashSet::new(), owes: true }
    }

    pub(super) fn subscribed(&mut self) {
        if self.owes {
            let Self { broker, client_id, filters, .. } = self;
            tracing::info!("subscribed to {filters} on {broker} as {client_id}");
        }
        self.owes = false;
    }

    pub(super) fn trouble(&mut self, trouble: &Trouble) {
        if self.tells(trouble.to_string()) {
            let Self { broker, client_id, .. } = self;
            tracing::warn!(
                "no messages from {broker} for {client_id}: {trouble}; it is tried again until it works"
            );
            self.owes = true;
        }
    }

    /// The broker hands messages out without waiting for acknowledgements.
    pub(super) fn weakened(&mut self, filter: &str) {
        let text = format!("{filter} is granted with QoS 0");
        if self.tells(text) {
            let broker = self.broker;
            tracing::warn!("{broker} grants {filter} with QoS 0 only: a message may be lost on its way");
        }
    }

    /// The broker does not know a session that it was to keep.
    pub(super) fn forgotten(&self) {
        let Self { broker, client_id, .. } = self;
        tracing::warn!(
            "{broker} has forgotten the session of {client_id}: what was published meanwhile may be lost; \
             let it keep sessions for longer, also through its restarts"
        );
    }

    /// It has worked for long enough that the same trouble is news again.
    pub(super) fn recovered(&mut self) {
        self.told.clear();
    }

    fn tells(&mut self, text: String) -> bool {
        self.told.len() < TOLD_MAX && self.told.insert(text)
    }
}
