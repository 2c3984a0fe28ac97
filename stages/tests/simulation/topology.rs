//! The configs that a run may have.

use std::sync::{Arc, LazyLock};

use serde_json::{Value, json};
use stages::{
    alert::{Alert, AlertConfig},
    analyze::{Analyze, AnalyzeConfig},
    stage::Stage,
    topic::TopicConfig,
    transform::Transform,
    validate::{Schemas, Validate},
};

/// The stages between the queues; a queue has the number of the stage that reads it.
pub(crate) const VALIDATE: usize = 0;
pub(crate) const TRANSFORM: usize = 1;
pub(crate) const ANALYZE: usize = 2;
pub(crate) const ALERT: usize = 3;
pub(crate) const STORE: usize = 4;

pub(crate) const LANES_MAX: u16 = 4;
/// What is greater is refused by the strict schema.
pub(crate) const LIMIT: f64 = 1000.0;
pub(crate) const WINDOW: i64 = 10_000_000;
pub(crate) const MAX_FUTURE_SECS: u64 = 600;

/// How long analyze and alert remember.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Memory {
    /// Longer than the run takes.
    Ample,
    /// Devices, metrics and repeats are forgotten in the middle of it.
    Short,
}

/// A config of all stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// The one that a run begins with.
    First,
    /// Says the same in other words: frames have other ids, rows are the same.
    Reworded,
    /// Its schema takes what the first one refuses.
    Lenient,
}

/// Every stage that a run may need, made once.
struct All {
    validate: [Stage; 3],
    /// By reworded and lanes.
    transform: [Vec<Stage>; 2],
    /// By reworded and memory.
    analyze: [[Stage; 2]; 2],
    alert: [[Stage; 2]; 2],
}

static ALL: LazyLock<All> = LazyLock::new(|| All {
    validate: [Version::First, Version::Reworded, Version::Lenient].map(validate),
    transform: [false, true]
        .map(|reworded| (1..=LANES_MAX).map(|lanes| transform(reworded, lanes)).collect()),
    analyze: [false, true]
        .map(|reworded| [Memory::Ample, Memory::Short].map(|memory| analyze(reworded, memory))),
    alert: [false, true].map(|reworded| [Memory::Ample, Memory::Short].map(|memory| alert(reworded, memory))),
});

/// The stage of this number.
pub(crate) fn stage(number: usize, version: Version, lanes: u16, memory: Memory) -> &'static Stage {
    let (reworded, memory) = (usize::from(version == Version::Reworded), memory as usize);
    match number {
        VALIDATE => &ALL.validate[version as usize],
        TRANSFORM => &ALL.transform[reworded][usize::from(lanes) - 1],
        ANALYZE => &ALL.analyze[reworded][memory],
        _ => &ALL.alert[reworded][memory],
    }
}

fn validate(version: Version) -> Stage {
    let files = Schemas::new("/", move |path| match path {
        "/meter.json" => Ok(schema(version).to_string()),
        _ => Err("there is no such file".to_owned()),
    });
    Stage::Validate(Arc::new(Validate::new(&topics(false), &files).unwrap()))
}

fn schema(version: Version) -> Value {
    let number = match version {
        Version::Lenient => json!({ "type": ["number", "boolean", "string", "object"] }),
        _ => json!({ "type": ["number", "boolean", "string", "object"], "maximum": LIMIT }),
    };
    json!({
        "$id": "meter",
        // Rows say by which version they were refused; without one, by the hash of every word.
        "version": if version == Version::Lenient { 2 } else { 1 },
        "title": if version == Version::Reworded { "Any meter" } else { "A meter" },
        "type": "object",
        "required": ["ts", "seq", "metrics"],
        "properties": { "metrics": { "type": "object", "additionalProperties": number } },
    })
}

fn transform(reworded: bool, lanes: u16) -> Stage {
    Stage::Transform(Arc::new(Transform::new(&topics(reworded), lanes).unwrap()))
}

fn topics(reworded: bool) -> Vec<TopicConfig> {
    let mut topics = vec![
        json!({
            "pattern": "plant/{site}/{device}",
            "schema": "meter.json",
            "transform": {
                "preset": "device_sim",
                "drop": ["debug"],
                "units": { "temperature": "Cel" },
                "tags": { "site": { "capture": "site" } },
                "max_future_secs": MAX_FUTURE_SECS,
            },
        }),
        json!({
            "pattern": "batch/{device}",
            "transform": {
                "samples": { "pointer": "/samples", "time": { "pointer": "/t", "format": "epoch_ms" }, "seq": "/n" },
                "max_future_secs": MAX_FUTURE_SECS,
            },
        }),
        // One lane for ingest, several for transform.
        json!({
            "pattern": "gateway/{gateway}",
            "transform": {
                "device": { "pointer": "/unit" },
                "time": { "pointer": "/t", "format": "epoch_ms" },
                "readings": { "object": "/values" },
                "tags": { "site": { "constant": "north" } },
                "max_future_secs": MAX_FUTURE_SECS,
            },
        }),
        // Without a clock.
        json!({
            "pattern": "counter/{device}",
            "transform": { "time": "received", "seq": "/n", "readings": { "object": "/values" } },
        }),
        json!({
            "pattern": "senml/{box}",
            "transform": { "preset": "senml", "max_future_secs": MAX_FUTURE_SECS },
        }),
    ];
    if reworded {
        topics.push(json!({ "pattern": "not/yet/{device}" }));
    }
    topics.into_iter().map(|topic| serde_json::from_value(topic).unwrap()).collect()
}

fn analyze(reworded: bool, memory: Memory) -> Stage {
    let config = AnalyzeConfig {
        dedupe_secs: if memory == Memory::Ample { 10_000_000 } else { 60 },
        dedupe_bytes_max: if memory == Memory::Ample { 1 << 30 } else { 64 << 10 },
        allowed_lateness_secs: 20,
        anomaly_threshold: 0.95,
        idle_secs: if memory == Memory::Ample { 10_000_000 } else { 90 },
        window_secs: 10,
        open_windows_max: 4,
        tick_secs: 5,
        tick_grace_secs: if reworded { 31 } else { 30 },
    };
    Stage::Analyze(Arc::new(Analyze::new(&config)))
}

fn alert(reworded: bool, memory: Memory) -> Stage {
    let mut rules = vec![
        json!({ "name": "hot", "metric": "temperature", "above": 80, "clear": 70, "severity": "critical" }),
        json!({ "name": "cold", "metric": "temperature", "below": 30, "for_secs": 5, "tags": { "site": "north" } }),
        json!({ "name": "odd", "metric": "level", "anomaly_score_at_least": 0.9 }),
        json!({ "name": "silent", "metric": "temperature", "absent_secs": 60 }),
        json!({ "name": "gone", "absent_secs": 30 }),
    ];
    if reworded {
        rules.insert(0, json!({ "name": "never", "metric": "nothing", "above": 0 }));
    }
    let idle_secs = if memory == Memory::Ample { 10_000_000 } else { 120 };
    let config: AlertConfig =
        serde_json::from_value(json!({ "rules": rules, "idle_secs": idle_secs })).unwrap();
    Stage::Alert(Arc::new(Alert::new(&config).unwrap()))
}
