//! Checks each message against the JSON Schema that its topic maps to. Bytes pass on unchanged, and a
//! message is refused whole.
//!
//! Where an object has a key twice, the last one counts, here and in transform.

mod json;
mod plain;
mod schemas;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use arrow_array::{BooleanArray, DictionaryArray, Int32Array, RecordBatch, StringArray, types::Int32Type};
use arrow_select::filter::filter_record_batch;
use xxhash_rust::xxh3::Xxh3;

use self::schemas::Schema;
pub use self::schemas::{DEVICE_SIM_SCHEMA, Schemas};
use crate::{
    frame::{Frame, FrameError, Kind, Messages},
    json::Document,
    payload::{self, PayloadConfig},
    plan::{Counts, Plan, Port},
    refused::{PerTopic, Refusals, Refused},
    topic::{ConfigMistake, TopicConfig, Topics},
};

/// The name of the stage.
pub const STAGE: &str = "validate";

/// The stage: topic patterns and the schemas of their messages.
///
/// Reasons it refuses a message for: `no_pattern`, `bad_encoding`, `too_large`, `not_cbor`, `not_utf8`, `not_json`,
/// `too_deep` (128 levels), `schema`.
#[derive(Debug)]
pub struct Validate {
    topics: Topics,
    /// What the payloads of each pattern are.
    payloads: Vec<PayloadConfig>,
    /// Which of `schemas` each pattern has.
    schema_of: Vec<Option<usize>>,
    schemas: Vec<Schema>,
    config_hash: u64,
}

impl Validate {
    /// The stage that a config describes.
    ///
    /// # Errors
    /// Every pattern that cannot be read and every schema that cannot be had or is none.
    pub fn new(topics: &[TopicConfig], files: &Schemas) -> Result<Self, Vec<ConfigMistake>> {
        let (patterns, mut mistakes) = match Topics::from_config(topics) {
            Ok(patterns) => (patterns, Vec::new()),
            Err(mistakes) => (Topics::default(), mistakes),
        };
        let mut schemas = Vec::new();
        let mut loaded = BTreeMap::new();
        let mut schema_of = Vec::with_capacity(topics.len());
        for (index, topic) in topics.iter().enumerate() {
            let Some(name) = topic.schema.as_deref() else {
                schema_of.push(None);
                continue;
            };
            let number = loaded.entry(name).or_insert_with(|| match files.load(name) {
                Ok(schema) => {
                    schemas.push(schema);
                    Some(schemas.len() - 1)
                }
                Err(message) => {
                    mistakes.push(ConfigMistake { pointer: format!("/{index}/schema"), message });
                    None
                }
            });
            schema_of.push(*number);
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let payloads: Vec<PayloadConfig> = topics.iter().map(|topic| topic.payload).collect();
        let config_hash = config_hash(&patterns, &payloads, &schema_of, &schemas);
        Ok(Self { topics: patterns, payloads, schema_of, schemas, config_hash })
    }

    /// Changes when the config makes the stage decide otherwise.
    pub fn config_hash(&self) -> u64 {
        self.config_hash
    }

    /// Sorts the messages of a frame into those that pass and those that are refused.
    ///
    /// # Errors
    /// When the frame holds no messages, or lacks a column.
    pub fn plan(&self, frame: &Frame) -> Result<Plan, FrameError> {
        let messages = Messages::of(frame)?;
        let mut patterns = PerTopic::new(&messages);
        let mut refusals = Refusals::new(STAGE, &messages);
        let mut passed = Vec::with_capacity(messages.len());
        let mut schema = Vec::with_capacity(messages.len());
        let mut document = Document::default();
        for row in 0..messages.len() {
            let pattern =
                patterns.of(&messages, row, |topic| self.topics.find(topic).map(|found| found.pattern));
            let checked = match pattern {
                Some(Some(pattern)) => self.check(*pattern, &messages, row, &mut document),
                _ => Err(Refused::no_pattern(messages.topics().get(row).unwrap_or_default())),
            };
            passed.push(checked.is_ok());
            match checked {
                Ok(number) => schema.push(number),
                Err(refused) => {
                    schema.push(None);
                    refusals.add(row, &refused);
                }
            }
        }
        let quarantined = refusals.rows();
        let consumed = messages.len() as u64 - quarantined;
        let mut publish = Vec::new();
        if consumed > 0 {
            let id = frame.header.id.published(STAGE, self.config_hash, Port::Next.as_str(), 0);
            let header = frame.header.derive(Kind::Messages, frame.header.lane, id);
            publish.push((Port::Next, Frame { header, rows: self.passed(&frame.rows, &schema, passed)? }));
        }
        publish.extend(refusals.publish(&frame.header, self.config_hash)?);
        let counts = Counts { consumed, quarantined, produced: consumed, ..Counts::default() };
        Ok(Plan { publish, counts, ..Plan::default() })
    }

    /// The number of the schema that the payload of `row` keeps to, if its pattern has one.
    fn check<'a>(
        &self,
        pattern: usize,
        messages: &Messages<'a>,
        row: usize,
        document: &mut Document<'a>,
    ) -> Result<Option<usize>, Refused> {
        let config = self.payloads.get(pattern).copied().unwrap_or_default();
        let number = self.schema_of.get(pattern).copied().flatten();
        let schema = number.and_then(|number| self.schemas.get(number));
        match payload::json(config, messages, row)? {
            Cow::Borrowed(payload) => json::check(payload, schema, document)?,
            // Its text ends here, and so does what was found in it.
            Cow::Owned(payload) => json::check(&payload, schema, &mut Document::default())?,
        }
        Ok(number)
    }

    /// The rows that passed, each with id and version of its schema.
    fn passed(
        &self,
        rows: &RecordBatch,
        schema: &[Option<usize>],
        passed: Vec<bool>,
    ) -> Result<RecordBatch, FrameError> {
        let keys = schema.iter().map(|number| number.and_then(|number| i32::try_from(number).ok()));
        let keys: Int32Array = keys.collect();
        let mut columns = rows.columns().to_vec();
        let mut fill = |name, texts: StringArray| -> Result<(), FrameError> {
            let column = DictionaryArray::<Int32Type>::try_new(keys.clone(), Arc::new(texts))?;
            columns[rows.schema_ref().index_of(name)?] = Arc::new(column);
            Ok(())
        };
        let against = || self.schemas.iter().map(|schema| &schema.against);
        fill("schema", StringArray::from_iter_values(against().map(|against| &against.id)))?;
        fill("schema_version", StringArray::from_iter_values(against().map(|against| &against.version)))?;
        let rows = RecordBatch::try_new(rows.schema(), columns)?;
        if passed.iter().all(|passed| *passed) {
            return Ok(rows);
        }
        Ok(filter_record_batch(&rows, &BooleanArray::from(passed))?)
    }
}

fn config_hash(
    topics: &Topics,
    payloads: &[PayloadConfig],
    schema_of: &[Option<usize>],
    schemas: &[Schema],
) -> u64 {
    let mut hash = Xxh3::new();
    for ((pattern, payload), number) in topics.patterns().iter().zip(payloads).zip(schema_of) {
        hash.update(pattern.as_str().as_bytes());
        hash.update(&[0]);
        if let Some(schema) = number.and_then(|number| schemas.get(number)) {
            hash.update(schema.against.id.as_bytes());
            hash.update(&schema.hash.to_le_bytes());
        }
        hash.update(&[0]);
        // Names and numbers: there is nothing that JSON could not say.
        hash.update(&serde_json::to_vec(payload).unwrap_or_default());
    }
    hash.digest()
}
