//! The frame: what crosses a queue, and the unit of redelivery.

mod aggregates;
mod alerts;
mod codec;
mod columns;
mod messages;
mod quarantine;
mod readings;
#[cfg(test)]
mod tests;

use std::{fmt, str::FromStr, sync::Arc};

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, Schema};
use arrow_select::concat::concat_batches;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

pub use self::{
    aggregates::{AggregateRow, Aggregates, AggregatesBuilder},
    alerts::{AlertRow, Alerts, AlertsBuilder},
    codec::{Encoded, FORMAT_VERSION, Packed, Source, decode, encode, encode_from},
    columns::Strings,
    messages::{Message, Messages, MessagesBuilder, Properties},
    quarantine::{Fault, Quarantine, QuarantineBuilder, Refusal, complete as complete_quarantine},
    readings::{Reading, Readings, ReadingsBuilder, Scores, TAG_PREFIX},
};

pub(crate) use self::readings::Own;

/// Microseconds since 1970-01-01T00:00:00Z; finer instants are floored.
pub type Micros = i64;

/// Bytes of rows at which a stage closes a frame and begins the next: one message may lead to any number of rows, and a
/// queue takes no frame of any size.
pub const FRAME_BYTES: usize = 1 << 20;

/// A record batch of many rows with its header.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// What the queues and stages need to know without looking at rows.
    pub header: Header,
    /// The rows; their columns follow from [`Header::kind`].
    pub rows: RecordBatch,
}

impl Frame {
    /// The *tick* that tells a lane how far time has come: everything of the lane that was received before
    /// `instant` stands before it in the queue. Whoever makes it again makes the same.
    pub fn tick(lane: Lane, instant: Micros) -> Self {
        let header = Header {
            id: FrameId::of_tick(lane, instant),
            kind: Kind::Tick,
            lane,
            created_at: instant,
            epoch: 0,
            trace: None,
        };
        Self { header, rows: RecordBatch::new_empty(Arc::new(Schema::empty())) }
    }

    /// Joins a run of frames of one kind and one lane into one, in order; its id follows from theirs.
    ///
    /// Only where consuming and publishing are one transaction: elsewhere repeats are recognised by
    /// the ids of the frames as they were published.
    ///
    /// # Errors
    /// When the frames differ in their columns, or `run` is empty.
    pub fn coalesce(run: &[Self]) -> Result<Self, FrameError> {
        let (first, last) = match run {
            [] => return Err(FrameError::Empty),
            [only] => return Ok(only.clone()),
            [first, .., last] => (first, last),
        };
        let rows = concat_batches(&first.rows.schema(), run.iter().map(|frame| &frame.rows))?;
        let id = FrameId::joined(run.iter().map(|frame| frame.header.id));
        Ok(Self { header: Header { id, ..last.header.clone() }, rows })
    }
}

/// What is known of a frame without its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Names the frame for ever; a redelivered input leads to the same ids.
    pub id: FrameId,
    /// Which columns the rows have.
    pub kind: Kind,
    /// The partition by device that all rows belong to.
    pub lane: Lane,
    /// When ingest closed the frame that the rows came in; the instant of a tick.
    pub created_at: Micros,
    /// Which run of ingest the frame stems from; see [`Message::message`].
    pub epoch: u64,
    /// W3C trace context (`traceparent`), where one was given.
    pub trace: Option<String>,
}

impl Header {
    /// The header of the frame that a stage publishes for this one.
    pub fn derive(&self, kind: Kind, lane: Lane, id: FrameId) -> Self {
        Self { id, kind, lane, ..self.clone() }
    }
}

/// What a frame's rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// MQTT messages as they came.
    Messages,
    /// Values of metrics.
    Readings,
    /// What values of metrics came to in windows of time.
    Aggregates,
    /// Transitions of alerts.
    Alerts,
    /// Messages that a stage refused.
    Quarantine,
    /// No rows, but an instant: how time reaches stages.
    Tick,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Messages, Self::Readings, Self::Aggregates, Self::Alerts, Self::Quarantine, Self::Tick];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Readings => "readings",
            Self::Aggregates => "aggregates",
            Self::Alerts => "alerts",
            Self::Quarantine => "quarantine",
            Self::Tick => "tick",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = FrameError;

    fn from_str(name: &str) -> Result<Self, FrameError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == name)
            .ok_or_else(|| FrameError::Header { key: "kind", value: name.to_owned() })
    }
}

