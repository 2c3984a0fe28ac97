//! What validate and transform have in common: messages of a frame, some of which are refused whole.

use crate::{
    frame::{Fault, Frame, FrameError, Header, Kind, Messages, QuarantineBuilder, Refusal},
    plan::Port,
};

/// Why a message is refused.
#[derive(Debug, PartialEq)]
pub(crate) struct Refused {
    /// One word of the stage's list.
    pub(crate) reason: &'static str,
    /// What is wrong where; empty when the reason says it all.
    pub(crate) errors: Vec<Fault>,
    /// The id of the schema the message was checked against.
    pub(crate) schema: Option<String>,
}

impl Refused {
    /// The one fault of a message.
    pub(crate) fn new(
        reason: &'static str,
        pointer: &str,
        keyword: &str,
        message: impl Into<String>,
    ) -> Self {
        let fault =
            Fault { pointer: pointer.to_owned(), keyword: keyword.to_owned(), message: message.into() };
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

/// Collects what a stage refuses of a frame.
pub(crate) struct Refusals<'a> {
    stage: &'static str,
    messages: &'a Messages<'a>,
    rows: QuarantineBuilder,
}

impl<'a> Refusals<'a> {
    pub(crate) fn new(stage: &'static str, messages: &'a Messages<'a>) -> Self {
        Self { stage, messages, rows: QuarantineBuilder::default() }
    }

    /// Sets the message in `row` aside.
    pub(crate) fn add(&mut self, row: usize, refused: &Refused) {
        self.rows.append(&Refusal {
            message: self.messages.message(row),
            topic: self.messages.topics().get(row).unwrap_or_default(),
            payload: self.messages.payload(row),
            received_at: self.messages.received_at(row),
            client_id: self.messages.client_id(row),
            properties: &self.messages.properties(row),
            stage: self.stage,
            reason: refused.reason,
            schema: refused.schema.as_deref().or(self.messages.schema(row)),
            errors: &refused.errors,
        });
    }

    /// How many messages were set aside.
    pub(crate) fn rows(&self) -> usize {
        self.rows.rows()
    }

    /// The *quarantine* frame of them, if there are any.
    pub(crate) fn finish(
        &mut self,
        input: &Header,
        config: u64,
    ) -> Result<Option<(Port, Frame)>, FrameError> {
        if self.rows() == 0 {
            return Ok(None);
        }
        let id = input.id.published(self.stage, config, Port::Refused.as_str(), 0);
        let header = input.derive(Kind::Quarantine, input.lane, id);
        Ok(Some((Port::Refused, self.rows.finish(header)?)))
    }
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
