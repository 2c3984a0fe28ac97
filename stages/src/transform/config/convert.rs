//! Conversion of values.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the numbers of a metric are converted: into another unit (`from`, `to`), or as
/// value × `scale` + `offset`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConvertConfig {
    /// The unit that the device sends, as a [UCUM](https://ucum.org) code such as `[degF]`. Default:
    /// what the payload, the field or `units` says; a reading in a unit of another kind stays as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The unit to store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// What values are multiplied by. Default: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
    /// What is added then. Default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<f64>,
    /// The unit of what comes out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}
