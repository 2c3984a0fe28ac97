//! MQTT in the binary messages of a WebSocket (MQTT 5.0, section 6; [RFC 6455](https://www.rfc-editor.org/rfc/rfc6455)).
//!
//! Where messages begin and end means nothing to MQTT: a packet may span several, or share one with others.

use std::{
    fmt::Write as _,
    io::{self, Read as _, Write as _},
};

use bytes::{Buf, Bytes};
use tungstenite::{
    Error, Message,
    handshake::{
        machine::TryParse,
        server::{Request, create_response, write_response},
    },
    http::HeaderValue,
    protocol::{Role, WebSocketConfig, WebSocketContext},
};

use super::stream::Stream;

/// What a client must offer, and gets.
const SUBPROTOCOL: &str = "mqtt";

/// How long the request may be that opens a WebSocket.
const REQUEST_BYTES_MAX: usize = 16 << 10;

/// How much may wait to be written: more than tungstenite gathers (128 KiB), and than is handed to it at once.
const WRITE_BUFFER_BYTES_MAX: usize = 512 << 10;

/// How much is read at once.
const READ_BYTES: usize = 4 << 10;

/// How many messages one read takes before others get their turn: they may be empty, or about the WebSocket itself.
const ROUNDS_MAX: usize = 64;

/// What a message may hold beside a packet of the largest size: some more packets.
const MESSAGE_BYTES_MORE: usize = 64 << 10;

/// A stream, and the state of the WebSocket on it.
pub(super) struct WebSocket {
    stream: Stream,
    message_bytes_max: usize,
    /// The request that opens it, as far as it has been read.
    request: Vec<u8>,
    /// The answer to it, as far as it has not been written.
    response: Vec<u8>,
    /// From the end of the request on.
    context: Option<WebSocketContext>,
    /// What is left of a message.
    rest: Bytes,
    /// Whether more has been read from the stream than handed on.
    more: bool,
    unflushed: bool,
}

