//! A socket and the MQTT state machine on it: bytes in, packets out, and back.

mod link;
mod plain;
mod stream;
mod websocket;

use std::{io, mem, sync::Arc, time::Duration};

use mqtt_protocol_core::mqtt::{
    Connection, Version,
    common::{Cursor, HashSet},
    connection::{ConnectionOptions, Event, Sendable},
    packet::{GenericPacketTrait, Packet, Qos},
    result_code::MqttError,
    role::Server,
};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest, Ready},
    net::TcpStream,
    task::coop::consume_budget,
    time::timeout,
};

pub(super) use self::plain::Plain;
use self::{link::Link, stream::Stream, websocket::WebSocket};

/// A read that fills the buffer doubles it, from here…
const READ_BYTES_MIN: usize = 4 << 10;

/// … to here.
const READ_BYTES_MAX: usize = 64 << 10;

/// With so many bytes unsent, the peer reads too little to be read from.
const UNSENT_BYTES_MAX: usize = 64 << 10;

/// How long a peer may take to hang up after us. Closing before it has read everything would throw
/// away what is still on its way to it.
const HANG_UP: Duration = Duration::from_secs(1);

/// One connection, as packets.
pub(super) struct Wire {
    link: Link,
    protocol: Connection<Server>,
    packet_bytes_max: u32,
    /// Whether the state machine has the beginning of a packet.
    begun: bool,
    incoming: Vec<u8>,
    parsed: usize,
    filled: usize,
    outgoing: Vec<u8>,
    written: usize,
}

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// Bytes; `more` when there may be more of them right away.
    Bytes { more: bool },
    /// Nothing yet.
    Nothing,
    /// The peer will send no more.
    End,
}

impl Wire {
    /// Takes packets of at most `packet_bytes_max`, by TLS if that is set up, in a WebSocket if it is to be one. The
    /// handshakes of both are part of the first reads.
    ///
    /// # Errors
    /// When TLS cannot be begun.
    pub(super) fn new(
        socket: TcpStream,
        tls: Option<Arc<ServerConfig>>,
        websocket: bool,
        packet_bytes_max: u32,
    ) -> Result<Self, rustls::Error> {
        let stream = match tls {
            Some(config) => Stream::tls(socket, config)?,
            None => Stream::Plain(socket),
        };
        let link = if websocket {
            Link::WebSocket(Box::new(WebSocket::new(stream, packet_bytes_max)))
        } else {
            Link::Stream(stream)
        };
        let options = ConnectionOptions::new().maximum_packet_size_recv(packet_bytes_max);
        let mut protocol = Connection::with_options(Version::Undetermined, options);
        protocol.set_auto_pub_response(false);
        protocol.set_auto_ping_response(true);
        Ok(Self {
            link,
            protocol,
            packet_bytes_max,
            begun: false,
            incoming: vec![0; READ_BYTES_MIN],
            parsed: 0,
            filled: 0,
            outgoing: Vec::new(),
            written: 0,
        })
    }

    /// Whether the peer has shown a certificate of the client CA.
    pub(super) fn is_certified(&self) -> bool {
        self.link.stream().is_certified()
    }

    /// The version of MQTT that the peer speaks, once it has said so.
    pub(super) fn version(&self) -> Version {
        self.protocol.get_protocol_version()
    }

    /// Whether bytes have been read that no packet has been made of yet.
    pub(super) fn has_unparsed(&self) -> bool {
        self.parsed < self.filled
    }

    /// Whether the peer leaves too many of our bytes unread.
    pub(super) fn is_congested(&self) -> bool {
        self.outgoing.len() - self.written >= UNSENT_BYTES_MAX
    }

    /// Whether bytes are still to be written.
    pub(super) fn has_unsent(&self) -> bool {
        self.written < self.outgoing.len() || self.link.wants_write()
    }

    /// Waits until a read (if `reads`) or a write (if there is something to write) can do something.
    pub(super) async fn ready(&self, reads: bool) -> io::Result<Ready> {
        // A peer that always has something to say must not keep others from their turn.
        consume_budget().await;
        if reads && self.link.has_more() {
            return Ok(Ready::READABLE);
        }
        let interest = match (reads, self.has_unsent()) {
            (true, true) => Interest::READABLE | Interest::WRITABLE,
            (true, false) => Interest::READABLE,
            (false, _) => Interest::WRITABLE,
        };
        self.link.socket().ready(interest).await
    }

