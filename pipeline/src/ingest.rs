//! The intake: MQTT messages, packed into frames and published.
//!
//! A message is acknowledged only after the frame it is in is durable in its queue, and
//! acknowledgements leave in the order of receipt. When the queues are full, publishing waits; then
//! the packer's buffers fill; then acknowledgements are withheld, sockets are no longer read, and
//! nobody's keep-alive counts. Nothing is dropped.
//!
//! The packer and its publisher know nothing of who brings the messages. That is one of two faces, or both: the
//! *listener*, an MQTT 3.1.1 and 5.0 endpoint of our own, and the *subscriber*, a client of a broker.

mod connection;
mod counters;
mod doors;
mod hello;
mod listener;
mod packer;
mod publisher;
mod replies;
mod sessions;
mod subscriber;
mod tls;
mod users;
mod window;
mod wire;

use std::{io, net::SocketAddr, sync::Arc, time::SystemTime};

use stages::{
    frame::{FrameError, Micros},
    topic::Topics,
};
use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
};

pub(crate) use self::subscriber::{TlsFiles, filters};
use self::{
    counters::Counters,
    doors::Doors,
    listener::Shared,
    packer::Packer,
    publisher::{Publisher, next_epoch},
    sessions::Sessions,
};
pub use self::{
    counters::IngestStats,
    doors::{Door, Scheme},
    listener::ListenerOptions,
    packer::PackerOptions,
    subscriber::{Broker, MqttVersion, SubscriberOptions},
    tls::{TlsError, TlsOptions},
    users::{UserList, UsersError, check_name, hash_password},
};
use crate::{
    database::{Database, DatabaseError},
    queue::{QueueError, Queues},
};

/// Who brings the messages.
#[derive(Debug, Clone, Default)]
pub struct Faces {
    /// Devices that connect to us.
    pub listener: Option<ListenerOptions>,
    /// A broker that we connect to.
    pub subscriber: Option<SubscriberOptions>,
}

/// A running intake. Dropping it ends it at once: what is not durable yet is not acknowledged either.
pub struct Ingest {
    doors: Vec<Door>,
    packer: Arc<Packer>,
    counters: Arc<Counters>,
    phase: watch::Sender<Phase>,
    faces: JoinSet<()>,
    publisher: JoinSet<()>,
}

/// Where an intake is between its start and its end.
#[derive(Debug, Clone)]
enum Phase {
    /// Messages are taken.
    Serving,
    /// None are taken any more, those that were taken are made durable and acknowledged.
    Stopping,
    /// Publishing cannot work any more.
    Failed(Arc<IngestError>),
}

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

impl Ingest {
    /// Listens and subscribes, and takes messages from then on. A broker that cannot be reached is no error: it is
    /// tried again until it can.
    ///
    /// # Errors
    /// When it may not or cannot listen there, the certificates or the users cannot be read, or the database cannot be
    /// written.
    pub async fn start(
        queues: Queues,
        database: Database,
        topics: Arc<Topics>,
        packer: PackerOptions,
        faces: Faces,
    ) -> Result<Self, IngestError> {
        let doors = match &faces.listener {
            Some(listener) => Some(Doors::open(listener).await?),
            None => None,
        };
        let epoch = next_epoch(&database).await?;
        let packer = Packer::new(packer, topics, epoch);
        let counters = Arc::new(Counters::default());
        let publisher = Publisher {
            packer: Arc::clone(&packer),
            queues,
            database: database.clone(),
            counters: Arc::clone(&counters),
            epoch,
            frames: 0,
        };
        let phase = watch::Sender::new(Phase::Serving);
        let mut ingest = Self {
            doors: Vec::new(),
            packer,
            counters,
            phase,
            faces: JoinSet::new(),
            publisher: JoinSet::new(),
        };
        if let (Some(options), Some(doors)) = (faces.listener, doors) {
            ingest.listen(options, doors, database).await?;
        }
        if let Some(options) = faces.subscriber {
            let (packer, counters) = (Arc::clone(&ingest.packer), Arc::clone(&ingest.counters));
            let shared = subscriber::Shared { options, packer, counters };
            let subscriber = subscriber::subscribe(shared, ingest.phase.subscribe());
            ingest.faces.spawn(serve(subscriber, ingest.phase.clone()));
        }
        ingest.publisher.spawn(publish(publisher, ingest.phase.clone()));
        Ok(ingest)
    }