impl WebSocket {
    /// Waits for the request on `stream`.
    pub(super) fn new(stream: Stream, packet_bytes_max: u32) -> Self {
        let packet_bytes_max = usize::try_from(packet_bytes_max).unwrap_or(usize::MAX);
        Self {
            stream,
            message_bytes_max: packet_bytes_max.saturating_add(MESSAGE_BYTES_MORE),
            request: Vec::new(),
            response: Vec::new(),
            context: None,
            rest: Bytes::new(),
            more: false,
            unflushed: false,
        }
    }

    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }

    pub(super) fn stream_mut(&mut self) -> &mut Stream {
        &mut self.stream
    }

    pub(super) fn has_more(&self) -> bool {
        self.more || !self.rest.is_empty() || self.stream.has_more()
    }

    pub(super) fn wants_write(&self) -> bool {
        self.unflushed || !self.response.is_empty() || self.stream.wants_write()
    }

    /// Reads what there is, up to a full buffer.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.context.is_none() {
            self.open()?;
        }
        let mut count = 0;
        self.more = true;
        for _ in 0..ROUNDS_MAX {
            if self.rest.is_empty() {
                match self.receive() {
                    Ok(true) => {}
                    Ok(false) => return Ok(count),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.more = false;
                        break;
                    }
                    Err(error) => return Err(error),
                }
            }
            let part = self.rest.len().min(buffer.len() - count);
            self.rest.copy_to_slice(&mut buffer[count..count + part]);
            count += part;
            if count == buffer.len() {
                break;
            }
        }
        if count > 0 { Ok(count) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }

    /// Takes the next message of the peer; `false` when it will send no more.
    fn receive(&mut self) -> io::Result<bool> {
        let Some(context) = &mut self.context else { return Ok(false) };
        match context.read(&mut self.stream) {
            Ok(Message::Binary(message)) => self.rest = message,
            Ok(Message::Text(_)) => {
                return Err(invalid("a WebSocket message is text; MQTT takes binary ones"));
            }
            // What is to be answered has been, or is flushed later.
            Ok(_control) => self.unflushed = true,
            Err(Error::Io(error)) => return Err(error),
            Err(Error::ConnectionClosed | Error::AlreadyClosed) => return Ok(false),
            // Whoever hangs up without a word of WebSocket has hung up all the same.
            Err(Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake)) => {
                return Ok(false);
            }
            Err(error) => return Err(invalid(format!("WebSocket: {error}"))),
        }
        Ok(true)
    }

    /// Writes bytes as one message, when those before have left.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let Some(context) = &mut self.context else { return Err(io::ErrorKind::WouldBlock.into()) };
        // It is taken whether or not it can leave now.
        self.unflushed = true;
        match context.write(&mut self.stream, Message::binary(Bytes::copy_from_slice(bytes))) {
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(broken_pipe(error)),
            Ok(()) => {}
        }
        Ok(bytes.len())
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        while !self.response.is_empty() {
            let count = self.stream.write(&self.response)?;
            self.response.drain(..count);
        }
        if self.unflushed
            && let Some(context) = &mut self.context
        {
            match context.flush(&mut self.stream) {
                Ok(()) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => {}
                Err(error) => return Err(broken_pipe(error)),
            }
            self.unflushed = false;
        }
        self.stream.flush()
    }

    /// Says that nothing will follow; to be flushed.
    pub(super) fn end(&mut self) {
        if let Some(context) = &mut self.context {
            // What cannot leave now leaves with the flush; where the peer was first, it is answered already.
            let _later = context.close(&mut self.stream, None);
            self.unflushed = true;
        }
    }

    /// Reads the request, and answers it when it is whole.
    fn open(&mut self) -> io::Result<()> {
        loop {
            let mut part = [0; READ_BYTES];
            let count = self.stream.read(&mut part)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.request.extend_from_slice(&part[..count]);
            match Request::try_parse(&self.request) {
                Ok(Some((size, request))) => return self.answer(size, &request),
                Ok(None) if self.request.len() < REQUEST_BYTES_MAX => {}
                Ok(None) => return Err(self.refuse("the request is too long")),
                Err(error) => return Err(self.refuse(&error.to_string())),
            }
        }
    }

    fn answer(&mut self, size: usize, request: &Request) -> io::Result<()> {
        let mut response = create_response(request).map_err(|error| self.refuse(&error.to_string()))?;
        let offered = request.headers().get_all("Sec-WebSocket-Protocol");
        let offered = offered.iter().filter_map(|list| list.to_str().ok()).flat_map(|list| list.split(','));
        if !offered.map(str::trim).any(|offer| offer == SUBPROTOCOL) {
            return Err(self.refuse("the client does not offer the subprotocol mqtt"));
        }
        response.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(SUBPROTOCOL));
        write_response(&mut self.response, &response).map_err(|error| self.refuse(&error.to_string()))?;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .max_frame_size(Some(self.message_bytes_max))
            .max_message_size(Some(self.message_bytes_max))
            // A peer that sends pings and reads no pongs gets no more of them.
            .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX);
        let ahead = self.request.split_off(size);
        self.request = Vec::new();
        self.context = Some(WebSocketContext::from_partially_read(ahead, Role::Server, Some(config)));
        match self.flush() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }

    /// Makes ready what tells the peer, and the error that tells us.
    fn refuse(&mut self, why: &str) -> io::Error {
        self.response.clear();
        let mut head = String::from("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n");
        // To text that never fails.
        let _written =
            write!(head, "Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n{why}\n", why.len() + 1);
        self.response.extend_from_slice(head.as_bytes());
        invalid(format!("it opens no WebSocket: {why}"))
    }
}

fn invalid(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn broken_pipe(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        error => io::Error::new(io::ErrorKind::BrokenPipe, error),
    }
}
