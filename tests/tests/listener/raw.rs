//! A client that sends exactly the bytes it is told to.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// How long anything may take that is to happen, also on a busy machine.
pub(crate) const PATIENCE: Duration = tests::PATIENCE;

pub(crate) const V3: u8 = 4;
pub(crate) const V5: u8 = 5;

/// A packet: the first byte, and what follows the remaining length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) kind: u8,
    pub(crate) body: Vec<u8>,
}

/// What a server sends.
pub(crate) const CONNACK: u8 = 0x20;
pub(crate) const PUBACK: u8 = 0x40;
pub(crate) const PUBREC: u8 = 0x50;
pub(crate) const PUBCOMP: u8 = 0x70;
pub(crate) const SUBACK: u8 = 0x90;
pub(crate) const UNSUBACK: u8 = 0xb0;
pub(crate) const PINGRESP: u8 = 0xd0;
pub(crate) const DISCONNECT: u8 = 0xe0;

/// A packet's bytes.
pub(crate) fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    let mut left = body.len();
    loop {
        let low = (left % 128) as u8;
        left /= 128;
        bytes.push(if left > 0 { low | 0x80 } else { low });
        if left == 0 {
            break;
        }
    }
    bytes.extend_from_slice(body);
    bytes
}

/// A string or bytes with their length in front.
pub(crate) fn text(text: &[u8]) -> Vec<u8> {
    let mut bytes = u16::try_from(text.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend_from_slice(text);
    bytes
}

/// What a CONNECT says.
#[derive(Debug, Clone)]
pub(crate) struct Connect {
    pub(crate) version: u8,
    pub(crate) client_id: &'static str,
    pub(crate) clean: bool,
    pub(crate) keep_alive: u16,
    /// MQTT 5 only.
    pub(crate) expiry: Option<u32>,
    pub(crate) will: Option<(&'static str, &'static [u8])>,
    pub(crate) user: Option<&'static str>,
    pub(crate) password: Option<&'static str>,
}

impl Connect {
    pub(crate) fn new(version: u8, client_id: &'static str) -> Self {
        Self {
            version,
            client_id,
            clean: true,
            keep_alive: 0,
            expiry: None,
            will: None,
            user: None,
            password: None,
        }
    }

    /// A session that is kept; in MQTT 3.1.1, none that is clean is.
    pub(crate) fn session(version: u8, client_id: &'static str, clean: bool) -> Self {
        let expiry = (version == V5).then_some(3600);
        Self { clean, expiry, ..Self::new(version, client_id) }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut body = text(b"MQTT");
        let mut flags = u8::from(self.clean) << 1 | u8::from(self.will.is_some()) << 2;
        flags |= u8::from(self.user.is_some()) << 7 | u8::from(self.password.is_some()) << 6;
        body.extend([self.version, flags]);
        body.extend(self.keep_alive.to_be_bytes());
        if self.version == V5 {
            let mut properties = Vec::new();
            if let Some(expiry) = self.expiry {
                properties.push(0x11);
                properties.extend(expiry.to_be_bytes());
            }
            body.push(properties.len() as u8);
            body.extend(properties);
        }
        body.extend(text(self.client_id.as_bytes()));
        if let Some((topic, payload)) = self.will {
            if self.version == V5 {
                body.push(0);
            }
            body.extend(text(topic.as_bytes()));
            body.extend(text(payload));
        }
        for field in [self.user, self.password].into_iter().flatten() {
            body.extend(text(field.as_bytes()));
        }
        packet(0x10, &body)
    }
}

/// A PUBLISH with QoS 1.
pub(crate) fn publish(version: u8, id: u16, topic: &str, payload: &[u8]) -> Vec<u8> {
    publish_with(version, id, topic, &[], payload)
}

/// A PUBLISH with QoS 1 and, in MQTT 5, properties as they are on the wire.
pub(crate) fn publish_with(version: u8, id: u16, topic: &str, properties: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut body = text(topic.as_bytes());
    body.extend(id.to_be_bytes());
    if version == V5 {
        body.push(properties.len() as u8);
        body.extend_from_slice(properties);
    }
    body.extend_from_slice(payload);
    packet(0x32, &body)
}

/// A PUBLISH with QoS 2; `dup` says that it was sent before.
pub(crate) fn publish_once(version: u8, dup: bool, id: u16, topic: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = publish(version, id, topic, payload);
    bytes[0] = 0x34 | u8::from(dup) << 3;
    bytes
}

/// A PUBREL.
pub(crate) fn release(id: u16) -> Vec<u8> {
    packet(0x62, &id.to_be_bytes())
}

pub(crate) const PINGREQ: [u8; 2] = [0xc0, 0];
pub(crate) const GOODBYE: [u8; 2] = [0xe0, 0];

/// What bytes can be sent and received on.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Socket for S {}

pub(crate) struct Raw {
    socket: Box<dyn Socket>,
    version: u8,
}

impl Raw {
    /// A connection that has said nothing yet.
    pub(crate) async fn open(addr: SocketAddr, version: u8) -> Self {
        let socket = TcpStream::connect(addr).await.unwrap();
        socket.set_nodelay(true).unwrap();
        Self::on(socket, version)
    }

    /// The same on another socket.
    pub(crate) fn on(socket: impl Socket + 'static, version: u8) -> Self {
        Self { socket: Box::new(socket), version }
    }

    /// Connects, and answers whether there was a session.
    pub(crate) async fn connect(addr: SocketAddr, connect: &Connect) -> (Self, bool) {
        let mut raw = Self::open(addr, connect.version).await;
        let present = raw.begin(connect).await;
        (raw, present)
    }

    /// Says who it is, is let in, and answers whether there was a session.
    pub(crate) async fn begin(&mut self, connect: &Connect) -> bool {
        let connack = self.knock(connect).await;
        assert_eq!(connack[1], 0, "let in: {connack:?}");
        connack[0] == 1
    }

    /// Says who it is, and answers what the CONNACK holds.
    pub(crate) async fn knock(&mut self, connect: &Connect) -> Vec<u8> {
        self.send(&connect.bytes()).await;
        let connack = self.receive().await.expect("a CONNACK");
        assert_eq!(connack.kind, CONNACK, "{connack:?}");
        connack.body
    }

    /// Connects, unless nobody listens or the server goes before it has answered.
    pub(crate) async fn try_connect(addr: SocketAddr, connect: &Connect) -> Option<(Self, bool)> {
        let socket = TcpStream::connect(addr).await.ok()?;
        socket.set_nodelay(true).ok()?;
        let mut raw = Self::on(socket, connect.version);
        raw.try_send(&connect.bytes()).await?;
        let connack = raw.receive().await?;
        assert_eq!((connack.kind, connack.body[1]), (CONNACK, 0), "let in: {connack:?}");
        Some((raw, connack.body[0] == 1))
    }

    /// Connects with a clean session and no keep-alive.
    pub(crate) async fn enter(addr: SocketAddr, version: u8, client_id: &'static str) -> Self {
        Self::connect(addr, &Connect::new(version, client_id)).await.0
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let sending = async {
            self.socket.write_all(bytes).await?;
            self.socket.flush().await
        };
        timeout(PATIENCE, sending).await.expect("sent in time").unwrap();
    }

    /// Sends, unless the server is gone.
    pub(crate) async fn try_send(&mut self, bytes: &[u8]) -> Option<()> {
        timeout(PATIENCE, self.socket.write_all(bytes)).await.expect("sent in time").ok()
    }

    pub(crate) async fn publish(&mut self, id: u16, topic: &str, payload: &[u8]) {
        self.send(&publish(self.version, id, topic, payload)).await;
    }

    /// The next packet; none when the server has hung up.
    pub(crate) async fn receive(&mut self) -> Option<Packet> {
        timeout(PATIENCE, self.read_packet()).await.expect("a packet in time")
    }

    /// The ids of the next `count` packets, all of them PUBACKs.
    pub(crate) async fn pubacks(&mut self, count: usize) -> Vec<u16> {
        let mut ids = Vec::new();
        for _ in 0..count {
            ids.push(self.answer(PUBACK).await.0);
        }
        ids
    }

    /// The next packet, which is of this kind: its packet id, and its reason if it has one.
    pub(crate) async fn answer(&mut self, kind: u8) -> (u16, Option<u8>) {
        let packet = self.receive().await.expect("an answer");
        assert_eq!(packet.kind, kind, "{packet:?}");
        (u16::from_be_bytes([packet.body[0], packet.body[1]]), packet.body.get(2).copied())
    }

    /// Asserts that the server, which hears this client, has sent nothing.
    pub(crate) async fn hears_nothing(&mut self) {
        self.send(&PINGREQ).await;
        let packet = self.receive().await.expect("a PINGRESP");
        assert_eq!(packet.kind, PINGRESP, "{packet:?}");
    }

    /// The reason that the server gives for hanging up, if it gives one.
    pub(crate) async fn end(&mut self) -> Option<u8> {
        let reason = self.receive().await.map(|packet| {
            assert_eq!(packet.kind, DISCONNECT, "{packet:?}");
            packet.body.first().copied().unwrap_or_default()
        });
        if reason.is_some() {
            assert_eq!(self.receive().await, None, "the server hangs up");
        }
        reason
    }

    async fn read_packet(&mut self) -> Option<Packet> {
        let kind = self.socket.read_u8().await.ok()?;
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = self.socket.read_u8().await.ok()?;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.socket.read_exact(&mut body).await.ok()?;
        Some(Packet { kind, body })
    }
}
