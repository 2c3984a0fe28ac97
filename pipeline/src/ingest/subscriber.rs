//! Ingest's client of a broker: it subscribes, and devices know nothing of it.
//!
//! The broker keeps a session for each connection, and its messages until they are acknowledged. A connection that
//! breaks takes what it has not acknowledged with it: the broker sends that again, and what was durable already comes
//! as repeats, which analyze drops.

mod broker;
mod filters;
mod link;
mod session;
mod tls;
mod trouble;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::ClientConfig;
use tokio::{sync::watch, task::JoinSet};

pub use self::broker::Broker;
pub(crate) use self::{filters::filters, tls::TlsFiles};
use self::{
    session::{End, Session},
    trouble::Teller,
};
use super::{Phase, counters::Counters, packer::Packer};
use crate::{config::SecretText, pause::spread};

/// Which MQTT to speak to a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MqttVersion {
    /// MQTT 3.1.1.
    V3_1_1,
    /// MQTT 5.0.
    V5,
}

/// Which broker, which messages of it, and how to come back to it.
#[derive(Debug, Clone)]
pub struct SubscriberOptions {
    /// Where it is.
    pub broker: Broker,
    /// How it is spoken to.
    pub version: MqttVersion,
    /// What to subscribe to, `$share/…` included.
    pub filters: Vec<String>,
    /// Whether messages are wanted with QoS 1; else with QoS 0, which promises nothing.
    pub acknowledged: bool,
    /// One connection for each. Who has the id has the session.
    pub client_ids: Vec<String>,
    /// User name, and password if there is one.
    pub credentials: Option<(String, Option<SecretText>)>,
    /// With what to encrypt; for `mqtts://` and `wss://`.
    pub tls: Option<Arc<ClientConfig>>,
    /// How often there is a sign of life, at least 5 s.
    pub keep_alive: Duration,
    /// How long the broker is to keep a session without its connection (MQTT 5).
    pub session_expiry_secs: u32,
    /// How many messages a connection may have unacknowledged; at least 1. A broker that speaks MQTT 5 is told.
    pub receive_maximum: u16,
    /// How many unacknowledged messages the broker sends at least before it waits.
    pub inflight_max: u16,
    /// The largest MQTT packet taken, in bytes.
    pub packet_bytes_max: u32,
    /// How long making a connection may take.
    pub connect_timeout: Duration,
    /// The pause before the second try; each further one is twice as long…
    pub pause_min: Duration,
    /// … up to this.
    pub pause_max: Duration,
}

/// What all connections share.
pub(super) struct Shared {
    pub(super) options: SubscriberOptions,
    pub(super) packer: Arc<Packer>,
    pub(super) counters: Arc<Counters>,
}

/// Takes messages from the broker until the phase changes.
pub(super) async fn subscribe(shared: Shared, phase: watch::Receiver<Phase>) {
    let shared = Arc::new(shared);
    let mut connections = JoinSet::new();
    for index in 0..shared.options.client_ids.len() {
        connections.spawn(keep_connected(Arc::clone(&shared), index, phase.clone()));
    }
    while let Some(ended) = connections.join_next().await {
        if let Err(bug) = ended
            && let Ok(panic) = bug.try_into_panic()
        {
            // The others end with this task, and ingest with them.
            std::panic::resume_unwind(panic);
        }
    }
}

/// Connects, again and again, for ever: a broker that is away comes back some time.
async fn keep_connected(shared: Arc<Shared>, index: usize, mut phase: watch::Receiver<Phase>) {
    let options = &shared.options;
    let Some(client_id) = options.client_ids.get(index) else { return };
    let mut teller = Teller::new(&options.broker, client_id, &options.filters);
    let (mut tries, mut known) = (0, false);
    loop {
        tracing::debug!(tries, "connecting to {} as {client_id}", options.broker);
        // A new connection brings another window of messages, also those that wait here already.
        tokio::select! {
            _ = phase.changed() => return,
            () = shared.packer.room() => {}
        }
        let began = Instant::now();
        let session = Session::new(&shared, client_id, &mut teller, &mut known);
        let End::Trouble(trouble) = session.run(&mut phase).await else { return };
        // Only what has lasted counts as working, or two who drive each other out would do that without a pause.
        if began.elapsed() >= options.pause_max {
            teller.recovered();
            tries = 0;
        }
        teller.trouble(&trouble);
        tokio::select! {
            // From serving there is only one way.
            _ = phase.changed() => return,
            () = tokio::time::sleep(spread(pause(options, tries))) => tries += 1,
        }
    }
}

/// The pause after `tries` tries, which doubles each time.
fn pause(options: &SubscriberOptions, tries: u32) -> Duration {
    options.pause_min.saturating_mul(1 << tries.min(16)).min(options.pause_max)
}
