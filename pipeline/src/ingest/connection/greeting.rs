//! From the first byte to the CONNACK.

use std::{io, net::SocketAddr};

use mqtt_protocol_core::mqtt::{
    Version,
    connection::Sendable,
    packet::{Packet, v3_1_1, v5_0},
    result_code::{ConnectReasonCode, ConnectReturnCode, MqttError},
    role::Server,
};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use super::{end::End, packets::is_topic_name};
use crate::ingest::{
    Phase,
    hello::{Hello, Login, Refusal},
    listener::Shared,
    sessions::{BeginError, Session},
    wire::{Read, Wire},
};

/// Waits for the CONNECT and answers it; none when the client was not let in.
pub(super) async fn greet(
    wire: &mut Wire,
    shared: &Shared,
    peer: SocketAddr,
    phase: &mut watch::Receiver<Phase>,
) -> Option<(Hello, Session)> {
    // The log-in included: nobody keeps a place among the connections by waiting for it.
    let deadline = Instant::now() + shared.options.connect_timeout;
    let first = tokio::select! {
        first = timeout_at(deadline, first_packet(wire)) => first.ok()?,
        _ = phase.wait_for(|phase| !matches!(phase, Phase::Serving)) => return None,
    };
    let refused = match first {
        Ok(Packet::V3_1_1Connect(connect)) => {
            let login = Login { user: connect.user_name(), password: connect.password() };
            let admitted = admit(shared, wire, &login, peer, deadline, phase).await?;
            return greet_v3(wire, shared, &connect, admitted).await;
        }
        Ok(Packet::V5_0Connect(connect)) => {
            let login = Login { user: connect.user_name(), password: connect.password() };
            let admitted = admit(shared, wire, &login, peer, deadline, phase).await?;
            return greet_v5(wire, shared, &connect, admitted).await;
        }
        // The state machine takes nothing else first.
        Ok(_) => "the first packet is no CONNECT".to_owned(),
        Err(End::Broken(MqttError::UnsupportedProtocolVersion)) => {
            let code = ConnectReturnCode::UnacceptableProtocolVersion;
            if let Ok(refusal) = v3_1_1::Connack::builder().session_present(false).return_code(code).build() {
                wire.send_raw(&refusal.to_continuous_buffer());
            }
            "it speaks neither MQTT 3.1.1 nor 5.0".to_owned()
        }
        Err(End::Broken(error)) => {
            correct(wire, error);
            error.to_string()
        }
        // A handshake that failed, of TLS or of a WebSocket.
        Err(End::Lost(Some(error))) if error.kind() == io::ErrorKind::InvalidData => error.to_string(),
        Err(_) => return None,
    };
    if shared.complains(&format!("{} {refused}", peer.ip()), "connect") {
        tracing::warn!(%peer, "refused a connection: {refused}");
    }
    None
}

/// The state machine answers a malformed CONNECT as if nobody were let in (3.1.1), or without saying what is
/// wrong (5.0). Nothing of that has been written yet.
fn correct(wire: &mut Wire, error: MqttError) {
    let code = match error {
        MqttError::MalformedPacket => ConnectReasonCode::MalformedPacket,
        MqttError::ProtocolError => ConnectReasonCode::ProtocolError,
        _ => return,
    };
    wire.unsay();
    if wire.version() == Version::V5_0
        && let Ok(refusal) = v5_0::Connack::builder().session_present(false).reason_code(code).build()
    {
        wire.send_raw(&refusal.to_continuous_buffer());
    }
}

/// Checks who it is; none when that does not matter any more. A refused log-in is said once for each client and reason.
async fn admit(
    shared: &Shared,
    wire: &Wire,
    login: &Login<'_>,
    peer: SocketAddr,
    deadline: Instant,
    phase: &mut watch::Receiver<Phase>,
) -> Option<Result<(), Refusal>> {
    let admitted = tokio::select! {
        checked = timeout_at(deadline, login.check(shared, wire.is_certified())) => match checked {
            Ok(admitted) => admitted,
            Err(_) => {
                if shared.complains("", "slow log-in") {
                    tracing::warn!(%peer, "a log-in was not checked within connect_secs: too many come at once");
                }
                return None;
            }
        },
        _ = phase.wait_for(|phase| !matches!(phase, Phase::Serving)) => return None,
    };
    if let Err(refusal) = admitted
        && shared.complains(&format!("{} {refusal}", peer.ip()), "login")
    {
        let user = login.user.unwrap_or_default();
        tracing::warn!(%peer, user, "refused a log-in: {refusal}");
    }
    Some(admitted)
}

