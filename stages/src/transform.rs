//! Turns messages into readings, by rules from the config. A message is refused whole.
//!
//! Payloads are read as text, once, and only as deep as the pointers of the config lead.

mod config;
mod convert;
mod devices;
mod fields;
mod json;
mod lanes;
mod measure;
mod pointers;
mod reader;
mod recipe;
mod senml;
#[cfg(test)]
mod tests;
mod time;
mod units;

use std::{borrow::Cow, collections::BTreeSet, sync::Arc};

use xxhash_rust::xxh3::Xxh3;

pub use self::config::{
    ConvertConfig, DeviceSource, Preset, ReadingField, ReadingsSource, Received, SamplesConfig, TagSource,
    TimeField, TimeFormat, TimeSource, TransformConfig,
};
pub use self::devices::{DeviceTable, DevicesConfig, TableMistake};
use self::{
    lanes::Lanes,
    reader::{Reader, Said},
    recipe::{Mistakes, Recipe},
};
use crate::{
    frame::{Frame, FrameError, Messages},
    payload::{self, PayloadConfig},
    plan::{Counts, Plan},
    refused::{PerTopic, Refusals, Refused},
    topic::{ConfigMistake, TopicConfig, Topics},
};

/// The name of the stage.
pub const STAGE: &str = "transform";

/// The stage: topic patterns and how their messages become readings.
///
/// Reasons it refuses a message for: `no_pattern`, `bad_encoding`, `too_large`, `not_cbor`, `too_deep`, `not_utf8`,
/// `not_json`, `not_senml`, `no_device`, `bad_time`, `future_time`, `before_min_time`, `bad_seq`, `bad_value`,
/// `no_readings`, `too_many_samples`.
#[derive(Debug)]
pub struct Transform {
    topics: Topics,
    /// One for each pattern.
    recipes: Vec<Recipe>,
    /// What the payloads of each pattern are.
    payloads: Vec<PayloadConfig>,
    tags: Vec<String>,
    lanes: u16,
    config_hash: u64,
}

impl Transform {
    /// The stage that a config describes, for this number of lanes and without a device table.
    ///
    /// # Errors
    /// Every pattern that cannot be read, and everything in a transform that cannot be carried out.
    pub fn new(topics: &[TopicConfig], lanes: u16) -> Result<Self, Vec<ConfigMistake>> {
        Self::with_devices(topics, lanes, None)
    }

    /// The same with tags from `devices`.
    ///
    /// # Errors
    /// As for [`Transform::new`], and every tag from a column that `devices` does not have.
    pub fn with_devices(
        topics: &[TopicConfig],
        lanes: u16,
        devices: Option<&Arc<DeviceTable>>,
    ) -> Result<Self, Vec<ConfigMistake>> {
        let patterns = Topics::from_config(topics)?;
        let transforms = || topics.iter().filter_map(|topic| topic.transform.as_ref());
        let tags: BTreeSet<&String> = transforms().flat_map(|transform| transform.tags.keys()).collect();
        let tags: Vec<String> = tags.into_iter().cloned().collect();
        let mut list = Vec::new();
        let entries = patterns.patterns().iter().zip(topics).enumerate();
        let recipes = entries.map(|(entry, (pattern, topic))| {
            Recipe::new(
                pattern,
                topic.transform.as_ref(),
                &tags,
                devices,
                Mistakes { entry, list: &mut list },
            )
        });
        let recipes: Vec<Recipe> = recipes.collect();
        if !list.is_empty() {
            return Err(list);
        }
        let payloads = topics.iter().map(|topic| topic.payload).collect();
        let devices = recipes.iter().find_map(|recipe| recipe.devices.as_ref());
        let config_hash = config_hash(topics, lanes, devices);
        Ok(Self { topics: patterns, recipes, payloads, tags, lanes, config_hash })
    }

    /// Changes when the config makes the stage decide otherwise.
    pub fn config_hash(&self) -> u64 {
        self.config_hash
    }

    /// The names of the tag columns that its *readings* frames have, without their prefix.
    pub fn tags(&self) -> &[String] {
        &self.tags
    }

