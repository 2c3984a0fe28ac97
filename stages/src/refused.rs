//! What validate and transform have in common: messages of a frame, some of which are refused whole.

use std::fmt::{self, Write};

use crate::{
    frame::{FRAME_BYTES, Fault, Frame, FrameError, Header, Kind, Messages, QuarantineBuilder, Refusal},
    plan::Port,
};

/// The longest pointer and the longest message of a fault, in bytes: some quote the payload.
const FAULT_BYTES_MAX: usize = 300;
/// What the numbers, times and keys of a row take, and those of a fault.
const ROW_BYTES: usize = 64;
const FAULT_BYTES: usize = 12;

/// Why a message is refused.
#[derive(Debug, PartialEq)]
pub(crate) struct Refused {
    /// One word of the stage's list.
    pub(crate) reason: &'static str,
    /// What is wrong where; empty when the reason says it all.
    pub(crate) errors: Vec<Fault>,
    /// The schema the message was checked against.
    pub(crate) schema: Option<Against>,
}

/// Which schema it was.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Against {
    pub(crate) id: String,
    pub(crate) version: String,
}

impl Refused {
    /// The one fault of a message.
    pub(crate) fn new(
        reason: &'static str,
        pointer: &str,
        keyword: &str,
        message: impl Into<String>,
    ) -> Self {
        let message: String = message.into();
        let fault =
            Fault { pointer: bounded(&pointer), keyword: keyword.to_owned(), message: bounded(&message) };
        Self { reason, errors: vec![fault], schema: None }
    }

    /// The same of a part of what was read, which stands at `place`.
    pub(crate) fn within(mut self, place: &str) -> Self {
        for fault in &mut self.errors {
            fault.pointer.insert_str(0, place);
        }
        self
    }

    /// Of a message whose topic no pattern of the config fits.
    pub(crate) fn no_pattern(topic: &str) -> Self {
        Self::new("no_pattern", "", "pattern", format!("no pattern of the config fits the topic {topic:?}"))
    }
}

/// The text of `shown`, cut at [`FAULT_BYTES_MAX`].
pub(crate) fn bounded(shown: &impl fmt::Display) -> String {
    struct Bounded(String);

    impl Write for Bounded {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let room = FAULT_BYTES_MAX - self.0.len();
            if text.len() <= room {
                self.0.push_str(text);
                return Ok(());
            }
            self.0.push_str(&text[..text.floor_char_boundary(room)]);
            Err(fmt::Error)
        }
    }

    let mut text = Bounded(String::new());
    let whole = write!(text, "{shown}").is_ok();
    if whole { text.0 } else { text.0 + "…" }
}

/// Collects what a stage refuses of a frame.
pub(crate) struct Refusals<'a> {
    stage: &'static str,
    messages: &'a Messages<'a>,
    frames: Vec<QuarantineBuilder>,
    /// In the last of them, about: a text that repeats is counted each time.
    bytes: usize,
    rows: u64,
}

impl<'a> Refusals<'a> {
    pub(crate) fn new(stage: &'static str, messages: &'a Messages<'a>) -> Self {
        Self { stage, messages, frames: Vec::new(), bytes: 0, rows: 0 }
    }

    /// Sets the message in `row` aside.
    pub(crate) fn add(&mut self, row: usize, refused: &Refused) {
        if self.frames.is_empty() || self.bytes >= FRAME_BYTES {
            self.frames.push(QuarantineBuilder::default());
            self.bytes = 0;
        }
        let Some(frame) = self.frames.last_mut() else { return };
        let (schema, schema_version) = match &refused.schema {
            Some(Against { id, version }) => (Some(id.as_str()), Some(version.as_str())),
            None => (self.messages.schema(row), self.messages.schema_version(row)),
        };
        let refusal = Refusal {
            message: self.messages.message(row),
            topic: self.messages.topics().get(row).unwrap_or_default(),
            payload: self.messages.payload(row),
            received_at: self.messages.received_at(row),
            client_id: self.messages.client_id(row),
            properties: &self.messages.properties(row),
            stage: self.stage,
            reason: refused.reason,
            schema,
            errors: &refused.errors,
            schema_version,
            replays: self.messages.replays(row),
        };
        frame.append(&refusal);
        self.bytes += bytes(&refusal);
        self.rows += 1;
    }

    /// How many messages were set aside.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// The *quarantine* frames of them, published for `input`.
    pub(crate) fn publish(self, input: &Header, config: u64) -> Result<Vec<(Port, Frame)>, FrameError> {
        let port = Port::Refused;
        let frames = self.frames.into_iter().enumerate().map(|(index, mut rows)| {
            let id = input.id.published(self.stage, config, port.as_str(), index);
            Ok((port, rows.finish(input.derive(Kind::Quarantine, input.lane, id))?))
        });
        frames.collect()
    }
}

/// What a row takes, about.
fn bytes(row: &Refusal<'_>) -> usize {
    let properties: usize = row.properties.iter().map(|(key, value)| key.len() + value.len()).sum();
    let fault = |fault: &Fault| FAULT_BYTES + fault.pointer.len() + fault.keyword.len() + fault.message.len();
    let errors: usize = row.errors.iter().map(fault).sum();
    ROW_BYTES + row.topic.len() + row.payload.len() + row.client_id.len() + properties + errors
}

/// What is worked out once per distinct topic of a frame.
pub(crate) struct PerTopic<T> {
    known: Vec<Option<T>>,
}

impl<T> PerTopic<T> {
    pub(crate) fn new(messages: &Messages<'_>) -> Self {
        Self { known: std::iter::repeat_with(|| None).take(messages.topics().distinct()).collect() }
    }

    /// What `work` makes of the topic of `row`; none only where a row has no topic.
    pub(crate) fn of<'t>(
        &mut self,
        messages: &Messages<'t>,
        row: usize,
        work: impl FnOnce(&'t str) -> T,
    ) -> Option<&T> {
        let topics = messages.topics();
        let known = self.known.get_mut(topics.key(row)?)?;
        Some(known.get_or_insert_with(|| work(topics.get(row).unwrap_or_default())))
    }
}
