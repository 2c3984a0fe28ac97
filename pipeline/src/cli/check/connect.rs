//! `millstream check --connect`: asks the servers that a topology names. All at once, each once, with one deadline.

use std::{future::Future, time::Duration};

use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};

#[cfg(feature = "sqs")]
use super::aws;
use super::local;
use crate::{
    config::{Config, Engine},
    ingest::Broker,
    lake::LakeAddress,
};

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the world has told.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Pointers into the topology, each with what is wrong and the way out.
    pub(super) mistakes: Vec<(String, String)>,
    /// The same of what is allowed, but probably not meant.
    pub(super) warnings: Vec<(String, String)>,
    /// What is there and can be used, in words.
    pub(super) there: Vec<String>,
}

impl Told {
    pub(super) fn mistake(&mut self, pointer: &str, text: impl Into<String>) {
        self.mistakes.push((pointer.to_owned(), text.into()));
    }

    #[cfg(feature = "sqs")]
    pub(super) fn warning(&mut self, pointer: &str, text: impl Into<String>) {
        self.warnings.push((pointer.to_owned(), text.into()));
    }

    pub(super) fn there(what: impl Into<String>) -> Self {
        Self { there: vec![what.into()], ..Self::default() }
    }

    pub(super) fn mistaken(pointer: &str, text: impl Into<String>) -> Self {
        let mut told = Self::default();
        told.mistake(pointer, text);
        told
    }

    pub(super) fn and(mut self, other: Self) -> Self {
        self.mistakes.extend(other.mistakes);
        self.warnings.extend(other.warnings);
        self.there.extend(other.there);
        self
    }
}

/// Asks whatever `config` names. Webhooks are not called.
pub(super) async fn connect(config: &Config) -> Told {
    let deadline = Instant::now() + PATIENCE;
    let (queues, lake, broker) = tokio::join!(
        queues(config, deadline),
        in_time(deadline, "/store/lake", lake(config)),
        in_time(deadline, "/ingest/subscriber/broker", broker(config)),
    );
    queues.and(lake).and(broker)
}

async fn queues(config: &Config, deadline: Instant) -> Told {
    match config.topology().queues.engine {
        Engine::Sqlite => in_time(deadline, "/data", local::data_file(config)).await,
        #[cfg(feature = "sqs")]
        Engine::Sqs => {
            let sessions = local::directory("/data", "MQTT sessions", config.data());
            aws::look(config, deadline).await.and(sessions)
        }
        // Such a config is a mistake in this build.
        #[cfg(not(feature = "sqs"))]
        Engine::Sqs => Told::default(),
    }
}

/// What comes of `question`, or that nothing came in time.
pub(super) async fn in_time(deadline: Instant, pointer: &str, question: impl Future<Output = Told>) -> Told {
    let asked = timeout_at(deadline, question).await;
    asked.unwrap_or_else(|_| Told::mistaken(pointer, format!("no answer within {} s", PATIENCE.as_secs())))
}

async fn lake(config: &Config) -> Told {
    match config.lake() {
        LakeAddress::Directory(path) => local::directory("/store/lake", "the lake", path),
        #[cfg(feature = "object-store")]
        LakeAddress::Bucket(bucket) => match crate::lake::Lake::look(bucket).await {
            Ok(()) => Told::there(format!("the lake {bucket} can be written")),
            Err(error) => {
                let unreached = error.class() == crate::error::Class::Retry;
                let given = config.topology().store.lake_endpoint.is_some();
                let pointer = if unreached && given { "/store/lake_endpoint" } else { "/store/lake" };
                Told::mistaken(pointer, crate::error::with_causes(&error))
            }
        },
        #[cfg(not(feature = "object-store"))]
        LakeAddress::Bucket(_) => Told::default(),
    }
}

/// Whether somebody listens where the broker is to be; nothing is said to it.
async fn broker(config: &Config) -> Told {
    let Some(subscriber) = &config.topology().ingest.subscriber else { return Told::default() };
    let Ok(broker) = subscriber.broker.parse::<Broker>() else { return Told::default() };
    match TcpStream::connect(broker.address()).await {
        Ok(_) => Told::there(format!("{broker} takes connections")),
        Err(error) => Told::mistaken(
            "/ingest/subscriber/broker",
            format!("{broker} cannot be reached: {error}; correct the address, or start the broker"),
        ),
    }
}