async fn first_packet(wire: &mut Wire) -> Result<Packet, End> {
    loop {
        if let Some(packet) = wire.next()? {
            return Ok(packet);
        }
        // The handshakes of TLS and WebSockets have something to say before.
        wire.flush()?;
        let ready = wire.ready(true).await?;
        if ready.is_readable() && wire.read()? == Read::End {
            return Err(End::Lost(None));
        }
    }
}

async fn greet_v3(
    wire: &mut Wire,
    shared: &Shared,
    connect: &v3_1_1::Connect,
    admitted: Result<(), Refusal>,
) -> Option<(Hello, Session)> {
    let admitted = admitted.map_err(ConnectReturnCode::from);
    let greeted = match admitted.and_then(|()| Hello::of_v3(connect, &shared.options)) {
        // This version has no word for it: such a connection is just closed.
        Ok(hello) if !has_proper_will(&hello) => return None,
        Ok(hello) => begin(shared, hello).await.map_err(|_refused| ConnectReturnCode::ServerUnavailable),
        Err(code) => Err(code),
    };
    let connack = v3_1_1::Connack::builder();
    let (connack, welcomed) = match greeted {
        Ok((hello, session, present)) => (
            connack.session_present(present).return_code(ConnectReturnCode::Accepted),
            Some((hello, session)),
        ),
        Err(code) => (connack.session_present(false).return_code(code), None),
    };
    deliver(wire, connack.build(), welcomed).await
}

async fn greet_v5(
    wire: &mut Wire,
    shared: &Shared,
    connect: &v5_0::Connect,
    admitted: Result<(), Refusal>,
) -> Option<(Hello, Session)> {
    let admitted = admitted.map_err(ConnectReasonCode::from);
    let greeted = match admitted.and_then(|()| Hello::of_v5(connect, &shared.options)) {
        Ok(hello) if !has_proper_will(&hello) => Err(ConnectReasonCode::TopicNameInvalid),
        Ok(hello) => begin(shared, hello).await.map_err(|refused| match refused {
            BeginError::Full(_) => ConnectReasonCode::QuotaExceeded,
            BeginError::Database(_) => ConnectReasonCode::ServerUnavailable,
        }),
        Err(code) => Err(code),
    };
    let (connack, welcomed) = match greeted {
        Ok((hello, session, present)) => (hello.welcome_v5(present, &shared.options), Some((hello, session))),
        Err(code) => (v5_0::Connack::builder().session_present(false).reason_code(code).build(), None),
    };
    deliver(wire, connack, welcomed).await
}

/// Makes the CONNACK ready to be written. A client that takes none of its size is not let in, and its session ends.
async fn deliver(
    wire: &mut Wire,
    connack: Result<impl Sendable<Server, u16>, MqttError>,
    welcomed: Option<(Hello, Session)>,
) -> Option<(Hello, Session)> {
    match (connack.and_then(|connack| wire.send(connack)), welcomed) {
        (Ok(()), welcomed) => welcomed,
        (Err(_), Some((_, session))) => {
            session.end(None).await;
            None
        }
        (Err(_), None) => None,
    }
}

fn has_proper_will(hello: &Hello) -> bool {
    hello.will.as_ref().is_none_or(|will| is_topic_name(&will.topic))
}

/// Names the client if it has no name, and begins its session.
async fn begin(shared: &Shared, mut hello: Hello) -> Result<(Hello, Session, bool), BeginError> {
    if hello.anonymous {
        hello.client_id = format!("auto-{:x}", shared.packer.number());
    }
    let begun = shared.sessions.begin(&hello.client_id, hello.clean, hello.expiry_secs).await;
    match begun {
        Ok((session, present)) => Ok((hello, session, present)),
        Err(error) => {
            if shared.complains("", "session") {
                tracing::error!(client = hello.client_id, %error, "refused a client: cannot begin its session");
            }
            Err(error)
        }
    }
}
