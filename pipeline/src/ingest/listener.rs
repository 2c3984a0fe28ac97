//! Ingest's MQTT endpoint: devices connect straight to it.

use std::{
    collections::HashSet,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustls::ServerConfig;
use tokio::{
    net::TcpStream,
    sync::watch,
    task::{JoinError, JoinSet},
};

use super::{
    IngestError, Phase, connection, counters::Counters, doors::Doors, packer::Packer, scheme::Scheme,
    sessions::Sessions, tls::TlsOptions, users::Users, wire::Wire,
};

/// How long to wait when the system cannot give us a connection, as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How many complaints are remembered, so that each is logged once per client.
const COMPLAINTS_MAX: usize = 10_000;

/// What the endpoint takes, and how much of it.
///
/// The retain flag is taken and ignored; subscriptions are refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerOptions {
    /// Where to listen for MQTT; port 0 picks a free one.
    pub listen: Option<SocketAddr>,
    /// Where to listen for MQTT by TLS.
    pub listen_tls: Option<SocketAddr>,
    /// Where to listen for WebSockets.
    pub listen_websocket: Option<SocketAddr>,
    /// Where to listen for WebSockets by TLS.
    pub listen_websocket_tls: Option<SocketAddr>,
    /// The certificates for TLS.
    pub tls: Option<TlsOptions>,
    /// The file of those who may log in; without it, user names and passwords are taken and ignored.
    pub users_file: Option<PathBuf>,
    /// Whether everybody may publish who can connect, without a log-in, and from other machines.
    pub allow_anonymous: bool,
    /// The largest MQTT packet taken, in bytes, at least 1; a frame with just that message must fit the
    /// queues.
    pub packet_bytes_max: u32,
    /// How many messages a client of MQTT 5 may have unacknowledged, at least 1.
    pub receive_maximum: u16,
    /// How many clients may be connected.
    pub connections_max: usize,
    /// How many sessions outlive their connections, before clients with more of them are refused.
    pub sessions_max: u32,
    /// The longest a session outlives its connection; MQTT 3.1.1 sessions always do for so long.
    pub session_expiry_secs_max: u32,
    /// How long a client may take until its CONNECT is there.
    pub connect_timeout: Duration,
}

impl Default for ListenerOptions {
    fn default() -> Self {
        Self {
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 1883))),
            listen_tls: None,
            listen_websocket: None,
            listen_websocket_tls: None,
            tls: None,
            users_file: None,
            allow_anonymous: false,
            packet_bytes_max: 1 << 20,
            receive_maximum: 1024,
            connections_max: 10_000,
            sessions_max: 100_000,
            session_expiry_secs_max: 7 * 24 * 3600,
            connect_timeout: Duration::from_secs(10),
        }
    }
}

/// What all connections share.
pub(super) struct Shared {
    pub(super) options: ListenerOptions,
    pub(super) packer: Arc<Packer>,
    pub(super) sessions: Sessions,
    pub(super) counters: Arc<Counters>,
    /// Who may log in, if not everybody.
    pub(super) users: Option<Arc<Users>>,
    tls: Option<Arc<ServerConfig>>,
    complaints: Mutex<HashSet<(String, &'static str)>>,
}

impl Shared {
    /// # Errors
    /// When the certificates or the users cannot be read.
    pub(super) fn new(
        options: ListenerOptions,
        packer: Arc<Packer>,
        sessions: Sessions,
        counters: Arc<Counters>,
    ) -> Result<Arc<Self>, IngestError> {
        let tls = options.tls.as_ref().map(TlsOptions::load).transpose()?;
        let known_max = usize::try_from(options.sessions_max).unwrap_or(usize::MAX);
        let users = options.users_file.clone().map(|path| Users::open(path, known_max)).transpose()?;
        let users = users.map(Arc::new);
        Ok(Arc::new(Self { options, packer, sessions, counters, users, tls, complaints: Mutex::default() }))
    }

    /// Whether this has not been said of this client yet.
    pub(super) fn complains(&self, client: &str, about: &'static str) -> bool {
        let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        if complaints.len() >= COMPLAINTS_MAX {
            complaints.clear();
        }
        complaints.insert((client.to_owned(), about))
    }
}

/// Serves clients until the phase changes and the last of them is gone.
pub(super) async fn listen(mut doors: Doors, shared: Arc<Shared>, mut phase: watch::Receiver<Phase>) {
    let mut connections = JoinSet::new();
    let mut full = false;
    loop {
        tokio::select! {
            biased;
            // From serving there is only one way, and whoever asks has gone means the same.
            _ = phase.changed() => break,
            Some(ended) = connections.join_next() => {
                full = false;
                note_end(&shared, ended);
            }
            accepted = doors.accept() => match accepted {
                Ok((scheme, socket, peer)) if connections.len() < shared.options.connections_max => {
                    welcome(&mut connections, &shared, scheme, socket, peer, &phase);
                }
                Ok((_, _closed, peer)) => {
                    shared.counters.refused_connection();
                    if !full {
                        let max = shared.options.connections_max;
                        tracing::warn!(%peer, "refusing connections: there are connections_max, {max}, already");
                    }
                    full = true;
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    drop(doors);
    while let Some(ended) = connections.join_next().await {
        note_end(&shared, ended);
    }
}

fn welcome(
    connections: &mut JoinSet<()>,
    shared: &Arc<Shared>,
    scheme: Scheme,
    socket: TcpStream,
    peer: SocketAddr,
    phase: &watch::Receiver<Phase>,
) {
    // Acknowledgements are small and awaited. Where this fails, they are only slower.
    let _slower = socket.set_nodelay(true);
    let tls = shared.tls.clone().filter(|_| scheme.is_tls());
    match Wire::new(socket, tls, scheme.is_websocket(), shared.options.packet_bytes_max) {
        Ok(wire) => {
            shared.counters.connected();
            connections.spawn(connection::serve(Arc::clone(shared), wire, peer, phase.clone()));
        }
        Err(error) => tracing::error!(%error, "cannot begin a connection by TLS"),
    }
}

fn note_end(shared: &Shared, ended: Result<(), JoinError>) {
    shared.counters.disconnected();
    if let Err(error) = ended {
        tracing::error!(%error, "a connection ended by a bug in this program; its client may come again");
    }
}
