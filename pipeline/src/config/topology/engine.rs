//! What a file leaves out and hangs on the engine: the one place for these defaults.

use super::{Engine, KIB, MIB, QueuesConfig, Topology};

/// The largest frame that SQS is given, by what its rows take: as one message, base64 and with its attributes, it must not be
/// over 1 MiB, nor as a dead letter.
pub(crate) const SQS_FRAME_BYTES_MAX: u64 = 688 * KIB;

/// The defaults of one engine.
pub(super) struct Defaults {
    ingest_frame_bytes_max: u64,
    ingest_frame_rows_max: u32,
    linger_ms: u32,
    buffer_bytes_max: u64,
    queues_frame_bytes_max: u64,
    subscriber_packet_bytes_max: u32,
}

impl Engine {
    pub(super) const fn defaults(self) -> Defaults {
        match self {
            Self::Sqlite => Defaults {
                ingest_frame_bytes_max: 256 * KIB,
                ingest_frame_rows_max: 8192,
                linger_ms: 5,
                buffer_bytes_max: 64 * MIB,
                queues_frame_bytes_max: 8 * MIB,
                subscriber_packet_bytes_max: 1 << 20,
            },
            // A request is paid for, so a frame is to fill one, by what it takes once it is encoded. The other bounds leave
            // room for that: what is compressed to a seventh, as messages of device-sim are, fills a message with less than 6 MiB.
            // Four lanes and the refused hold 40 MiB at the most, and as much again may be on its way.
            Self::Sqs => Defaults {
                ingest_frame_bytes_max: 8 * MIB,
                ingest_frame_rows_max: 65_536,
                linger_ms: 1000,
                buffer_bytes_max: 128 * MIB,
                queues_frame_bytes_max: SQS_FRAME_BYTES_MAX,
                subscriber_packet_bytes_max: 688 << 10,
            },
        }
    }
}

impl QueuesConfig {
    /// The largest frame that is taken, in bytes.
    pub fn frame_bytes_max(&self) -> u64 {
        self.frame_bytes_max.unwrap_or(self.engine.defaults().queues_frame_bytes_max)
    }
}

impl Topology {
    fn defaults(&self) -> Defaults {
        self.queues.engine.defaults()
    }

    /// At how many bytes of payloads ingest closes a frame.
    pub fn ingest_frame_bytes_max(&self) -> u64 {
        self.ingest.frame_bytes_max.unwrap_or(self.defaults().ingest_frame_bytes_max)
    }

    /// At how many messages ingest closes a frame.
    pub fn ingest_frame_rows_max(&self) -> u32 {
        self.ingest.frame_rows_max.unwrap_or(self.defaults().ingest_frame_rows_max)
    }

    /// How long an open frame waits for more messages, in milliseconds.
    pub fn linger_ms(&self) -> u32 {
        self.ingest.linger_ms.unwrap_or(self.defaults().linger_ms)
    }

    /// How many bytes of messages may wait to be durable.
    pub fn buffer_bytes_max(&self) -> u64 {
        self.ingest.buffer_bytes_max.unwrap_or(self.defaults().buffer_bytes_max)
    }

    /// The largest MQTT packet taken from a broker, in bytes.
    pub fn subscriber_packet_bytes_max(&self) -> u32 {
        let said = self.ingest.subscriber.as_ref().and_then(|subscriber| subscriber.packet_bytes_max);
        said.unwrap_or(self.defaults().subscriber_packet_bytes_max)
    }
}
