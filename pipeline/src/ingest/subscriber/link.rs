//! One connection of rumqttc, whichever version of MQTT it speaks.
//!
//! A connection has a client of its own, which ends with it: rumqttc would carry acknowledgements over to the next
//! connection, where their packet ids mean other messages.

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;
use rumqttc::{NetworkOptions, Outgoing, QoS, TlsConfiguration, Transport, v5};
use stages::frame::Properties;

use super::{MqttVersion, SubscriberOptions, trouble::Trouble};
use crate::ingest::Scheme;

/// What is sent of ours beside acknowledgements: SUBSCRIBE one after the other, and DISCONNECT.
const REQUESTS: usize = 2;

/// Packets that we send are small; a SUBSCRIBE has filters of up to 64 KiB each.
const SENT_BYTES_MAX: usize = 1 << 20;

/// The keep-alive with a broker that asks for none.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Where requests are given to a connection. None of them waits.
pub(super) enum Client {
    V3(rumqttc::AsyncClient),
    V5(v5::AsyncClient),
}

/// What happens on a connection. Nothing does unless it is polled, and who drops a poll may lose a request with it.
pub(super) enum Events {
    V3(Box<rumqttc::EventLoop>),
    V5(Box<v5::EventLoop>),
}

/// One thing that happened on a connection.
pub(super) enum Event {
    /// The broker has let us in; it may want another keep-alive.
    Welcome {
        session_present: bool,
        keep_alive: Option<Duration>,
    },
    /// The answer to a SUBSCRIBE, filter by filter: whether it is acknowledged with QoS 1, or why it is refused.
    Answer(Vec<Result<bool, String>>),
    Message(Message),
    /// The next PUBACK is written.
    Acknowledged,
    /// The DISCONNECT is written.
    Left,
    /// Nothing that matters here.
    Other,
}

/// A PUBLISH.
pub(super) enum Message {
    V3(rumqttc::Publish),
    V5(v5::mqttbytes::v5::Publish),
}

/// Prepares a connection; it is made when the events are polled.
pub(super) fn connect(options: &SubscriberOptions, client_id: &str) -> (Client, Events) {
    // All acknowledgements that can be outstanding with MQTT 5. With 3.1.1 more may be, and wait their turn.
    let requests = usize::from(options.receive_maximum) + REQUESTS;
    match options.version {
        MqttVersion::V3_1_1 => {
            let (client, mut events) = rumqttc::AsyncClient::new(v3_options(options, client_id), requests);
            events.set_network_options(network_options(options));
            (Client::V3(client), Events::V3(Box::new(events)))
        }
        MqttVersion::V5 => {
            let (client, events) = v5::AsyncClient::new(v5_options(options, client_id), requests);
            (Client::V5(client), Events::V5(Box::new(events)))
        }
    }
}

fn v3_options(options: &SubscriberOptions, client_id: &str) -> rumqttc::MqttOptions {
    let (host, port) = place(options);
    let mut mqtt = rumqttc::MqttOptions::new(client_id, host, port);
    mqtt.set_transport(transport(options))
        .set_keep_alive(options.keep_alive)
        .set_clean_session(false)
        .set_manual_acks(true)
        // Of publishes, of which there are none.
        .set_inflight(1)
        .set_max_packet_size(options.packet_bytes_max as usize, SENT_BYTES_MAX);
    if let Some((user, password)) = &options.credentials {
        mqtt.set_credentials(user, password.as_ref().map_or("", |secret| secret.reveal()));
    }
    mqtt
}

fn v5_options(options: &SubscriberOptions, client_id: &str) -> v5::MqttOptions {
    let (host, port) = place(options);
    let mut mqtt = v5::MqttOptions::new(client_id, host, port);
    // No topic aliases are asked for: rumqttc resolves them too late.
    mqtt.set_transport(transport(options))
        .set_keep_alive(options.keep_alive)
        .set_clean_start(false)
        .set_session_expiry_interval(Some(options.session_expiry_secs))
        .set_receive_maximum(Some(options.receive_maximum))
        .set_max_packet_size(Some(options.packet_bytes_max))
        .set_manual_acks(true)
        .set_outgoing_inflight_upper_limit(1)
        .set_connection_timeout(options.connect_timeout.as_secs())
        .set_network_options(network_options(options));
    if let Some((user, password)) = &options.credentials {
        mqtt.set_credentials(user, password.as_ref().map_or("", |secret| secret.reveal()));
    }
    mqtt
}

