use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where stages keep what they know of devices, with queues that are not in the data file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StateConfig {
    /// A table of DynamoDB; it also has the books, and what store is about to write.
    pub dynamodb: DynamoDbConfig,
}

/// A table of DynamoDB.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DynamoDbConfig {
    /// Its name.
    #[schemars(length(min = 3, max = 255))]
    pub table: String,
    /// The region. Default: that of the queues.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// A URL that stands in for that of DynamoDB. Default: that of the queues.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

impl Default for DynamoDbConfig {
    fn default() -> Self {
        Self { table: "millstream".into(), region: None, endpoint: None }
    }
}
