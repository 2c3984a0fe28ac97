//! Why there is no intake.

use std::{io, net::SocketAddr};

use stages::frame::FrameError;
use tokio::task::JoinError;

use super::{Door, Scheme, TlsError, UsersError};
use crate::{database::DatabaseError, queue::QueueError};

/// Why there is no intake, or none any more.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The address can be reached from elsewhere, and nobody has allowed that.
    #[error(
        "refused to listen on {}: whoever reaches it could publish, since clients are not \
         authenticated; listen on 127.0.0.1, or set users_file, or set allow_anonymous: true where the \
         network is trusted", door.address
    )]
    Anonymous {
        /// Where it should have listened.
        door: Door,
    },
    /// Another process listens there.
    #[error(
        "cannot listen on {}: the address is taken; stop the process that has it, or listen elsewhere ({})",
        door.address, elsewhere(*door)
    )]
    Taken {
        /// Where it should have listened.
        door: Door,
    },
    /// The system does not let us listen there.
    #[error("cannot listen on {}: {source}; choose another address ({})", door.address, elsewhere(*door))]
    Listen {
        /// Where it should have listened.
        door: Door,
        /// What the system says.
        source: io::Error,
    },
    /// A door for TLS, and no certificate.
    #[error("cannot listen on {door} without a certificate; set tls.cert_file and tls.key_file")]
    NoCertificate {
        /// Where it should have listened.
        door: Door,
    },
    /// The certificates cannot be used.
    #[error("no TLS: {0}")]
    Tls(#[from] TlsError),
    /// The file of users cannot be used.
    #[error(transparent)]
    Users(#[from] UsersError),
    /// The system does not tell which port it picked.
    #[error("cannot tell where ingest listens: {0}")]
    Address(io::Error),
    /// What the config says of the broker cannot be used.
    #[error("cannot subscribe: {0}")]
    Subscribe(String),
    /// The data file cannot be used.
    #[error("ingest: {0}")]
    Database(#[from] DatabaseError),
    /// A queue does not take what was packed.
    #[error("ingest cannot publish: {0}")]
    Queue(#[from] QueueError),
    /// A frame could not be made.
    #[error("ingest cannot make a frame: {0}")]
    Frame(#[from] FrameError),
    /// A task ended by a bug.
    #[error("a task of ingest ended by a bug in this program: {0}")]
    Bug(JoinError),
}

/// How to listen elsewhere.
fn elsewhere(door: Door) -> String {
    let free = SocketAddr::new(door.address.ip(), 0);
    match door.scheme {
        Scheme::Mqtt => format!("`--listen {free}` picks a free port"),
        scheme => format!("{}: {free} picks a free port", scheme.key()),
    }
}
