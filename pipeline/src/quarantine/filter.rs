//! Which rows are meant.

use arrow_array::BooleanArray;
use stages::{
    frame::{Micros, Quarantine},
    store::Partition,
    topic::{Pattern, Topics},
};

/// Times of receipt, each side open where it is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// The first instant.
    pub since: Option<Micros>,
    /// The first instant after it.
    pub until: Option<Micros>,
}

impl Span {
    /// Whether an instant lies in it.
    pub fn contains(&self, at: Micros) -> bool {
        self.since.is_none_or(|since| since <= at) && self.until.is_none_or(|until| at < until)
    }

    /// Whether an instant of a partition may.
    pub(super) fn touches(&self, partition: Partition) -> bool {
        self.since.is_none_or(|since| since < partition.end)
            && self.until.is_none_or(|until| partition.start < until)
    }

    /// Whether an instant from `first` to `last` may.
    pub(super) fn meets(&self, first: Micros, last: Micros) -> bool {
        self.since.is_none_or(|since| since <= last) && self.until.is_none_or(|until| first < until)
    }
}

/// What rows must have, all of it.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// The number of the message.
    pub message: Option<u64>,
    /// The reason.
    pub reason: Option<String>,
    /// The stage that refused them.
    pub stage: Option<String>,
    /// A topic that fits.
    pub topic: Option<Pattern>,
    /// The device that the topic names.
    pub device: Option<String>,
    /// The id of the schema they were checked against.
    pub schema: Option<String>,
    /// The time of receipt.
    pub span: Span,
}

impl Filter {
    /// Which of the rows it picks. Devices are what `topics` find in the topic of a message.
    pub(super) fn mask(&self, rows: &Quarantine<'_>, topics: &Topics) -> BooleanArray {
        (0..rows.len()).map(|row| Some(self.picks(rows, row, topics))).collect()
    }

    fn picks(&self, rows: &Quarantine<'_>, row: usize, topics: &Topics) -> bool {
        let is =
            |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        let topic = rows.topic(row);
        self.span.contains(rows.received_at(row))
            && self.message.is_none_or(|message| message == rows.message(row))
            && is(&self.reason, rows.reason(row))
            && is(&self.stage, rows.stage(row))
            && self.schema.as_deref().is_none_or(|schema| rows.schema(row) == Some(schema))
            && self.topic.as_ref().is_none_or(|pattern| pattern.matches(topic))
            && self.device.as_deref().is_none_or(|wanted| device(topics, topic) == Some(wanted))
    }
}

/// The device that a topic names, if any pattern of the config says where.
pub(super) fn device<'a>(topics: &'a Topics, topic: &'a str) -> Option<&'a str> {
    topics.find(topic)?.capture("device")
}
