//! The pipeline seen from outside: `/metrics`, `/healthz` and `/readyz` over HTTP.
//!
//! - `/metrics` answers in the text format of [OpenMetrics 1.0](https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md),
//!   which Prometheus reads.
//! - `/healthz` is 200 as long as this process answers: when it is not, restart it.
//! - `/readyz` is 200 when messages are taken, the queues answer, the lake can be written and the books balance, else 503; its body says
//!   which of these is missing. While a process drains, it is not ready.

mod asked;
mod metrics;
mod ready;
mod server;

use std::{io, net::SocketAddr, sync::Arc};

use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinError, JoinSet},
};

use self::asked::Last;
use crate::{database::Database, ingest::IngestView, lake::LakeMeters, queue::Queues, worker::Forgotten};

/// What the console looks at.
pub(crate) struct View {
    /// The queues, and with them the books.
    pub(crate) queues: Queues,
    /// The data file, where this process has one.
    pub(crate) database: Option<Database>,
    /// The intake, where this process has one.
    pub(crate) ingest: Option<IngestView>,
    /// What store has written, where this process has one.
    pub(crate) lake: Option<Arc<LakeMeters>>,
    /// Rows that the memory of repeats of this process had to forget early.
    pub(crate) forgotten: Forgotten,
    /// Whether this process is on its way to its end.
    pub(crate) stopping: watch::Receiver<bool>,
}

/// What clients are answered from.
struct Shown {
    view: View,
    last: Last,
}

/// A running console; dropping it ends it.
pub(crate) struct Console {
    local_addr: SocketAddr,
    server: JoinSet<()>,
}

/// Why there is no console.
#[derive(Debug, thiserror::Error)]
#[error(
    "the console cannot listen on {listen}: {source}; choose another address (console.listen, or --console ADDR:PORT)"
)]
pub struct ConsoleError {
    /// Where it should have listened.
    listen: SocketAddr,
    /// What the system says.
    source: io::Error,
}

impl Console {
    /// Answers on `listen` from then on; port 0 picks a free one.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub(crate) async fn start(listen: SocketAddr, view: View) -> Result<Self, ConsoleError> {
        let failed = |source| ConsoleError { listen, source };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let local_addr = listener.local_addr().map_err(failed)?;
        let mut server = JoinSet::new();
        server.spawn(server::serve(listener, Arc::new(Shown { view, last: Last::default() })));
        Ok(Self { local_addr, server })
    }

    /// Where it listens, with the port that was picked.
    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Waits until it ends by a bug; for ever, if it never does.
    pub(crate) async fn failed(&mut self) -> JoinError {
        loop {
            match self.server.join_next().await {
                Some(Err(error)) => return error,
                Some(Ok(())) => {}
                None => std::future::pending().await,
            }
        }
    }
}