/// The host and port, as rumqttc wants them: it takes those of a WebSocket from its URL.
fn place(options: &SubscriberOptions) -> (String, u16) {
    let broker = &options.broker;
    match broker.scheme {
        Scheme::Mqtt | Scheme::Mqtts => (broker.host.clone(), broker.port),
        Scheme::Ws | Scheme::Wss => (broker.to_string(), broker.port),
    }
}

fn transport(options: &SubscriberOptions) -> Transport {
    let tls = options.tls.as_ref().map(|tls| TlsConfiguration::Rustls(tls.clone()));
    match (options.broker.scheme, tls) {
        (Scheme::Mqtt | Scheme::Mqtts, Some(tls)) => Transport::Tls(tls),
        (Scheme::Mqtt | Scheme::Mqtts, None) => Transport::Tcp,
        (Scheme::Ws | Scheme::Wss, Some(tls)) => Transport::Wss(tls),
        (Scheme::Ws | Scheme::Wss, None) => Transport::Ws,
    }
}

fn network_options(options: &SubscriberOptions) -> NetworkOptions {
    let mut network = NetworkOptions::new();
    // Acknowledgements are small and awaited.
    network.set_tcp_nodelay(true);
    network.set_connection_timeout(options.connect_timeout.as_secs());
    network
}

impl Client {
    /// Asks for messages; QoS 1 where `acknowledged`, else 0. One SUBSCRIBE at a time.
    ///
    /// # Errors
    /// When a filter is none, or requests pile up.
    pub(super) fn subscribe(&self, filters: &[String], acknowledged: bool) -> Result<(), Trouble> {
        let qos = if acknowledged { QoS::AtLeastOnce } else { QoS::AtMostOnce };
        match self {
            Self::V3(client) => {
                let filters = filters.iter().map(|filter| rumqttc::SubscribeFilter::new(filter.clone(), qos));
                client.try_subscribe_many(filters).map_err(|error| Trouble::Failed(error.to_string()))
            }
            Self::V5(client) => {
                let filters = filters.iter().map(|filter| {
                    let mut filter = v5::mqttbytes::v5::Filter::new(filter.clone(), v5_qos(acknowledged));
                    // Coming back is no reason to send all retained messages again.
                    filter.retain_forward_rule = v5::mqttbytes::v5::RetainForwardRule::OnNewSubscribe;
                    filter
                });
                client.try_subscribe_many(filters).map_err(|error| Trouble::Failed(error.to_string()))
            }
        }
    }

    /// Sends a PUBACK when its turn has come; false when too many wait for theirs already.
    pub(super) fn acknowledge(&self, packet_id: u16) -> bool {
        match self {
            Self::V3(client) => {
                let mut publish = rumqttc::Publish::new("", QoS::AtLeastOnce, Vec::new());
                publish.pkid = packet_id;
                client.try_ack(&publish).is_ok()
            }
            Self::V5(client) => {
                let publish =
                    v5::mqttbytes::v5::Publish { qos: v5_qos(true), pkid: packet_id, ..Default::default() };
                client.try_ack(&publish).is_ok()
            }
        }
    }

    /// Says goodbye after all that was asked for before; false when too much waits.
    pub(super) fn leave(&self) -> bool {
        match self {
            Self::V3(client) => client.try_disconnect().is_ok(),
            Self::V5(client) => client.try_disconnect().is_ok(),
        }
    }
}

fn v5_qos(acknowledged: bool) -> v5::mqttbytes::QoS {
    if acknowledged { v5::mqttbytes::QoS::AtLeastOnce } else { v5::mqttbytes::QoS::AtMostOnce }
}

impl Events {
    /// Waits for what happens next.
    ///
    /// # Errors
    /// Why the connection has ended, or could not be made.
    pub(super) async fn next(&mut self) -> Result<Event, Trouble> {
        match self {
            Self::V3(events) => Ok(match events.poll().await? {
                rumqttc::Event::Incoming(packet) => {
                    // Whatever comes is a sign of life: the answer to a ping may be behind much else.
                    events.state.await_pingresp = false;
                    of_v3(packet)
                }
                rumqttc::Event::Outgoing(sent) => of_sent(&sent),
            }),
            Self::V5(events) => Ok(match events.poll().await? {
                v5::Event::Incoming(packet) => {
                    events.state.await_pingresp = false;
                    let event = of_v5(packet);
                    if let Event::Welcome { keep_alive: Some(Duration::ZERO), .. } = event {
                        // rumqttc would ping without a pause.
                        events.options.set_keep_alive(KEEP_ALIVE);
                    }
                    event
                }
                v5::Event::Outgoing(sent) => of_sent(&sent),
            }),
        }
    }
}

