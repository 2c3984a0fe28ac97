//! Turns messages into readings, by rules from the config. A message is refused whole.
//!
//! Payloads are read as text, once, and only as deep as the pointers of the config lead.

mod config;
mod convert;
mod fields;
mod json;
mod measure;
mod pointers;
mod reader;
mod recipe;
mod senml;
#[cfg(test)]
mod tests;
mod time;
mod units;

use std::collections::{BTreeMap, BTreeSet};

use xxhash_rust::xxh3::Xxh3;

pub use self::config::{
    ConvertConfig, DeviceSource, Preset, ReadingField, ReadingsSource, Received, SamplesConfig, TagSource,
    TimeField, TimeFormat, TimeSource, TransformConfig,
};
use self::{
    measure::{Measure, Measured},
    reader::{Reader, Run},
    recipe::{Mistakes, Recipe},
};
use crate::{
    frame::{Frame, FrameError, Kind, Lane, Messages, Reading, ReadingsBuilder},
    plan::{Counts, Plan, Port},
    refused::{PerTopic, Refusals, Refused},
    topic::{ConfigMistake, TopicConfig, Topics},
};

/// The name of the stage.
pub const STAGE: &str = "transform";

/// The stage: topic patterns and how their messages become readings.
///
/// Reasons it refuses a message for: `no_pattern`, `not_utf8`, `not_json`, `not_senml`, `no_device`,
/// `bad_time`, `future_time`, `before_min_time`, `bad_seq`, `bad_value`, `no_readings`,
/// `too_many_samples`.
#[derive(Debug)]
pub struct Transform {
    topics: Topics,
    /// One for each pattern.
    recipes: Vec<Recipe>,
    tags: Vec<String>,
    lanes: u16,
    config_hash: u64,
}

impl Transform {
    /// The stage that a config describes, for this number of lanes.
    ///
    /// # Errors
    /// Every pattern that cannot be read, and everything in a transform that cannot be carried out.
    pub fn new(topics: &[TopicConfig], lanes: u16) -> Result<Self, Vec<ConfigMistake>> {
        let patterns = Topics::from_config(topics)?;
        let transforms = || topics.iter().filter_map(|topic| topic.transform.as_ref());
        let tags: BTreeSet<&String> = transforms().flat_map(|transform| transform.tags.keys()).collect();
        let tags: Vec<String> = tags.into_iter().cloned().collect();
        let mut list = Vec::new();
        let entries = patterns.patterns().iter().zip(topics).enumerate();
        let recipes = entries.map(|(entry, (pattern, topic))| {
            Recipe::new(pattern, topic.transform.as_ref(), &tags, Mistakes { entry, list: &mut list })
        });
        let recipes = recipes.collect();
        if !list.is_empty() {
            return Err(list);
        }
        let config_hash = config_hash(topics, lanes);
        Ok(Self { topics: patterns, recipes, tags, lanes, config_hash })
    }

    /// Changes when the config makes the stage decide otherwise.
    pub fn config_hash(&self) -> u64 {
        self.config_hash
    }

    /// The names of the tag columns that its *readings* frames have, without their prefix.
    pub fn tags(&self) -> &[String] {
        &self.tags
    }

    /// Makes readings of the messages of a frame: one *readings* frame for each lane that their
    /// devices are in. The books count messages as consumed and readings as produced; a message all
    /// of whose metrics the config drops is filtered.
    ///
    /// # Errors
    /// When the frame holds no messages, or lacks a column.
    pub fn plan(&self, frame: &Frame) -> Result<Plan, FrameError> {
        let messages = Messages::of(frame)?;
        let mut topics = PerTopic::new(&messages);
        let mut refusals = Refusals::new(STAGE, &messages);
        let mut reader = Reader::default();
        let mut lanes: BTreeMap<Lane, ReadingsBuilder> = BTreeMap::new();
        let mut counts = Counts::default();
        for row in 0..messages.len() {
            let topic = topics.of(&messages, row, |topic| self.topics.find(topic)).copied().flatten();
            let recipe = topic.and_then(|topic| Some((self.recipes.get(topic.pattern)?, topic)));
            let said = match recipe {
                Some((recipe, topic)) => {
                    reader.read(recipe, &topic, messages.payload(row), messages.received_at(row))
                }
                None => Err(Refused::no_pattern(messages.topics().get(row).unwrap_or_default())),
            };
            match said {
                Err(refused) => refusals.add(row, &refused),
                Ok(_) if reader.count() == 0 => counts.filtered += 1,
                Ok(said) => {
                    let tags: Vec<Option<&str>> = said.tags.iter().map(Option::as_deref).collect();
                    for (run, readings) in reader.runs() {
                        let lane = lanes.entry(Lane::of(&run.device, self.lanes));
                        let rows = lane.or_insert_with(|| ReadingsBuilder::new(&self.tags));
                        append(rows, (&messages, row), run, readings, &tags);
                    }
                    counts.consumed += 1;
                    counts.produced += reader.count() as u64;
                }
            }
        }
        counts.quarantined = refusals.rows() as u64;
        let mut publish = Vec::with_capacity(lanes.len() + 1);
        for (lane, mut readings) in lanes {
            let id = frame.header.id.published(STAGE, self.config_hash, Port::Next.as_str(), lane.0.into());
            publish.push((Port::Next, readings.finish(frame.header.derive(Kind::Readings, lane, id))?));
        }
        publish.extend(refusals.finish(&frame.header, self.config_hash)?);
        Ok(Plan { publish, counts, ..Plan::default() })
    }
}

fn append(
    rows: &mut ReadingsBuilder,
    (messages, row): (&Messages<'_>, usize),
    run: &Run<'_>,
    readings: &[Measured<'_>],
    tags: &[Option<&str>],
) {
    for reading in readings {
        let (value, text) = match &reading.measure {
            Measure::Number(value) => (Some(*value), None),
            Measure::Boolean(value) => (Some(f64::from(u8::from(*value))), None),
            Measure::Text(text) => (None, Some(text.as_ref())),
        };
        rows.append(&Reading {
            device_id: &run.device,
            metric: &reading.metric,
            ts: run.ts,
            value,
            text,
            unit: reading.unit.as_deref(),
            seq: run.seq,
            received_at: messages.received_at(row),
            message: messages.message(row),
            tags,
        });
    }
}

/// Over what the entries say of patterns and transforms, in an order that does not change.
fn config_hash(topics: &[TopicConfig], lanes: u16) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(&lanes.to_le_bytes());
    for topic in topics {
        // Names and numbers: there is nothing that JSON could not say.
        hash.update(&serde_json::to_vec(&(&topic.pattern, &topic.transform)).unwrap_or_default());
    }
    hash.digest()
}