    /// Makes readings of the messages of a frame: *readings* frames for each lane that their devices are
    /// in, a next one wherever one has about [`FRAME_BYTES`](crate::frame::FRAME_BYTES). The books count messages as
    /// consumed and readings as produced; a message all of whose metrics the config drops is filtered.
    ///
    /// # Errors
    /// When the frame holds no messages, or lacks a column.
    pub fn plan(&self, frame: &Frame) -> Result<Plan, FrameError> {
        let messages = Messages::of(frame)?;
        let mut topics = PerTopic::new(&messages);
        let mut rows = Rows::new(self, &messages);
        let mut reader = Reader::default();
        for row in 0..messages.len() {
            let topic = topics.of(&messages, row, |topic| self.topics.find(topic)).copied().flatten();
            let recipe = topic.and_then(|topic| Some((self.recipes.get(topic.pattern)?, topic)));
            let Some((recipe, topic)) = recipe else {
                let refused = Refused::no_pattern(messages.topics().get(row).unwrap_or_default());
                rows.refuse(row, &refused);
                continue;
            };
            let config = self.payloads.get(topic.pattern).copied().unwrap_or_default();
            let received_at = messages.received_at(row);
            match payload::json(config, &messages, row) {
                Ok(Cow::Borrowed(payload)) => {
                    let said = reader.read(recipe, &topic, payload, received_at);
                    rows.add(row, recipe, said, &reader);
                }
                // Its text ends with this round, and so does the reader of it.
                Ok(Cow::Owned(payload)) => {
                    let mut reader = Reader::default();
                    let said = reader.read(recipe, &topic, &payload, received_at);
                    rows.add(row, recipe, said, &reader);
                }
                Err(refused) => rows.refuse(row, &refused),
            }
        }
        let Rows { refusals, lanes, mut counts, .. } = rows;
        counts.quarantined = refusals.rows();
        let mut publish = lanes.publish(&frame.header, self.config_hash)?;
        publish.extend(refusals.publish(&frame.header, self.config_hash)?);
        Ok(Plan { publish, counts, ..Plan::default() })
    }
}

/// What becomes of the messages of a frame.
struct Rows<'a> {
    messages: &'a Messages<'a>,
    refusals: Refusals<'a>,
    lanes: Lanes<'a>,
    counts: Counts,
}

impl<'a> Rows<'a> {
    fn new(stage: &'a Transform, messages: &'a Messages<'a>) -> Self {
        let (refusals, lanes) = (Refusals::new(STAGE, messages), Lanes::new(&stage.tags, stage.lanes));
        Self { messages, refusals, lanes, counts: Counts::default() }
    }

    fn refuse(&mut self, row: usize, refused: &Refused) {
        self.refusals.add(row, refused);
    }

    /// Takes up what the message in `row` says, and the readings that `reader` found in it.
    fn add(&mut self, row: usize, recipe: &Recipe, said: Result<Said<'_>, Refused>, reader: &Reader<'_>) {
        let said = match said {
            Ok(said) => said,
            Err(refused) => return self.refuse(row, &refused),
        };
        if reader.count() == 0 {
            self.counts.filtered += 1;
            return;
        }
        let mut tags: Vec<Option<&str>> = said.tags.iter().map(Option::as_deref).collect();
        for (run, readings) in reader.runs() {
            recipe.look_up(&run.device, &mut tags);
            self.lanes.append((self.messages, row), run, readings, &tags);
        }
        self.counts.consumed += 1;
        self.counts.produced += reader.count() as u64;
    }
}

/// Over what the entries say of patterns, payloads and transforms, in an order that does not change, and over the
/// device table if tags are taken from it.
fn config_hash(topics: &[TopicConfig], lanes: u16, devices: Option<&Arc<DeviceTable>>) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(&lanes.to_le_bytes());
    if let Some(devices) = devices {
        hash.update(&devices.hash().to_le_bytes());
    }
    for topic in topics {
        // Names and numbers: there is nothing that JSON could not say.
        hash.update(
            &serde_json::to_vec(&(&topic.pattern, &topic.payload, &topic.transform)).unwrap_or_default(),
        );
    }
    hash.digest()
}
