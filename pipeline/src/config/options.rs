//! The options of the parts of the program, as the topology has them.

use std::time::Duration;

use super::Config;
use crate::{
    ingest::{Faces, IngestError, ListenerOptions, PackerOptions},
    lake::StoreOptions,
    queue::SqliteOptions,
};

/// What a frame takes beside its rows at the most.
const FORMAT_BYTES: u64 = 64 << 10;

impl Config {
    /// The limits and times of the embedded queues.
    pub fn sqlite_options(&self) -> SqliteOptions {
        let queues = &self.topology.queues;
        SqliteOptions {
            lanes: self.topology.lanes,
            lease: secs(queues.lease_secs),
            queue_bytes_max: queues.queue_bytes_max,
            // Of rows; what the format adds to them must not make a message of the largest size too large.
            frame_bytes_max: size(queues.frame_bytes_max + queues.frame_bytes_max / 64 + FORMAT_BYTES),
            dedupe_window: secs(queues.dedupe_window_secs),
            max_attempts: queues.max_attempts,
            ..SqliteOptions::default()
        }
    }

    /// When frames are closed.
    pub fn packer_options(&self) -> PackerOptions {
        let ingest = &self.topology.ingest;
        PackerOptions {
            frame_bytes_max: size(ingest.frame_bytes_max),
            frame_rows_max: size(ingest.frame_rows_max.into()),
            linger: Duration::from_millis(ingest.linger_ms.into()),
            buffer_bytes_max: size(ingest.buffer_bytes_max),
            lanes: self.topology.lanes,
        }
    }

    /// Who brings the messages.
    ///
    /// # Errors
    /// When a file or variable with a certificate or a secret cannot be used.
    pub fn faces(&self) -> Result<Faces, IngestError> {
        let subscriber = match &self.topology.ingest.subscriber {
            None => None,
            Some(subscriber) => {
                let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
                let options = subscriber.options(&self.folder, &self.stages.topics, &host, &self.worker);
                Some(options.map_err(IngestError::Subscribe)?)
            }
        };
        Ok(Faces { listener: self.listens.then(|| self.listener_options()), subscriber })
    }

    /// Where to listen, and the limits of connections.
    fn listener_options(&self) -> ListenerOptions {
        let listener = &self.topology.ingest.listener;
        ListenerOptions {
            listen: listener.listen,
            allow_anonymous: listener.allow_anonymous,
            packet_bytes_max: listener.packet_bytes_max,
            receive_maximum: listener.receive_maximum,
            connections_max: size(listener.connections_max.into()),
            sessions_max: listener.sessions_max,
            session_expiry_secs_max: listener.session_expiry_secs_max,
            connect_timeout: secs(listener.connect_secs),
        }
    }

    /// When collected rows become files.
    pub fn store_options(&self) -> StoreOptions {
        let store = &self.topology.store;
        StoreOptions {
            granularity: store.partition,
            rows_max: size(store.rows_max),
            bytes_max: size(store.bytes_max),
            age: secs(store.age_secs),
            age_max: secs(store.age_secs_max),
        }
    }
}

pub(super) fn secs(secs: u32) -> Duration {
    Duration::from_secs(secs.into())
}

/// A limit of memory; one beyond what this machine can address limits nothing.
fn size(limit: u64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}
