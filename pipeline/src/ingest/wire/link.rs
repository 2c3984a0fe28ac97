//! What bytes go through below MQTT: a stream, or the messages of a WebSocket on one.

use std::io::{self, Read as _, Write as _};

use tokio::net::TcpStream;

use super::{stream::Stream, websocket::WebSocket};

/// Reading and writing answer [`io::ErrorKind::WouldBlock`] when there is nothing to do now. The plain path adds
/// nothing to the socket but a branch.
pub(super) enum Link {
    Stream(Stream),
    WebSocket(Box<WebSocket>),
}

impl Link {
    pub(super) fn socket(&self) -> &TcpStream {
        self.stream().socket()
    }

    pub(super) fn socket_mut(&mut self) -> &mut TcpStream {
        match self {
            Self::Stream(stream) => stream.socket_mut(),
            Self::WebSocket(websocket) => websocket.stream_mut().socket_mut(),
        }
    }

    pub(super) fn stream(&self) -> &Stream {
        match self {
            Self::Stream(stream) => stream,
            Self::WebSocket(websocket) => websocket.stream(),
        }
    }

    /// Whether there is something to read, whatever the socket says.
    pub(super) fn has_more(&self) -> bool {
        match self {
            Self::Stream(stream) => stream.has_more(),
            Self::WebSocket(websocket) => websocket.has_more(),
        }
    }

    /// Whether [`Link::flush`] has something to do.
    pub(super) fn wants_write(&self) -> bool {
        match self {
            Self::Stream(stream) => stream.wants_write(),
            Self::WebSocket(websocket) => websocket.wants_write(),
        }
    }

    /// Reads what there is; 0 when the peer will send no more.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Stream(stream) => stream.read(buffer),
            Self::WebSocket(websocket) => websocket.read(buffer),
        }
    }

    /// Takes as many of the bytes as can be.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stream(stream) => stream.write(bytes),
            Self::WebSocket(websocket) => websocket.write(bytes),
        }
    }

    /// Writes what was taken.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stream(stream) => stream.flush(),
            Self::WebSocket(websocket) => websocket.flush(),
        }
    }

    /// Ends the WebSocket, if it is one; to be flushed.
    pub(super) fn end_messages(&mut self) {
        if let Self::WebSocket(websocket) = self {
            websocket.end();
        }
    }

    /// Ends TLS, if it is that; to be flushed.
    pub(super) fn end_stream(&mut self) {
        match self {
            Self::Stream(stream) => stream.end(),
            Self::WebSocket(websocket) => websocket.stream_mut().end(),
        }
    }
}
