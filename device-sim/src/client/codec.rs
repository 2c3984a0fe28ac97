//! Packets to bytes and back, for both protocol versions, by `mqtt-protocol-core`.

pub(crate) use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::{
    connection::{PacketBuildResult, PacketBuilder, RawPacket},
    packet::{FixedHeader, PacketType, Property, Qos as WireQos, SessionExpiryInterval, v3_1_1, v5_0},
    result_code::{ConnectReasonCode, ConnectReturnCode, DisconnectReasonCode, MqttError},
};

use super::{Mqtt, Qos, Target};

/// The largest packet that a server may send to a client that subscribes to nothing.
const RECEIVED_BYTES_MAX: u32 = 64 * 1024;
/// How long a server is asked to keep a session whose client is away.
const SESSION_EXPIRY_SECS: u32 = 24 * 60 * 60;

/// What the server said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// It serves us, under these limits.
    Accepted { session_present: bool, limits: Limits },
    /// It does not serve us; `again` where a later attempt may succeed.
    Refused { reason: String, again: bool },
    /// It settles a publish, or half of one.
    Ack { kind: Ack, id: u16, reason: u8 },
    /// It closes the connection.
    Disconnect { reason: String, taken_over: bool },
    /// Anything else that a client which only publishes can pass over.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ack {
    Puback,
    Pubrec,
    Pubcomp,
}

/// What a server allows on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Publishes that may be in flight.
    pub(crate) receive_maximum: u16,
    /// The largest packet it takes.
    pub(crate) packet_bytes_max: usize,
    /// After how long without a packet it drops us; 0 is never.
    pub(crate) keep_alive_secs: u16,
    /// The highest quality of service it takes.
    pub(crate) qos_max: u8,
}

impl Limits {
    pub(crate) const NONE: Self = Self {
        receive_maximum: u16::MAX,
        packet_bytes_max: usize::MAX,
        keep_alive_secs: super::KEEP_ALIVE_SECS,
        qos_max: 2,
    };

    fn of(properties: &[Property]) -> Self {
        let mut limits = Self::NONE;
        for property in properties {
            match property {
                Property::ReceiveMaximum(max) => limits.receive_maximum = max.val().max(1),
                Property::MaximumPacketSize(max) => limits.packet_bytes_max = max.val() as usize,
                Property::ServerKeepAlive(secs) => limits.keep_alive_secs = secs.val(),
                Property::MaximumQos(max) => limits.qos_max = max.val(),
                _ => {}
            }
        }
        limits
    }
}

/// The CONNECT packet of client `id`. `clean` discards what the server remembers of it.
pub(crate) fn connect(target: &Target, id: &str, clean: bool) -> Result<Vec<u8>, MqttError> {
    let credentials = target.broker.credentials();
    Ok(match target.mqtt {
        Mqtt::V3_1_1 => {
            let mut packet = v3_1_1::Connect::builder()
                .client_id(id)?
                .clean_session(clean)
                .keep_alive(super::KEEP_ALIVE_SECS);
            if let Some((user, password)) = credentials {
                packet = packet.user_name(user)?.password(password)?;
            }
            packet.build()?.to_continuous_buffer()
        }
        Mqtt::V5 => {
            let mut packet = v5_0::Connect::builder()
                .client_id(id)?
                .clean_start(clean)
                .keep_alive(super::KEEP_ALIVE_SECS)
                .props(vec![SessionExpiryInterval::new(SESSION_EXPIRY_SECS)?.into()]);
            if let Some((user, password)) = credentials {
                packet = packet.user_name(user)?.password(password)?;
            }
            packet.build()?.to_continuous_buffer()
        }
    })
}

/// A PUBLISH packet; `id` goes with QoS 1 and 2.
pub(crate) fn publish(
    mqtt: Mqtt,
    qos: Qos,
    id: u16,
    topic: &str,
    payload: &[u8],
) -> Result<Vec<u8>, MqttError> {
    let wire_qos = match qos {
        Qos::AtMostOnce => WireQos::AtMostOnce,
        Qos::AtLeastOnce => WireQos::AtLeastOnce,
        Qos::ExactlyOnce => WireQos::ExactlyOnce,
    };
    let id = (qos != Qos::AtMostOnce).then_some(id);
    Ok(match mqtt {
        Mqtt::V3_1_1 => v3_1_1::Publish::builder()
            .topic_name(topic)?
            .qos(wire_qos)
            .packet_id(id)
            .payload(payload)
            .build()?
            .to_continuous_buffer(),
        Mqtt::V5 => v5_0::Publish::builder()
            .topic_name(topic)?
            .qos(wire_qos)
            .packet_id(id)
            .payload(payload)
            .build()?
            .to_continuous_buffer(),
    })
}

/// Marks an encoded PUBLISH as sent before (MQTT 5.0, section 3.3.1.1: bit 3 of the first byte).
pub(crate) fn set_dup(publish: &mut [u8], dup: bool) {
    if let Some(first) = publish.first_mut() {
        *first = if dup { *first | 0x08 } else { *first & !0x08 };
    }
}

/// A PUBREL packet (MQTT 5.0, section 3.6): the same bytes in both versions where the reason is success.
pub(crate) fn pubrel(id: u16) -> [u8; 4] {
    let [high, low] = id.to_be_bytes();
    [FixedHeader::Pubrel.as_u8(), 2, high, low]
}

