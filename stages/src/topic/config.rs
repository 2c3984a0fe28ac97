//! What the config says about the messages of a topic pattern.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Pattern, Topics};
use crate::{payload::PayloadConfig, transform::TransformConfig};

/// What is done with the messages of one pattern. The first pattern that fits a topic is the one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TopicConfig {
    /// Topics as an MQTT filter: `{name}` is one level that gets a name, `+` one level without,
    /// `#` at the end any number of them. The capture `device` names the device.
    pub pattern: String,
    /// The JSON Schema that messages must keep to: a file, its path relative to this config, or
    /// `builtin:device_sim` or `builtin:senml`. Without one, any JSON is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// How payloads are compressed and written, where messages do not say so themselves. Without it, as JSON.
    #[serde(default, skip_serializing_if = "PayloadConfig::is_default")]
    pub payload: PayloadConfig,
    /// How messages become readings. Without it, as `preset: device_sim` does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transform: Option<TransformConfig>,
}

/// Something in the config that cannot be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("topics{pointer}: {message}")]
pub struct ConfigMistake {
    /// Where, as a JSON pointer into the list of topics: `/1/transform/time/pointer`.
    pub pointer: String,
    /// What is wrong with which value, and the way out.
    pub message: String,
}

impl Topics {
    /// The patterns of a config, one per entry.
    ///
    /// # Errors
    /// Every pattern that cannot be read, and every one that is written twice.
    pub fn from_config(topics: &[TopicConfig]) -> Result<Self, Vec<ConfigMistake>> {
        let mut patterns = Vec::with_capacity(topics.len());
        let mut mistakes = Vec::new();
        for (index, topic) in topics.iter().enumerate() {
            let mut mistake =
                |message| mistakes.push(ConfigMistake { pointer: format!("/{index}/pattern"), message });
            if let Some(first) = topics[..index].iter().position(|other| other.pattern == topic.pattern) {
                mistake(format!(
                    "pattern {:?} is that of entry {first} already; join the two",
                    topic.pattern
                ));
            }
            match Pattern::parse(&topic.pattern) {
                Ok(pattern) => patterns.push(pattern),
                Err(error) => mistake(error.to_string()),
            }
        }
        if mistakes.is_empty() { Ok(Self::new(patterns)) } else { Err(mistakes) }
    }
}