/// A partition by device. How many there are is fixed when the queues are created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane(pub u16);

impl Lane {
    /// The lane of a device among `lanes` (at least 1) of them: stable for ever, since state and
    /// order hang on it.
    pub fn of(device: &str, lanes: u16) -> Self {
        let lane = xxh3_64(device.as_bytes()) % u64::from(lanes.max(1));
        Self(u16::try_from(lane).unwrap_or_default())
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// 128 bits that name a frame; shown as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameId(pub [u8; 16]);

impl FrameId {
    /// The id of the `index`-th frame that ingest closes in an epoch. Ids rise with epoch and index, for as long as these have 24
    /// and 40 bits: who remembers the last ones by their order writes them side by side.
    pub fn ingested(epoch: u64, index: u64) -> Self {
        let mut hash = Xxh3::new();
        hash.update(b"ingest");
        hash.update(&epoch.to_le_bytes());
        hash.update(&index.to_le_bytes());
        let rising = (epoch << 40).wrapping_add(index);
        Self((u128::from(rising) << 64 | u128::from(hash.digest())).to_be_bytes())
    }

    /// The id of the tick of a lane at an instant.
    pub fn of_tick(lane: Lane, instant: Micros) -> Self {
        let mut hash = Xxh3::new();
        hash.update(b"tick");
        hash.update(&lane.0.to_le_bytes());
        hash.update(&instant.to_le_bytes());
        Self(hash.digest128().to_be_bytes())
    }

    /// The id of the `index`-th frame that a stage publishes on a port for this input. `config` is
    /// the hash of the stage's config: other rules make other frames.
    pub fn published(self, stage: &str, config: u64, port: &str, index: usize) -> Self {
        let mut hash = Xxh3::new();
        hash.update(&self.0);
        for name in [stage, port] {
            hash.update(name.as_bytes());
            hash.update(&[0]);
        }
        hash.update(&config.to_le_bytes());
        hash.update(&index.to_le_bytes());
        Self(hash.digest128().to_be_bytes())
    }

    /// The id of a frame of messages that come back, each with how often it did then.
    pub fn replayed(messages: impl IntoIterator<Item = (u64, u32)>) -> Self {
        let mut hash = Xxh3::new();
        hash.update(b"replay");
        for (message, replays) in messages {
            hash.update(&message.to_le_bytes());
            hash.update(&replays.to_le_bytes());
        }
        Self(hash.digest128().to_be_bytes())
    }

    /// The id of what a run of frames makes together.
    pub fn joined(ids: impl IntoIterator<Item = Self>) -> Self {
        let mut hash = Xxh3::new();
        for id in ids {
            hash.update(&id.0);
        }
        Self(hash.digest128().to_be_bytes())
    }
}

impl fmt::Display for FrameId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for FrameId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for FrameId {
    type Err = FrameError;

    fn from_str(hex: &str) -> Result<Self, FrameError> {
        let refused = || FrameError::Header { key: "id", value: hex.to_owned() };
        if hex.len() != 32 {
            return Err(refused());
        }
        u128::from_str_radix(hex, 16).map(|id| Self(id.to_be_bytes())).map_err(|_| refused())
    }
}

/// Bytes or a record batch that are no frame of this format.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The bytes are no Arrow IPC stream, or a column cannot be built.
    #[error("not a readable Arrow IPC stream: {0}")]
    Arrow(#[from] ArrowError),
    /// The bytes were a frame once.
    #[error("the bytes of the frame are damaged")]
    Damaged,
    /// A header value is missing or unusable.
    #[error("frame header {key} cannot be {value:?}")]
    Header {
        /// Which header key.
        key: &'static str,
        /// What it says; empty when it is missing.
        value: String,
    },
    /// The rows lack a column, or it has another type than the format says.
    #[error("a {kind} frame needs the column {column} of the documented type")]
    Column {
        /// What the header says the rows are.
        kind: Kind,
        /// The column at fault.
        column: String,
    },
    /// A stream without a record batch, or with more than one.
    #[error("a frame holds exactly one record batch")]
    Batches,
    /// No frame at all.
    #[error("an empty run of frames cannot be joined")]
    Empty,
}