/// A PINGREQ packet: the same bytes in both versions.
pub(crate) fn pingreq() -> [u8; 2] {
    [FixedHeader::Pingreq.as_u8(), 0]
}

/// A DISCONNECT packet without a reason: the same bytes in both versions.
pub(crate) fn disconnect() -> [u8; 2] {
    [FixedHeader::Disconnect.as_u8(), 0]
}

/// A DISCONNECT packet that also ends the session, where the protocol has that: nothing stays with the server.
pub(crate) fn farewell(mqtt: Mqtt) -> Result<Vec<u8>, MqttError> {
    match mqtt {
        Mqtt::V3_1_1 => Ok(disconnect().to_vec()),
        Mqtt::V5 => {
            let expired = SessionExpiryInterval::new(0)?.into();
            let packet = v5_0::Disconnect::builder()
                .reason_code(DisconnectReasonCode::NormalDisconnection)
                .props(vec![expired])
                .build()?;
            Ok(packet.to_continuous_buffer())
        }
    }
}

/// Cuts a stream of bytes into packets.
pub(crate) struct Decoder {
    mqtt: Mqtt,
    builder: PacketBuilder,
}

impl Decoder {
    pub(crate) fn new(mqtt: Mqtt) -> Self {
        Self { mqtt, builder: PacketBuilder::with_maximum_packet_size(RECEIVED_BYTES_MAX) }
    }

    /// The next packet of `bytes`, `None` once they are used up.
    pub(crate) fn next(&mut self, bytes: &mut Cursor<&[u8]>) -> Result<Option<Incoming>, MqttError> {
        match self.builder.feed(bytes) {
            PacketBuildResult::Complete(packet) => decode(self.mqtt, &packet).map(Some),
            PacketBuildResult::Incomplete => Ok(None),
            PacketBuildResult::Error(error) => Err(error),
        }
    }
}

fn decode(mqtt: Mqtt, packet: &RawPacket) -> Result<Incoming, MqttError> {
    use PacketType::{Connack, Disconnect, Puback, Pubcomp, Pubrec};
    let Ok(kind) = PacketType::try_from(packet.packet_type()) else { return Ok(Incoming::Other) };
    let ack = |kind, id, reason: Option<u8>| Incoming::Ack { kind, id, reason: reason.unwrap_or(0) };
    Ok(match (kind, mqtt) {
        (Connack, Mqtt::V3_1_1) => accepted_v3(&packet.parse_exact(v3_1_1::Connack::parse)?),
        (Connack, Mqtt::V5) => accepted_v5(&packet.parse_exact(v5_0::Connack::parse)?),
        (Puback, Mqtt::V3_1_1) => {
            ack(Ack::Puback, packet.parse_exact(v3_1_1::Puback::parse)?.packet_id(), None)
        }
        (Puback, Mqtt::V5) => {
            let puback = packet.parse_exact(v5_0::Puback::parse)?;
            ack(Ack::Puback, puback.packet_id(), puback.reason_code().map(|code| code as u8))
        }
        (Pubrec, Mqtt::V3_1_1) => {
            ack(Ack::Pubrec, packet.parse_exact(v3_1_1::Pubrec::parse)?.packet_id(), None)
        }
        (Pubrec, Mqtt::V5) => {
            let pubrec = packet.parse_exact(v5_0::Pubrec::parse)?;
            ack(Ack::Pubrec, pubrec.packet_id(), pubrec.reason_code().map(|code| code as u8))
        }
        (Pubcomp, Mqtt::V3_1_1) => {
            ack(Ack::Pubcomp, packet.parse_exact(v3_1_1::Pubcomp::parse)?.packet_id(), None)
        }
        (Pubcomp, Mqtt::V5) => ack(Ack::Pubcomp, packet.parse_exact(v5_0::Pubcomp::parse)?.packet_id(), None),
        (Disconnect, Mqtt::V5) => {
            let reason = packet.parse_exact(v5_0::Disconnect::parse)?.reason_code();
            Incoming::Disconnect {
                reason: reason.map_or_else(|| "no reason given".to_owned(), |code| code.to_string()),
                taken_over: reason == Some(DisconnectReasonCode::SessionTakenOver),
            }
        }
        _ => Incoming::Other,
    })
}

fn accepted_v3(packet: &v3_1_1::Connack) -> Incoming {
    match packet.return_code() {
        ConnectReturnCode::Accepted => {
            Incoming::Accepted { session_present: packet.session_present(), limits: Limits::NONE }
        }
        code => Incoming::Refused {
            reason: code.to_string(),
            again: code == ConnectReturnCode::ServerUnavailable,
        },
    }
}

fn accepted_v5(packet: &v5_0::Connack) -> Incoming {
    use ConnectReasonCode::{ConnectionRateExceeded, QuotaExceeded, ServerBusy, ServerUnavailable};
    match packet.reason_code() {
        ConnectReasonCode::Success => Incoming::Accepted {
            session_present: packet.session_present(),
            limits: Limits::of(packet.props()),
        },
        code => Incoming::Refused {
            reason: code.to_string(),
            again: matches!(code, ServerUnavailable | ServerBusy | QuotaExceeded | ConnectionRateExceeded),
        },
    }
}
