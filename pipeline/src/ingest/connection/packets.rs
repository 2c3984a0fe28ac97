//! What each packet of a client leads to.

use mqtt_protocol_core::mqtt::{
    packet::{Packet, Property, Qos, v5_0},
    result_code::DisconnectReasonCode,
};
use stages::frame::Properties;

use super::{Connection, End};
use crate::ingest::{
    hello::kept_properties,
    now,
    packer::{Incoming, Slot},
    replies,
    wire::Plain,
};

/// How many topics a connection remembers the slot of.
const TOPICS_MAX: usize = 1024;

/// A longer topic is not remembered.
const TOPIC_BYTES_MAX: usize = 256;

/// A PUBLISH of either version.
struct Publish<'a> {
    topic: &'a str,
    qos: Qos,
    packet_id: Option<u16>,
    payload: &'a [u8],
    properties: Properties,
}

impl Connection {
    pub(super) fn handle(&mut self, packet: &Packet) -> Result<(), End> {
        match packet {
            Packet::V3_1_1Publish(publish) => self.publish(&Publish {
                topic: publish.topic_name(),
                qos: publish.qos(),
                packet_id: publish.packet_id(),
                payload: publish.payload().as_slice(),
                properties: Properties::new(),
            }),
            // MQTT 5.0, 3.3.2.3.8: only a server says by which subscription a message comes.
            Packet::V5_0Publish(publish)
                if publish.props().iter().any(|one| matches!(one, Property::SubscriptionIdentifier(_))) =>
            {
                Err(End::Refused(DisconnectReasonCode::ProtocolError))
            }
            Packet::V5_0Publish(publish) => self.publish(&Publish {
                topic: publish.topic_name(),
                qos: publish.qos(),
                packet_id: publish.packet_id(),
                payload: publish.payload().as_slice(),
                properties: kept_properties(publish.props()),
            }),
            Packet::V3_1_1Subscribe(subscribe) => Ok(self.wire.send(replies::refuse_v3(subscribe)?)?),
            Packet::V5_0Subscribe(subscribe) => {
                Ok(self.wire.send(replies::refuse_v5(subscribe, self.hello.reasons)?)?)
            }
            Packet::V3_1_1Unsubscribe(unsubscribe) => {
                Ok(self.wire.send(replies::unsubscribe_v3(unsubscribe)?)?)
            }
            Packet::V5_0Unsubscribe(unsubscribe) => {
                Ok(self.wire.send(replies::unsubscribe_v5(unsubscribe)?)?)
            }
            // The state machine has answered it.
            Packet::V3_1_1Pingreq(_) | Packet::V5_0Pingreq(_) => Ok(()),
            Packet::V3_1_1Disconnect(_) => Err(End::Left { will: false, expiry_secs: None }),
            Packet::V5_0Disconnect(disconnect) => Err(self.left(disconnect)),
            Packet::V3_1_1Pubrel(pubrel) => self.release(pubrel.packet_id()),
            Packet::V5_0Pubrel(pubrel) => self.release(pubrel.packet_id()),
            _ => Err(End::Refused(DisconnectReasonCode::ProtocolError)),
        }
    }

    fn publish(&mut self, publish: &Publish<'_>) -> Result<(), End> {
        let slot = self.slot(publish.topic)?;
        if publish.qos == Qos::ExactlyOnce && publish.packet_id.is_some_and(|id| self.is_repeated(id)) {
            return Ok(());
        }
        let row = Incoming {
            topic: publish.topic,
            payload: publish.payload,
            received_at: self.received_at,
            client_id: &self.hello.client_id,
            properties: &publish.properties,
        };
        match (publish.qos, publish.packet_id) {
            (Qos::AtMostOnce, _) => {
                self.sender.append(slot, &row);
            }
            (_, None | Some(0)) => return Err(End::Refused(DisconnectReasonCode::MalformedPacket)),
            (Qos::AtLeastOnce, Some(id)) => {
                self.check_quota()?;
                let ticket = self.sender.append(slot, &row);
                self.await_puback(id, ticket, false);
            }
            (Qos::ExactlyOnce, Some(id)) => {
                self.check_quota()?;
                let ticket = self.sender.append_packet(slot, &row, self.session.packet(id));
                self.await_pubrec(id, ticket);
            }
        }
        Ok(())
    }

    /// The same for a plain packet.
    pub(super) fn publish_plain(
        &mut self,
        &Plain { packet_id, topic, payload }: &Plain<'_>,
    ) -> Result<(), End> {
        let slot = self.slot(topic)?;
        self.check_quota()?;
        let (received_at, client_id) = (self.received_at, &self.hello.client_id[..]);
        let row = Incoming { topic, payload, received_at, client_id, properties: &[] };
        let ticket = self.sender.append(slot, &row);
        self.await_puback(packet_id, ticket, true);
        Ok(())
    }

    /// The slot of a topic, found anew where this connection has not published to it lately.
    fn slot(&mut self, topic: &str) -> Result<Slot, End> {
        if let Some(slot) = self.slots.get(topic) {
            return Ok(*slot);
        }
        if !is_topic_name(topic) {
            return Err(End::Refused(DisconnectReasonCode::TopicNameInvalid));
        }
        if topic.len() > TOPIC_BYTES_MAX {
            return Ok(self.shared.packer.slot(topic));
        }
        if self.slots.len() >= TOPICS_MAX {
            self.slots.clear();
        }
        let slot = self.shared.packer.slot(topic);
        self.slots.insert(topic.to_owned(), slot);
        Ok(slot)
    }

    /// What a DISCONNECT of MQTT 5 means. Its session may be made longer or shorter, but not be
    /// begun (MQTT 5.0, 3.14.2.2.2).
    fn left(&self, disconnect: &v5_0::Disconnect) -> End {
        let properties = disconnect.props().as_deref().unwrap_or_default();
        let expiry_secs = properties.iter().find_map(|property| match property {
            Property::SessionExpiryInterval(property) => Some(property.val()),
            _ => None,
        });
        let expiry_secs = expiry_secs.map(|secs| secs.min(self.shared.options.session_expiry_secs_max));
        if self.hello.expiry_secs == 0 && expiry_secs.is_some_and(|secs| secs > 0) {
            return End::Refused(DisconnectReasonCode::ProtocolError);
        }
        let will =
            !matches!(disconnect.reason_code(), None | Some(DisconnectReasonCode::NormalDisconnection));
        End::Left { will, expiry_secs }
    }

    pub(super) fn publish_will(&mut self) {
        let Some(will) = self.hello.will.take() else { return };
        let row = Incoming {
            topic: &will.topic,
            payload: &will.payload,
            received_at: now(),
            client_id: &self.hello.client_id,
            properties: &will.properties,
        };
        self.sender.append(self.shared.packer.slot(&will.topic), &row);
    }
}

/// Whether MQTT allows messages to be published to `topic` (MQTT 5.0, 4.7).
pub(super) fn is_topic_name(topic: &str) -> bool {
    !topic.is_empty() && !topic.contains(['#', '+', '\0'])
}
