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
mod error;
mod hello;
mod listener;
mod packer;
mod publisher;
mod replies;
mod scheme;
mod sessions;
mod subscriber;
mod tls;
mod users;
mod window;
mod wire;

use std::{net::SocketAddr, sync::Arc};

use stages::{frame::Micros, topic::Topics};
use tokio::{sync::watch, task::JoinSet};

#[cfg(feature = "sqs")]
pub(crate) use self::packer::lane_of;
pub(crate) use self::subscriber::{TlsFiles, filters};
use self::{
    counters::Counters,
    doors::Doors,
    listener::Shared,
    packer::Packer,
    publisher::{Books, Publisher, next_epoch},
    sessions::{Held, Sessions},
};
pub use self::{
    counters::IngestStats,
    doors::Door,
    error::IngestError,
    listener::ListenerOptions,
    packer::{PackerOptions, Paid},
    scheme::Scheme,
    subscriber::{Broker, MqttVersion, SubscriberOptions},
    tls::{TlsError, TlsOptions},
    users::{UserList, UsersError, check_name, hash_password},
};
use crate::{clock::now, database::Database, queue::Queues};

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
    /// Whether it takes messages from a broker.
    subscribes: bool,
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
        let epoch = next_epoch(&queues, &database).await?;
        let packer = Packer::new(packer, topics, epoch);
        let counters = Arc::new(Counters::default());
        let held = Arc::new(Held::default());
        let publisher = Publisher {
            packer: Arc::clone(&packer),
            books: Books::new(&queues),
            queues,
            database: database.clone(),
            held: Arc::clone(&held),
            counters: Arc::clone(&counters),
            epoch,
            frames: 0,
        };
        let phase = watch::Sender::new(Phase::Serving);
        let mut ingest = Self {
            doors: Vec::new(),
            subscribes: faces.subscriber.is_some(),
            packer,
            counters,
            phase,
            faces: JoinSet::new(),
            publisher: JoinSet::new(),
        };
        if let (Some(options), Some(doors)) = (faces.listener, doors) {
            ingest.listen(options, doors, database, held).await?;
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
        held: Arc<Held>,
    ) -> Result<(), IngestError> {
        self.doors = doors.addresses().map_err(IngestError::Address)?;
        let (packer, counters) = (Arc::clone(&self.packer), Arc::clone(&self.counters));
        let (sessions_max, expiry_secs_max) = (options.sessions_max, options.session_expiry_secs_max);
        let sessions =
            Sessions::open(database, Arc::clone(&packer), held, sessions_max, expiry_secs_max).await?;
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
        self.counters.stats(self.packer.buffered_bytes(), self.packer.numbered())
    }

    /// How it looks from outside, also while it is stopped.
    pub(crate) fn view(&self) -> IngestView {
        IngestView {
            subscribes: self.subscribes,
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
    subscribes: bool,
    packer: Arc<Packer>,
    counters: Arc<Counters>,
    phase: watch::Receiver<Phase>,
}

impl IngestView {
    /// What it has done since the start.
    pub(crate) fn stats(&self) -> IngestStats {
        self.counters.stats(self.packer.buffered_bytes(), self.packer.numbered())
    }

    /// An instant such that all that was received before is durable; none while it takes no messages.
    pub(crate) fn durable_until(&self) -> Option<Micros> {
        // Before the look: what comes meanwhile was received later.
        let now = now();
        self.serves().ok()?;
        Some(self.packer.received_at().map_or(now, |received_at| received_at.min(now)))
    }

    /// # Errors
    /// Why it takes no messages.
    pub(crate) fn serves(&self) -> Result<(), String> {
        match &*self.phase.borrow() {
            Phase::Serving if self.counters.is_stalled() => {
                Err("what comes in cannot be published now; it is tried again".to_owned())
            }
            Phase::Serving if self.subscribes && self.counters.subscriptions() == 0 => {
                Err("there is no subscription at the broker".to_owned())
            }
            Phase::Serving => Ok(()),
            Phase::Stopping => Err("it is stopping".to_owned()),
            Phase::Failed(error) => Err(error.to_string()),
        }
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
