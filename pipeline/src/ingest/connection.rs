//! One MQTT connection, from its CONNECT to its end.

mod greeting;

use std::{
    collections::{HashMap, VecDeque},
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use mqtt_protocol_core::mqtt::{
    Version,
    packet::{Packet, Property, Qos, v3_1_1, v5_0},
    result_code::{DisconnectReasonCode, MqttError},
};
use stages::frame::{Micros, Properties};
use tokio::{io::Ready, net::TcpStream, sync::watch};

use super::{
    Phase,
    hello::{Hello, kept_properties},
    listener::Shared,
    now,
    packer::{Incoming, Sender, Slot, Ticket},
    replies,
    sessions::Session,
    window::Window,
    wire::{Read, Wire},
};

/// As many messages as packet ids can be outstanding; MQTT 3.1.1 knows no other limit.
const OUTSTANDING_MAX: usize = 65_535;

/// How many topics a connection remembers the slot of.
const TOPICS_MAX: usize = 1024;

/// For connections without a keep-alive: long enough never to matter.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Serves the client behind `socket` until either side ends it.
pub(super) async fn serve(
    shared: Arc<Shared>,
    socket: TcpStream,
    peer: SocketAddr,
    mut phase: watch::Receiver<Phase>,
) {
    let mut wire = Wire::new(socket, shared.options.packet_bytes_max);
    if let Some((hello, session)) = greeting::greet(&mut wire, &shared, peer, &mut phase).await {
        let connection = Connection::new(shared, wire, hello, session, peer);
        connection.run(&mut phase).await;
    } else {
        wire.close().await;
    }
}

/// Why a connection ends.
#[derive(Debug)]
enum End {
    /// The client said so; `will` tells whether it wants its will published all the same.
    Left { will: bool, expiry_secs: Option<u32> },
    /// The socket failed, or the client hung up without a word.
    Lost(Option<io::Error>),
    /// The client broke the protocol, and the state machine has told it what MQTT provides for that.
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
    fn farewell(&self) -> Option<DisconnectReasonCode> {
        match self {
            Self::Left { .. } | Self::Lost(_) | Self::Broken(_) => None,
            Self::Refused(code) => Some(*code),
            Self::Silent => Some(DisconnectReasonCode::KeepAliveTimeout),
            Self::TakenOver => Some(DisconnectReasonCode::SessionTakenOver),
            Self::Stopping => Some(DisconnectReasonCode::ServerShuttingDown),
        }
    }

    /// Whether the client's will is published. Not when it is we who leave: its devices are well.
    fn publishes_will(&self) -> bool {
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

/// A PUBLISH of either version.
struct Publish<'a> {
    topic: &'a str,
    qos: Qos,
    packet_id: Option<u16>,
    payload: &'a [u8],
    properties: Properties,
}

struct Connection {
    shared: Arc<Shared>,
    wire: Wire,
    hello: Hello,
    session: Session,
    peer: SocketAddr,
    sender: Sender,
    window: Window,
    /// Messages to be acknowledged, in the order of receipt.
    awaiting: VecDeque<(u16, Ticket)>,
    slots: HashMap<String, Slot>,
    /// When the socket was last read: once per read, since clocks cost.
    read_at: Instant,
    received_at: Micros,
    /// Whether the last read left nothing behind in the socket.
    drained: bool,
}

impl Connection {
    fn new(shared: Arc<Shared>, wire: Wire, hello: Hello, session: Session, peer: SocketAddr) -> Self {
        let told = match wire.version() {
            Version::V5_0 => usize::from(shared.options.receive_maximum),
            Version::V3_1_1 | Version::Undetermined => OUTSTANDING_MAX,
        };
        Self {
            sender: shared.packer.sender(),
            window: Window::new(told),
            awaiting: VecDeque::new(),
            slots: HashMap::new(),
            read_at: Instant::now(),
            received_at: now(),
            drained: true,
            shared,
            wire,
            hello,
            session,
            peer,
        }
    }

    async fn run(mut self, phase: &mut watch::Receiver<Phase>) {
        let end = self.converse(phase).await;
        self.report(&end);
        if let Some(code) = end.farewell()
            && self.wire.version() == Version::V5_0
            && let Ok(farewell) = v5_0::Disconnect::builder().reason_code(code).build()
        {
            // It cannot be sent when the client takes only smaller packets; then it is just closed.
            let _too_large = self.wire.send(farewell);
        }
        if end.publishes_will() {
            self.publish_will();
        }
        let expiry_secs = match end {
            End::Left { expiry_secs, .. } => expiry_secs,
            _ => None,
        };
        self.session.end(expiry_secs).await;
        self.wire.close().await;
    }

    /// Takes messages and acknowledges them until something ends that.
    async fn converse(&mut self, phase: &mut watch::Receiver<Phase>) -> End {
        let silence_max = self.hello.silence_max.unwrap_or(FOREVER);
        let mut heard_at = Instant::now();
        let timer = tokio::time::sleep(silence_max);
        tokio::pin!(timer);
        loop {
            let stopping = match &*phase.borrow_and_update() {
                Phase::Serving => false,
                Phase::Stopping => true,
                Phase::Failed(_) => return End::Stopping,
            };
            if let Err(end) = self.step(stopping) {
                return end;
            }
            let takes = !stopping && self.takes_more();
            let has_room = self.shared.packer.has_room();
            let reads = takes && has_room && !self.wire.has_unparsed();
            tokio::select! {
                biased;
                changed = phase.changed() => if changed.is_err() { return End::Stopping },
                () = self.session.taken_over() => return End::TakenOver,
                () = self.sender.settled() => if let Err(end) = self.acknowledge() { return end },
                ready = self.wire.ready(reads), if reads || self.wire.unsent() > 0 => {
                    if let Err(end) = self.read(ready, reads) {
                        return end;
                    }
                }
                () = self.shared.packer.room(), if takes && !reads => {}
                () = &mut timer => {
                    // Who waits for us is not silent.
                    if !reads || !self.awaiting.is_empty() {
                        heard_at = Instant::now();
                    } else if heard_at.elapsed() >= silence_max {
                        return End::Silent;
                    }
                    timer.as_mut().reset((heard_at + silence_max).into());
                    continue;
                }
            }
            heard_at = Instant::now();
        }
    }

    /// Does everything that can be done without waiting.
    fn step(&mut self, stopping: bool) -> Result<(), End> {
        if stopping {
            self.sender.hurry();
            if self.awaiting.is_empty() {
                return Err(End::Stopping);
            }
        } else {
            self.take_in()?;
        }
        self.wire.flush()?;
        Ok(())
    }

    /// Whether the client may have more outstanding, as far as this connection goes.
    fn takes_more(&self) -> bool {
        self.awaiting.len() < OUTSTANDING_MAX && !self.wire.is_congested()
    }

    fn read(&mut self, ready: io::Result<Ready>, reads: bool) -> Result<(), End> {
        if !reads || !ready?.is_readable() {
            return Ok(());
        }
        match self.wire.read()? {
            Read::Bytes { more } => {
                self.drained = !more;
                self.read_at = Instant::now();
                self.received_at = now();
                Ok(())
            }
            Read::Nothing => Ok(()),
            Read::End => Err(End::Lost(None)),
        }
    }

    /// Handles the packets that have been read, as long as there is room for messages.
    fn take_in(&mut self) -> Result<(), End> {
        let before = self.awaiting.len();
        let mut taken = Ok(());
        while taken.is_ok() && self.takes_more() && self.shared.packer.has_room() {
            taken = match self.wire.next() {
                Ok(Some(packet)) => self.handle(&packet),
                Ok(None) => break,
                Err(error) => Err(error.into()),
            };
        }
        let fresh = self.awaiting.len() - before;
        if fresh > 0 {
            self.window.published(fresh, self.read_at);
        }
        if self.drained && !self.wire.has_unparsed() && self.window.is_full() {
            self.sender.hurry();
        }
        taken
    }

    fn handle(&mut self, packet: &Packet) -> Result<(), End> {
        match packet {
            Packet::V3_1_1Publish(publish) => self.publish(&Publish {
                topic: publish.topic_name(),
                qos: publish.qos(),
                packet_id: publish.packet_id(),
                payload: publish.payload().as_slice(),
                properties: Properties::new(),
            }),
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
            Packet::V3_1_1Pubrel(_) | Packet::V5_0Pubrel(_) => {
                Err(End::Refused(DisconnectReasonCode::QosNotSupported))
            }
            _ => Err(End::Refused(DisconnectReasonCode::ProtocolError)),
        }
    }

    fn publish(&mut self, publish: &Publish<'_>) -> Result<(), End> {
        let slot = match self.slots.get(publish.topic) {
            Some(slot) => *slot,
            None => self.slot(publish.topic)?,
        };
        let packet_id = match (publish.qos, publish.packet_id) {
            (Qos::AtMostOnce, _) => None,
            (Qos::AtLeastOnce, Some(id)) if id > 0 => Some(id),
            (Qos::AtLeastOnce, _) => return Err(End::Refused(DisconnectReasonCode::MalformedPacket)),
            (Qos::ExactlyOnce, _) => return Err(End::Refused(DisconnectReasonCode::QosNotSupported)),
        };
        let ticket = self.sender.append(
            slot,
            &Incoming {
                topic: publish.topic,
                payload: publish.payload,
                received_at: self.received_at,
                client_id: &self.hello.client_id,
                properties: &publish.properties,
            },
        );
        if let Some(packet_id) = packet_id {
            self.awaiting.push_back((packet_id, ticket));
        }
        Ok(())
    }

    /// Finds the slot of a topic that this connection has not published to lately.
    fn slot(&mut self, topic: &str) -> Result<Slot, End> {
        if !is_topic_name(topic) {
            return Err(End::Refused(DisconnectReasonCode::TopicNameInvalid));
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
        if self.hello.expiry_secs == 0 && expiry_secs.is_some_and(|secs| secs > 0) {
            return End::Refused(DisconnectReasonCode::ProtocolError);
        }
        let will =
            !matches!(disconnect.reason_code(), None | Some(DisconnectReasonCode::NormalDisconnection));
        End::Left { will, expiry_secs }
    }

    /// Acknowledges what is durable, up to the first message that is not.
    fn acknowledge(&mut self) -> Result<(), End> {
        let mut count = 0;
        while let Some((packet_id, ticket)) = self.awaiting.front().copied()
            && self.sender.is_durable(ticket)
        {
            self.awaiting.pop_front();
            match self.wire.version() {
                Version::V5_0 => self.wire.send(v5_0::Puback::builder().packet_id(packet_id).build()?)?,
                _ => self.wire.send(v3_1_1::Puback::builder().packet_id(packet_id).build()?)?,
            }
            count += 1;
        }
        self.shared.counters.acknowledged(count);
        self.window.acknowledged(count, Instant::now());
        Ok(())
    }

    fn publish_will(&mut self) {
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

    /// Logs what somebody could do something about.
    fn report(&self, end: &End) {
        let (client, peer) = (self.hello.client_id.as_str(), self.peer);
        match end {
            End::Left { .. } | End::TakenOver | End::Stopping | End::Lost(None) => {}
            End::Lost(Some(error)) => tracing::debug!(client, %peer, %error, "lost a connection"),
            End::Silent => tracing::debug!(client, %peer, "closed a connection that was silent for too long"),
            End::Refused(DisconnectReasonCode::QosNotSupported) if self.shared.complains(client, "qos") => {
                tracing::warn!(client, %peer, "closed a connection: publishing with QoS 2 is not taken; use QoS 1");
            }
            End::Broken(MqttError::PacketTooLarge) if self.shared.complains(client, "size") => {
                let max = self.shared.options.packet_bytes_max;
                tracing::warn!(client, %peer, "closed a connection: a packet has more than packet_bytes_max, {max}");
            }
            End::Refused(reason) if self.shared.complains(client, "refused") => {
                tracing::warn!(client, %peer, "closed a connection that broke MQTT: {reason}");
            }
            End::Broken(error) if self.shared.complains(client, "broken") => {
                tracing::warn!(client, %peer, "closed a connection that broke MQTT: {error}");
            }
            End::Refused(_) | End::Broken(_) => {}
        }
    }
}

/// Whether MQTT allows messages to be published to `topic` (MQTT 5.0, 4.7).
fn is_topic_name(topic: &str) -> bool {
    !topic.is_empty() && !topic.contains(['#', '+', '\0'])
}