    /// Reads what there is, after everything that was read before has been parsed.
    pub(super) fn read(&mut self) -> io::Result<Read> {
        match self.link.read(&mut self.incoming) {
            Ok(0) => Ok(Read::End),
            Ok(count) => {
                (self.parsed, self.filled) = (0, count);
                Ok(Read::Bytes { more: count == self.incoming.len() || self.link.has_more() })
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Read::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Lends the bytes read, so that packets can be looked at where they lie. Until they are given back, nothing may be read.
    pub(super) fn lend(&mut self) -> Vec<u8> {
        mem::take(&mut self.incoming)
    }

    /// Takes back what was lent.
    pub(super) fn give_back(&mut self, lent: Vec<u8>) {
        self.incoming = lent;
    }

    /// The next packet of the bytes lent, if it is a plain one and whole; else it is left to [`Wire::next`]. The state machine
    /// does not know of it, nor whether the peer may send it, and the answer is to be [`Wire::send_puback`].
    pub(super) fn next_plain<'a>(&mut self, lent: &'a [u8]) -> Option<Plain<'a>> {
        let unparsed = lent.get(self.parsed..self.filled).filter(|_| !self.begun)?;
        let (packet, length) = Plain::parse(unparsed, self.version(), self.packet_bytes_max)?;
        self.parsed += length;
        Some(packet)
    }

    /// The next packet of the bytes read, if they hold a whole one.
    ///
    /// # Errors
    /// When they break the protocol. What MQTT wants the peer to be told is ready to be written;
    /// after that the connection is to be closed.
    pub(super) fn next(&mut self) -> Result<Option<Packet>, MqttError> {
        while self.parsed < self.filled {
            let mut cursor = Cursor::new(&self.incoming[self.parsed..self.filled]);
            let events = self.protocol.recv(&mut cursor);
            self.begun = events.is_empty();
            self.parsed += usize::try_from(cursor.position()).unwrap_or(usize::MAX);
            if let Some(packet) = self.carry_out(events)? {
                if is_qos_2(&packet) {
                    // Which packet ids are known is for the session to say. The state machine would
                    // answer a repeat at once, durable or not, and panic at one with packet id 0.
                    self.protocol.restore_qos2_publish_handled(HashSet::default());
                }
                return Ok(Some(packet));
            }
        }
        if self.filled == self.incoming.len() && self.filled < READ_BYTES_MAX {
            self.incoming.resize(self.filled * 2, 0);
        }
        Ok(None)
    }

    /// Makes a packet ready to be written.
    ///
    /// # Errors
    /// When it may not be sent now, or is larger than the peer takes.
    pub(super) fn send(&mut self, packet: impl Sendable<Server, u16>) -> Result<(), MqttError> {
        let events = self.protocol.checked_send(packet);
        self.carry_out(events).map(|_none| ())
    }

    /// Makes bytes ready to be written that the state machine would not make.
    pub(super) fn send_raw(&mut self, bytes: &[u8]) {
        self.outgoing.extend_from_slice(bytes);
    }

    /// Makes the PUBACK of a plain packet ready to be written: that of success, the same in all versions.
    pub(super) fn send_puback(&mut self, packet_id: u16) {
        let [high, low] = packet_id.to_be_bytes();
        self.send_raw(&[0x40, 2, high, low]);
    }

    /// Takes back what is ready to be written.
    pub(super) fn unsay(&mut self) {
        self.outgoing.clear();
        self.written = 0;
    }

    /// Timers are not taken from the state machine: only the connection knows when it listens.
    fn carry_out(&mut self, events: Vec<Event>) -> Result<Option<Packet>, MqttError> {
        let (mut received, mut failed) = (None, None);
        for event in events {
            match event {
                Event::NotifyPacketReceived(packet) => received = Some(packet),
                Event::RequestSendPacket { packet, .. } => {
                    for part in packet.to_buffers() {
                        self.outgoing.extend_from_slice(&part);
                    }
                }
                Event::NotifyError(error) => failed = Some(error),
                Event::RequestClose
                | Event::NotifyPacketIdReleased(_)
                | Event::RequestTimerReset { .. }
                | Event::RequestTimerCancel(_) => {}
            }
        }
        failed.map_or(Ok(received), Err)
    }

    /// Writes as much as goes without waiting.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while self.written < self.outgoing.len() {
            match self.link.write(&self.outgoing[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.outgoing.clear();
        self.written = 0;
        match self.link.flush() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }

    /// Writes what is left, then waits a little for the peer to hang up.
    pub(super) async fn close(mut self) {
        let ending = async {
            self.flush_all().await?;
            self.link.end_messages();
            self.flush_all().await?;
            self.link.end_stream();
            self.flush_all().await?;
            let socket = self.link.socket_mut();
            socket.shutdown().await?;
            while socket.read(&mut self.incoming).await? > 0 {}
            io::Result::Ok(())
        };
        // However this ends, nobody is left to be told.
        let _ended = timeout(HANG_UP, ending).await;
    }

    async fn flush_all(&mut self) -> io::Result<()> {
        self.flush()?;
        while self.has_unsent() {
            self.ready(false).await?;
            self.flush()?;
        }
        Ok(())
    }
}

fn is_qos_2(packet: &Packet) -> bool {
    let qos = match packet {
        Packet::V3_1_1Publish(publish) => publish.qos(),
        Packet::V5_0Publish(publish) => publish.qos(),
        _ => return false,
    };
    qos == Qos::ExactlyOnce
}