fn of_v3(packet: rumqttc::Packet) -> Event {
    use rumqttc::{Packet, SubscribeReasonCode as Code};
    match packet {
        Packet::Publish(publish) => Event::Message(Message::V3(publish)),
        Packet::ConnAck(welcome) => {
            Event::Welcome { session_present: welcome.session_present, keep_alive: None }
        }
        Packet::SubAck(answer) => Event::Answer(
            answer
                .return_codes
                .iter()
                .map(|code| match code {
                    Code::Success(qos) => Ok(*qos != QoS::AtMostOnce),
                    Code::Failure => Err("it says no more than that; is it allowed to this user?".to_owned()),
                })
                .collect(),
        ),
        _ => Event::Other,
    }
}

fn of_v5(packet: v5::mqttbytes::v5::Packet) -> Event {
    use v5::mqttbytes::{
        QoS,
        v5::{Packet, SubscribeReasonCode as Code},
    };
    match packet {
        Packet::Publish(publish) => Event::Message(Message::V5(publish)),
        Packet::ConnAck(welcome) => {
            let keep_alive = welcome.properties.and_then(|properties| properties.server_keep_alive);
            Event::Welcome {
                session_present: welcome.session_present,
                keep_alive: keep_alive.map(|secs| Duration::from_secs(secs.into())),
            }
        }
        Packet::SubAck(answer) => Event::Answer(
            answer
                .return_codes
                .iter()
                .map(|code| match code {
                    Code::Success(qos) => Ok(*qos != QoS::AtMostOnce),
                    Code::SharedSubscriptionsNotSupported => {
                        Err("it knows no shared subscriptions; leave out group".to_owned())
                    }
                    Code::NotAuthorized => Err("it is not allowed to this user".to_owned()),
                    code => Err(format!("{code:?}")),
                })
                .collect(),
        ),
        _ => Event::Other,
    }
}

fn of_sent(sent: &Outgoing) -> Event {
    match sent {
        Outgoing::PubAck(_) => Event::Acknowledged,
        Outgoing::Disconnect => Event::Left,
        _ => Event::Other,
    }
}

impl Message {
    /// The topic; one that is not UTF-8, which MQTT forbids, with marks in place of what is wrong.
    pub(super) fn topic(&self) -> Cow<'_, str> {
        match self {
            Self::V3(publish) => Cow::Borrowed(&publish.topic),
            Self::V5(publish) => String::from_utf8_lossy(&publish.topic),
        }
    }

    pub(super) fn payload(&self) -> &Bytes {
        match self {
            Self::V3(publish) => &publish.payload,
            Self::V5(publish) => &publish.payload,
        }
    }

    /// The packet id to acknowledge it by; none with QoS 0.
    ///
    /// # Errors
    /// With QoS 2, which is never asked for.
    pub(super) fn packet_id(&self) -> Result<Option<u16>, Trouble> {
        use v5::mqttbytes::QoS as QoS5;
        match self {
            Self::V3(publish) => match publish.qos {
                QoS::AtMostOnce => Ok(None),
                QoS::AtLeastOnce => Ok(Some(publish.pkid)),
                QoS::ExactlyOnce => Err(Trouble::ExactlyOnce),
            },
            Self::V5(publish) => match publish.qos {
                QoS5::AtMostOnce => Ok(None),
                QoS5::AtLeastOnce => Ok(Some(publish.pkid)),
                QoS5::ExactlyOnce => Err(Trouble::ExactlyOnce),
            },
        }
    }

    /// Takes out what is kept of the properties; the same as the listener keeps.
    pub(super) fn take_properties(&mut self) -> Properties {
        let Self::V5(publish) = self else { return Properties::new() };
        let Some(properties) = publish.properties.take() else { return Properties::new() };
        let mut kept = properties.user_properties;
        kept.extend(properties.content_type.map(|kind| ("content-type".to_owned(), kind)));
        kept
    }
}
