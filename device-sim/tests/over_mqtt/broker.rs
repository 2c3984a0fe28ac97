//! A small MQTT server that remembers what it was sent and breaks connections when told to.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard},
};

use device_sim::{Address, Mqtt, Qos, Target};
use mqtt_protocol_core::mqtt::{
    Connection, Version,
    common::Cursor,
    connection::{ConnectionOptions, Event},
    packet::{MaximumPacketSize, Packet, Property, Qos as WireQos, v3_1_1, v5_0},
    prelude::*,
    result_code::{ConnectReasonCode, ConnectReturnCode, PubackReasonCode},
    role,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What the server does. The default takes and acknowledges everything.
#[derive(Default)]
pub(crate) struct Behaviour {
    /// The connections, in the order they come, end after so many PUBLISH packets, with the answers to what was read
    /// with the last of them unsent. Further connections stay.
    pub(crate) drop_after: Vec<usize>,
    /// Whether it forgets sessions when a connection ends.
    pub(crate) forgetful: bool,
    /// MQTT 5: how many publishes may be in flight. One more is a protocol error, and ends the connection.
    pub(crate) receive_maximum: Option<u16>,
    /// MQTT 5: the largest packet it takes.
    pub(crate) packet_bytes_max: Option<u32>,
    /// MQTT 5: it refuses publishes whose payload has this in it.
    pub(crate) refused: Option<&'static str>,
    /// It acknowledges nothing.
    pub(crate) mute: bool,
    /// It lets nobody in.
    pub(crate) closed: bool,
}

/// One PUBLISH packet as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) connection: usize,
    pub(crate) client: String,
    pub(crate) dup: bool,
    pub(crate) id: Option<u16>,
    pub(crate) topic: String,
    pub(crate) payload: String,
}

#[derive(Default)]
struct State {
    connections: usize,
    /// How many of them have ended.
    ended: usize,
    received: Vec<Received>,
    /// By client: the QoS 2 identifiers that were received and not released.
    sessions: HashMap<String, HashSet<u16>>,
}

/// A running server. It ends with the test's runtime.
#[derive(Clone)]
pub(crate) struct Broker {
    port: u16,
    behaviour: Arc<Behaviour>,
    state: Arc<Mutex<State>>,
}

impl Broker {
    pub(crate) async fn start(behaviour: Behaviour) -> Self {
        Self::serve(TcpListener::bind("127.0.0.1:0").await.unwrap(), behaviour)
    }