    async fn listen(
        &mut self,
        options: ListenerOptions,
        doors: Doors,
        database: Database,
    ) -> Result<(), IngestError> {
        self.doors = doors.addresses().map_err(IngestError::Address)?;
        let (packer, counters) = (Arc::clone(&self.packer), Arc::clone(&self.counters));
        let (sessions_max, expiry_secs_max) = (options.sessions_max, options.session_expiry_secs_max);
        let sessions = Sessions::open(database, Arc::clone(&packer), sessions_max, expiry_secs_max).await?;
        let shared = Shared::new(options, packer, sessions, counters)?;
        let listener = listener::listen(doors, shared, self.phase.subscribe());
        self.faces.spawn(serve(listener, self.phase.clone()));
        Ok(())
    }

    /// Where it listens, with the ports that were picked.
    pub fn doors(&self) -> &[Door] {
        &self.doors
    }

    /// Where it listens for MQTT in the clear, if it does.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.doors.iter().find(|door| door.scheme == Scheme::Mqtt).map(|door| door.address)
    }

    /// What it has done since the start.
    pub fn stats(&self) -> IngestStats {
        self.counters.stats(self.packer.buffered_bytes())
    }

    /// How it looks from outside, also while it is stopped.
    pub(crate) fn view(&self) -> IngestView {
        IngestView {
            packer: Arc::clone(&self.packer),
            counters: Arc::clone(&self.counters),
            phase: self.phase.subscribe(),
        }
    }

    /// Waits until it fails; for ever, if it never does.
    pub async fn failed(&self) -> Arc<IngestError> {
        let mut phase = self.phase.subscribe();
        loop {
            if let Phase::Failed(error) = &*phase.borrow_and_update() {
                return Arc::clone(error);
            }
            if phase.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Takes no more messages, makes durable and acknowledges what it has, tells the clients (MQTT 5)
    /// and hangs up. This waits while the queues are full; drop the future to leave it at that.
    ///
    /// # Errors
    /// Why it failed, now or before.
    pub async fn stop(mut self) -> Result<(), Arc<IngestError>> {
        self.phase.send_if_modified(|phase| {
            let serving = matches!(phase, Phase::Serving);
            if serving {
                *phase = Phase::Stopping;
            }
            serving
        });
        while self.faces.join_next().await.is_some() {}
        self.packer.finish();
        while self.publisher.join_next().await.is_some() {}
        match &*self.phase.borrow() {
            Phase::Failed(error) => Err(Arc::clone(error)),
            Phase::Serving | Phase::Stopping => Ok(()),
        }
    }
}

/// An intake seen from outside.
pub(crate) struct IngestView {
    packer: Arc<Packer>,
    counters: Arc<Counters>,
    phase: watch::Receiver<Phase>,
}

impl IngestView {
    /// What it has done since the start.
    pub(crate) fn stats(&self) -> IngestStats {
        self.counters.stats(self.packer.buffered_bytes())
    }

    /// # Errors
    /// Why it takes no messages.
    pub(crate) fn serves(&self) -> Result<(), String> {
        match &*self.phase.borrow() {
            Phase::Serving => Ok(()),
            Phase::Stopping => Err("it is stopping".to_owned()),
            Phase::Failed(error) => Err(error.to_string()),
        }
    }
}

/// How to listen elsewhere.
fn elsewhere(door: Door) -> String {
    let free = SocketAddr::new(door.address.ip(), 0);
    match door.scheme {
        Scheme::Mqtt => format!("`--listen {free}` picks a free port"),
        scheme => format!("{}: {free} picks a free port", scheme.key()),
    }
}

/// Runs a face, and tells everybody when that ends by a bug.
async fn serve(face: impl Future<Output = ()> + Send + 'static, phase: watch::Sender<Phase>) {
    let mut task = JoinSet::new();
    task.spawn(face);
    if let Some(Err(panic)) = task.join_next().await {
        fail(&phase, IngestError::Bug(panic));
    }
}

/// Publishes, and tells everybody when that fails.
async fn publish(publisher: Publisher, phase: watch::Sender<Phase>) {
    let mut task = JoinSet::new();
    task.spawn(publisher.run());
    let error = match task.join_next().await {
        Some(Ok(Err(error))) => error,
        Some(Err(panic)) => IngestError::Bug(panic),
        Some(Ok(Ok(()))) | None => return,
    };
    fail(&phase, error);
}

fn fail(phase: &watch::Sender<Phase>, error: IngestError) {
    tracing::error!(%error, "ingest stops");
    phase.send_replace(Phase::Failed(Arc::new(error)));
}

/// The time of receipt, and the time that sessions expire by.
fn now() -> Micros {
    let since_1970 = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    Micros::try_from(since_1970.as_micros()).unwrap_or(Micros::MAX)
}
