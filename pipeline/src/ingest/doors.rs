//! The ways in: where the listener listens, and what is spoken there.

use std::{
    fmt,
    future::poll_fn,
    io,
    net::SocketAddr,
    task::{Context, Poll},
};

use tokio::net::{TcpListener, TcpStream};

use super::{IngestError, ListenerOptions, Scheme};

/// A way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Door {
    /// What is spoken there.
    pub scheme: Scheme,
    /// The address and port.
    pub address: SocketAddr,
}

/// The URL that clients connect to.
impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.address)
    }
}

impl ListenerOptions {
    /// Every door, in the order in which they are told of.
    pub fn doors(&self) -> Vec<Door> {
        let doors = [
            (Scheme::Mqtt, self.listen),
            (Scheme::Mqtts, self.listen_tls),
            (Scheme::Ws, self.listen_websocket),
            (Scheme::Wss, self.listen_websocket_tls),
        ];
        doors.into_iter().filter_map(|(scheme, address)| Some(Door { scheme, address: address? })).collect()
    }

    /// Whether other machines could publish at a door without anybody's leave.
    pub fn is_exposed(&self, door: Door) -> bool {
        let certified =
            door.scheme.is_tls() && self.tls.as_ref().is_some_and(|tls| tls.client_ca_file.is_some());
        !door.address.ip().is_loopback() && !self.allow_anonymous && self.users_file.is_none() && !certified
    }
}

/// Doors that are listened at.
pub(super) struct Doors {
    sockets: Vec<(Scheme, TcpListener)>,
    /// Where to look next, so that a crowd at one door does not keep those at the others waiting.
    turn: usize,
}

impl Doors {
    /// # Errors
    /// When one of them may not be listened at without authentication, or cannot be.
    pub(super) async fn open(options: &ListenerOptions) -> Result<Self, IngestError> {
        let mut sockets = Vec::new();
        for door in options.doors() {
            if options.is_exposed(door) {
                return Err(IngestError::Anonymous { door });
            }
            if door.scheme.is_tls() && options.tls.is_none() {
                return Err(IngestError::NoCertificate { door });
            }
            let socket = TcpListener::bind(door.address).await.map_err(|source| match source.kind() {
                io::ErrorKind::AddrInUse => IngestError::Taken { door },
                _ => IngestError::Listen { door, source },
            })?;
            sockets.push((door.scheme, socket));
        }
        Ok(Self { sockets, turn: 0 })
    }

    /// The doors, with the ports that were picked.
    ///
    /// # Errors
    /// When the system does not tell.
    pub(super) fn addresses(&self) -> io::Result<Vec<Door>> {
        let door = |(scheme, socket): &(Scheme, TcpListener)| {
            Ok(Door { scheme: *scheme, address: socket.local_addr()? })
        };
        self.sockets.iter().map(door).collect()
    }

    /// Waits for the next client at any of them.
    pub(super) async fn accept(&mut self) -> io::Result<(Scheme, TcpStream, SocketAddr)> {
        poll_fn(|context| self.poll_accept(context)).await
    }

    fn poll_accept(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<(Scheme, TcpStream, SocketAddr)>> {
        let count = self.sockets.len();
        for (scheme, socket) in self.sockets.iter().cycle().skip(self.turn).take(count) {
            if let Poll::Ready(accepted) = socket.poll_accept(context) {
                self.turn = (self.turn + 1) % count;
                return Poll::Ready(accepted.map(|(stream, peer)| (*scheme, stream, peer)));
            }
        }
        Poll::Pending
    }
}