    pub(crate) fn serve(listener: TcpListener, behaviour: Behaviour) -> Self {
        let broker = Self {
            port: listener.local_addr().unwrap().port(),
            behaviour: Arc::new(behaviour),
            state: Arc::default(),
        };
        let serving = broker.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = serving.state().connections;
                serving.state().connections += 1;
                let client =
                    Client { broker: serving.clone(), number, id: String::new(), publishes: 0, ended: false };
                let serving = serving.clone();
                tokio::spawn(async move {
                    client.serve(stream).await;
                    serving.state().ended += 1;
                });
            }
        });
        broker
    }

    pub(crate) fn address(&self) -> Address {
        Address::new("127.0.0.1", self.port)
    }

    pub(crate) fn target(&self, mqtt: Mqtt, qos: Qos) -> Target {
        Target {
            broker: self.address(),
            mqtt,
            qos,
            connections: 1,
            inflight: 10,
            client_prefix: "test".into(),
        }
    }

    /// Every PUBLISH packet so far, in the order of receipt.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.state().received.clone()
    }

    /// The payloads without repetitions, in the order of their first receipt.
    pub(crate) fn payloads(&self) -> Vec<String> {
        let mut seen = HashSet::new();
        self.received().into_iter().map(|one| one.payload).filter(|one| seen.insert(one.clone())).collect()
    }

    /// Whether a connection is open: what a client sent before it hung up may not have come yet.
    pub(crate) fn is_connected(&self) -> bool {
        let state = self.state();
        state.ended < state.connections
    }

    /// How many sessions it remembers.
    pub(crate) fn sessions(&self) -> usize {
        self.state().sessions.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

struct Client {
    broker: Broker,
    number: usize,
    id: String,
    publishes: usize,
    /// Whether it has ended its session.
    ended: bool,
}

impl Client {
    async fn serve(mut self, mut stream: TcpStream) {
        let mut options = ConnectionOptions::new();
        if let Some(max) = self.broker.behaviour.receive_maximum {
            options = options.receive_maximum(max);
        }
        let mut mqtt = Connection::<role::Server>::with_options(Version::Undetermined, options);
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut buffer).await {
            let mut answers = Vec::new();
            let mut bytes = Cursor::new(&buffer[..length]);
            while bytes.position() < length as u64 {
                for event in mqtt.recv(&mut bytes) {
                    match event {
                        Event::NotifyPacketReceived(packet) => {
                            let Some(answer) = self.answer(packet, &mut mqtt) else { continue };
                            for event in mqtt.send(answer) {
                                if let Event::RequestSendPacket { packet, .. } = event {
                                    answers.extend(packet.to_continuous_buffer());
                                }
                            }
                        }
                        Event::RequestSendPacket { packet, .. } => {
                            answers.extend(packet.to_continuous_buffer())
                        }
                        Event::RequestClose | Event::NotifyError(_) => return,
                        _ => {}
                    }
                }
            }
            self.remember(mqtt.get_qos2_publish_handled().into_iter().collect());
            let drop_after = self.broker.behaviour.drop_after.get(self.number);
            if drop_after.is_some_and(|count| self.publishes >= *count) {
                return;
            }
            if stream.write_all(&answers).await.is_err() {
                return;
            }
        }
    }

    fn answer(&mut self, packet: Packet, mqtt: &mut Connection<role::Server>) -> Option<Packet> {
        Some(match packet {
            Packet::V3_1_1Connect(packet) => {
                let present = self.opened(packet.client_id(), packet.clean_start(), mqtt);
                let code = if self.broker.behaviour.closed {
                    ConnectReturnCode::NotAuthorized
                } else {
                    ConnectReturnCode::Accepted
                };
                v3_1_1::Connack::builder().session_present(present).return_code(code).build().unwrap().into()
            }
            Packet::V5_0Connect(packet) => {
                let present = self.opened(packet.client_id(), packet.clean_start(), mqtt);
                let code = if self.broker.behaviour.closed {
                    ConnectReasonCode::NotAuthorized
                } else {
                    ConnectReasonCode::Success
                };
                let size = self.broker.behaviour.packet_bytes_max;
                let props: Vec<Property> =
                    size.into_iter().map(|size| MaximumPacketSize::new(size).unwrap().into()).collect();
                v5_0::Connack::builder()
                    .session_present(present)
                    .reason_code(code)
                    .props(props)
                    .build()
                    .unwrap()
                    .into()
            }
            Packet::V3_1_1Publish(packet) => {
                let payload = packet.payload().as_slice().to_vec();
                self.received(packet.topic_name(), payload, packet.dup(), packet.packet_id());
                let id = packet.packet_id().filter(|_| !self.broker.behaviour.mute)?;
                if packet.qos() == WireQos::AtLeastOnce {
                    v3_1_1::Puback::builder().packet_id(id).build().unwrap().into()
                } else {
                    v3_1_1::Pubrec::builder().packet_id(id).build().unwrap().into()
                }
            }
            Packet::V5_0Publish(packet) => {
                let payload = packet.payload().as_slice().to_vec();
                let text = self.received(packet.topic_name(), payload, packet.dup(), packet.packet_id());
                let id = packet.packet_id().filter(|_| !self.broker.behaviour.mute)?;
                let refused = self.broker.behaviour.refused.is_some_and(|part| text.contains(part));
                if packet.qos() == WireQos::ExactlyOnce {
                    v5_0::Pubrec::builder().packet_id(id).build().unwrap().into()
                } else if refused {
                    let code = PubackReasonCode::QuotaExceeded;
                    v5_0::Puback::builder().packet_id(id).reason_code(code).build().unwrap().into()
                } else {
                    v5_0::Puback::builder().packet_id(id).build().unwrap().into()
                }
            }
            Packet::V3_1_1Pubrel(packet) => {
                v3_1_1::Pubcomp::builder().packet_id(packet.packet_id()).build().unwrap().into()
            }
            Packet::V5_0Pubrel(packet) => {
                v5_0::Pubcomp::builder().packet_id(packet.packet_id()).build().unwrap().into()
            }
            Packet::V5_0Disconnect(packet) => {
                let expiry = packet.props().as_ref().and_then(|props| {
                    props.iter().find_map(|prop| match prop {
                        Property::SessionExpiryInterval(secs) => Some(secs.val()),
                        _ => None,
                    })
                });
                self.ended = expiry == Some(0);
                return None;
            }
            _ => return None,
        })
    }

    fn remember(&self, handled: HashSet<u16>) {
        let mut state = self.broker.state();
        if self.ended {
            state.sessions.remove(&self.id);
        } else {
            state.sessions.insert(self.id.clone(), handled);
        }
    }

    /// Whether there is a session to go on with.
    fn opened(&mut self, id: &str, clean: bool, mqtt: &mut Connection<role::Server>) -> bool {
        self.id = id.to_owned();
        let mut state = self.broker.state();
        let session = state.sessions.remove(id).filter(|_| !clean && !self.broker.behaviour.forgetful);
        let present = session.is_some();
        mqtt.restore_qos2_publish_handled(session.into_iter().flatten().collect());
        present
    }

    fn received(&mut self, topic: &str, payload: Vec<u8>, dup: bool, id: Option<u16>) -> String {
        self.publishes += 1;
        let payload = String::from_utf8(payload).unwrap();
        self.broker.state().received.push(Received {
            connection: self.number,
            client: self.id.clone(),
            dup,
            id,
            topic: topic.to_owned(),
            payload: payload.clone(),
        });
        payload
    }
}
