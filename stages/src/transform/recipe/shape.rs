//! The shape of messages: one set of readings, samples, or SenML.

use std::collections::BTreeSet;

use super::Builder;
use crate::transform::{
    config::{
        DeviceSource, Preset, ReadingField, ReadingsSource, SamplesConfig, TagSource, TimeFormat, TimeSource,
    },
    pointers::{self, Pointer, Pointers},
};

/// What messages look like.
#[derive(Debug)]
pub(in crate::transform) enum Shape {
    /// Readings of one instant.
    Single(Readings),
    Samples(Samples),
    Senml {
        records_max: u32,
    },
}

impl Shape {
    /// A pointer to where the readings are.
    pub(in crate::transform) fn place(&self) -> &str {
        match self {
            Self::Single(Readings::Object { pointer, .. }) => &pointer.text,
            Self::Samples(samples) => &samples.array.text,
            Self::Single(Readings::Fields(_)) | Self::Senml { .. } => "",
        }
    }
}

/// Readings of many instants. All pointers but that to the array begin at a sample.
#[derive(Debug)]
pub(in crate::transform) struct Samples {
    pub(in crate::transform) array: Pointer,
    pub(in crate::transform) count_max: u32,
    pub(in crate::transform) pointers: Pointers,
    pub(in crate::transform) time: (Pointer, TimeFormat),
    pub(in crate::transform) seq: Option<Pointer>,
    pub(in crate::transform) readings: Readings,
}

#[derive(Debug)]
pub(in crate::transform) enum Readings {
    /// All of an object, without what is something else.
    Object {
        pointer: Pointer,
        without: BTreeSet<String>,
    },
    Fields(Vec<Field>),
}

#[derive(Debug)]
pub(in crate::transform) struct Field {
    pub(in crate::transform) metric: String,
    pub(in crate::transform) pointer: Pointer,
    pub(in crate::transform) unit: Option<String>,
}

impl Builder<'_> {
    pub(super) fn shape(&mut self) -> Shape {
        let config = self.config;
        match (config.preset, &config.samples) {
            (Some(Preset::Senml), _) => {
                self.check_senml();
                Shape::Senml { records_max: config.samples_max }
            }
            (preset, Some(samples)) => {
                if preset.is_some() {
                    self.mistakes
                        .add("samples", "the preset says what messages look like; take out one of the two");
                }
                self.samples(samples)
            }
            (_, None) => {
                let object = object_of(config.readings.as_ref(), "/metrics");
                let without = own_fields(object, self.other_fields());
                Shape::Single(self.readings("readings", config.readings.as_ref(), "/metrics", without))
            }
        }
    }

    fn samples(&mut self, samples: &SamplesConfig) -> Shape {
        if self.config.readings.is_some() {
            self.mistakes.add("readings", "with `samples`, write it in there: `samples: { readings: … }`");
        }
        if self.config.time.is_some() && !samples.time.format.is_offset() {
            let message = "every sample has its own time; take this one out, or let samples count from it \
                           with the format offset_ms";
            self.mistakes.add("time", message);
        }
        if self.config.seq.is_some() && samples.seq.is_some() {
            self.mistakes.add("samples/seq", "there is a `seq` of the message, too; take out one of the two");
        }
        let array = self.pointer("samples/pointer", &samples.pointer);
        let others = [Some(samples.time.pointer.as_str()), samples.seq.as_deref()].into_iter().flatten();
        let without = own_fields(object_of(samples.readings.as_ref(), ""), others);
        // Pointers into a sample make a tree of their own.
        let of_message = std::mem::take(&mut self.pointers);
        let time = (self.pointer("samples/time/pointer", &samples.time.pointer), samples.time.format);
        let seq = samples.seq.as_ref().map(|pointer| self.pointer("samples/seq", pointer));
        let readings = self.readings("samples/readings", samples.readings.as_ref(), "", without);
        let pointers = std::mem::replace(&mut self.pointers, of_message);
        Shape::Samples(Samples { array, count_max: self.config.samples_max, pointers, time, seq, readings })
    }

    /// What a config may not say of SenML, whose records say it.
    fn check_senml(&mut self) {
        let config = self.config;
        let pointer = matches!(config.device, Some(DeviceSource::Pointer(_)));
        let given = [
            ("device/pointer", pointer, "names its devices; let a capture name it, or take this out"),
            ("time", config.time.is_some(), "has its own times; take this out"),
            ("readings", config.readings.is_some(), "has a shape of its own; take this out"),
            ("samples", config.samples.is_some(), "has a shape of its own; take this out"),
        ];
        for (key, _, problem) in given.into_iter().filter(|(_, given, _)| *given) {
            self.mistakes.add(key, format!("SenML {problem}"));
        }
    }

    fn readings(
        &mut self,
        key: &str,
        source: Option<&ReadingsSource>,
        default: &str,
        without: BTreeSet<String>,
    ) -> Readings {
        match source {
            None => Readings::Object { pointer: self.pointer(key, default), without },
            Some(ReadingsSource::Object(pointer)) => {
                Readings::Object { pointer: self.pointer(&format!("{key}/object"), pointer), without }
            }
            Some(ReadingsSource::Fields(fields)) => {
                let key = format!("{key}/fields");
                if fields.is_empty() {
                    self.mistakes.add(&key, "there are no fields; name at least one metric and its pointer");
                }
                let field = |index| self.field(&key, fields, index);
                Readings::Fields((0..fields.len()).filter_map(field).collect())
            }
        }
    }

    fn field(&mut self, key: &str, fields: &[ReadingField], index: usize) -> Option<Field> {
        let field = fields.get(index)?;
        if fields.iter().take(index).any(|other| other.metric == field.metric) {
            let message =
                format!("the metric {:?} has a field already; give this one another name", field.metric);
            self.mistakes.add(&format!("{key}/{index}/metric"), message);
        }
        Some(Field {
            metric: field.metric.clone(),
            pointer: self.pointer(&format!("{key}/{index}/pointer"), &field.pointer),
            unit: field.unit.clone(),
        })
    }

    /// The pointers of a message that lead to something else than readings.
    fn other_fields(&self) -> impl Iterator<Item = &str> {
        let config = self.config;
        let device = match &config.device {
            Some(DeviceSource::Pointer(pointer)) => Some(pointer.as_str()),
            Some(DeviceSource::Capture(_)) | None => None,
        };
        let time = match &config.time {
            Some(TimeSource::Payload(field)) => Some(field.pointer.as_str()),
            Some(TimeSource::Received(_)) | None => None,
        };
        let tags = config.tags.values().filter_map(|tag| match tag {
            TagSource::Pointer(pointer) => Some(pointer.as_str()),
            _ => None,
        });
        [device, time, config.seq.as_deref()].into_iter().flatten().chain(tags)
    }
}

fn object_of<'a>(source: Option<&'a ReadingsSource>, default: &'a str) -> &'a str {
    match source {
        Some(ReadingsSource::Object(pointer)) => pointer,
        Some(ReadingsSource::Fields(_)) | None => default,
    }
}

/// The members of the object at `object` that `others` lead to or into.
fn own_fields<'a>(object: &str, others: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let member = |other: &str| {
        let path = other.strip_prefix(object)?.strip_prefix('/')?;
        path.split('/').next().map(pointers::unescaped)
    };
    others.filter_map(member).collect()
}
