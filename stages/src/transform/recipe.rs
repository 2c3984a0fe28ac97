//! A pattern's transform, made ready: presets filled in, pointers joined, every mistake found.

mod convert;
mod shape;

use std::{collections::BTreeMap, sync::Arc};

use chrono::DateTime;

pub(super) use self::shape::{Readings, Samples, Shape};
use super::{
    config::{DeviceSource, Preset, TagSource, TimeField, TimeFormat, TimeSource, TransformConfig},
    devices::DeviceTable,
    fields::Bounds,
    measure::Metrics,
    pointers::{self, Pointer, Pointers},
};
use crate::{
    frame::Micros,
    topic::{ConfigMistake, Pattern},
};

/// How the messages of one pattern become readings.
#[derive(Debug)]
pub(super) struct Recipe {
    pub(super) pointers: Pointers,
    pub(super) device: Device,
    pub(super) time: Time,
    pub(super) shape: Shape,
    pub(super) seq: Option<Pointer>,
    pub(super) metrics: Metrics,
    /// One for each tag column of the stage, in their order.
    pub(super) tags: Vec<Tag>,
    pub(super) bounds: Bounds,
    /// The device table, if a tag is taken from it.
    pub(super) devices: Option<Arc<DeviceTable>>,
}

#[derive(Debug)]
pub(super) enum Device {
    Capture(String),
    Payload(Pointer),
    /// By the names in a SenML pack.
    Named,
}

#[derive(Debug)]
pub(super) enum Time {
    Received,
    Payload(Pointer, TimeFormat),
}

#[derive(Debug)]
pub(super) enum Tag {
    /// Of another pattern.
    Absent,
    Capture(String),
    Constant(String),
    Payload(Pointer),
    /// A column of the device table, by its number.
    Table(usize),
}

/// What is wrong with the transform of one entry.
pub(super) struct Mistakes<'a> {
    pub(super) entry: usize,
    pub(super) list: &'a mut Vec<ConfigMistake>,
}

impl Mistakes<'_> {
    fn add(&mut self, key: &str, message: impl Into<String>) {
        let pointer = format!("/{}/transform/{key}", self.entry);
        self.list.push(ConfigMistake { pointer, message: message.into() });
    }
}

impl Recipe {
    /// The recipe of `config`, or of the preset for `device-sim` where there is none. `tags` are
    /// those of all patterns. With mistakes it is of no use.
    pub(super) fn new(
        pattern: &Pattern,
        config: Option<&TransformConfig>,
        tags: &[String],
        devices: Option<&Arc<DeviceTable>>,
        mistakes: Mistakes<'_>,
    ) -> Self {
        let preset = TransformConfig { preset: Some(Preset::DeviceSim), ..TransformConfig::default() };
        let config = config.unwrap_or(&preset);
        let mut builder = Builder { pattern, config, devices, pointers: Pointers::default(), mistakes };
        let (device, time) = (builder.device(), builder.time());
        let (shape, seq) = (builder.shape(), builder.seq());
        let tags = builder.tags(tags);
        builder.check_names();
        let metrics = Metrics {
            rename: config.rename.clone(),
            drop: config.drop.clone(),
            units: config.units.clone(),
            convert: builder.convert(),
        };
        let bounds = Bounds { max_future: builder.max_future(), min_time: builder.min_time() };
        let devices = devices.filter(|_| tags.iter().any(|tag| matches!(tag, Tag::Table(_)))).cloned();
        Self { pointers: builder.pointers, device, time, shape, seq, metrics, tags, bounds, devices }
    }
}

impl Recipe {
    /// Fills in the tags that the device table has of `device`.
    pub(super) fn look_up<'a>(&'a self, device: &str, tags: &mut [Option<&'a str>]) {
        let Some(devices) = &self.devices else { return };
        let row = devices.row(device);
        for (tag, text) in self.tags.iter().zip(tags) {
            if let Tag::Table(column) = tag {
                *text = row.and_then(|row| row.get(*column)).filter(|cell| !cell.is_empty());
            }
        }
    }
}

struct Builder<'a> {
    pattern: &'a Pattern,
    config: &'a TransformConfig,
    devices: Option<&'a Arc<DeviceTable>>,
    pointers: Pointers,
    mistakes: Mistakes<'a>,
}

impl Builder<'_> {
    fn device(&mut self) -> Device {
        match &self.config.device {
            Some(DeviceSource::Capture(name)) => {
                self.check_capture("device/capture", name);
                Device::Capture(name.clone())
            }
            Some(DeviceSource::Pointer(pointer)) => Device::Payload(self.pointer("device/pointer", pointer)),
            None if self.captures("device") => Device::Capture("device".to_owned()),
            None if self.config.preset == Some(Preset::Senml) => Device::Named,
            None => {
                if self.config.preset.is_none() {
                    self.mistakes.add(
                        "device",
                        "where is the device named? write `{device}` for a level of the pattern, or set \
                         `device: { pointer: … }`",
                    );
                }
                Device::Payload(self.pointer("preset", "/device_id"))
            }
        }
    }

    /// The time of messages. Samples and records of SenML have their own.
    fn time(&mut self) -> Time {
        let samples = self.config.samples.as_ref();
        let offsets = samples.is_some_and(|samples| samples.time.format.is_offset());
        match &self.config.time {
            Some(TimeSource::Received(_)) => Time::Received,
            Some(TimeSource::Payload(TimeField { pointer, format })) => {
                if format.is_offset() {
                    self.mistakes.add(
                        "time/format",
                        "an offset counts from the time of a message; only the time of `samples` can be one",
                    );
                }
                Time::Payload(self.pointer("time/pointer", pointer), *format)
            }
            None if samples.is_some() && !offsets || self.config.preset == Some(Preset::Senml) => {
                Time::Received
            }
            None => {
                if self.config.preset.is_none() {
                    self.mistakes.add(
                        "time",
                        "where is the time? set `time: { pointer: /ts }`, or `time: received` for the time of receipt",
                    );
                }
                Time::Payload(self.pointer("preset", "/ts"), TimeFormat::Rfc3339)
            }
        }
    }

    fn seq(&mut self) -> Option<Pointer> {
        match (&self.config.seq, self.config.preset) {
            (Some(pointer), _) => Some(self.pointer("seq", pointer)),
            (None, Some(Preset::DeviceSim)) => Some(self.pointer("preset", "/seq")),
            (None, Some(Preset::Senml) | None) => None,
        }
    }

    fn tags(&mut self, tags: &[String]) -> Vec<Tag> {
        for name in self.config.tags.keys() {
            let usable = |char: char| char.is_ascii_alphanumeric() || char == '_';
            if name.is_empty() || !name.chars().all(usable) {
                let message = format!("{name:?} cannot name a tag; use ASCII letters, digits and `_`");
                self.mistakes.add(&pointers::join("tags", name), message);
            }
        }
        let config = self.config;
        tags.iter()
            .map(|name| match config.tags.get(name) {
                None => Tag::Absent,
                Some(TagSource::Constant(text)) => Tag::Constant(text.clone()),
                Some(TagSource::Pointer(pointer)) => {
                    Tag::Payload(self.pointer(&format!("{}/pointer", pointers::join("tags", name)), pointer))
                }
                Some(TagSource::Capture(capture)) => {
                    self.check_capture(&format!("{}/capture", pointers::join("tags", name)), capture);
                    Tag::Capture(capture.clone())
                }
                Some(TagSource::Table(column)) => {
                    self.column(&format!("{}/table", pointers::join("tags", name)), column)
                }
            })
            .collect()
    }

    /// The column of the device table that is called `name`.
    fn column(&mut self, key: &str, name: &str) -> Tag {
        let message = match self.devices {
            None => "there is no device table; name one with `devices: { table: devices.csv }`".to_owned(),
            Some(devices) => match devices.columns().position(|column| column == name) {
                Some(number) => return Tag::Table(number),
                None => {
                    let known: Vec<_> = devices.columns().collect();
                    format!("the device table has no column {name:?}, but {}", known.join(", "))
                }
            },
        };
        self.mistakes.add(key, message);
        Tag::Absent
    }

    /// Two metrics that get the same name, and a metric that is both dropped and renamed.
    fn check_names(&mut self) {
        let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
        for (metric, stored) in &self.config.rename {
            if let Some(other) = taken.insert(stored, metric) {
                let message = format!("{other:?} is renamed to {stored:?} already; choose another name");
                self.mistakes.add(&pointers::join("rename", metric), message);
            }
            if self.config.drop.contains(metric) {
                let message = format!("{metric:?} is also dropped; take it out of `rename` or `drop`");
                self.mistakes.add(&pointers::join("rename", metric), message);
            }
        }
    }

    fn max_future(&mut self) -> Micros {
        let micros =
            i64::try_from(self.config.max_future_secs).ok().and_then(|secs| secs.checked_mul(1_000_000));
        micros.unwrap_or_else(|| {
            let message =
                format!("{} seconds are too many; 315360000 are ten years", self.config.max_future_secs);
            self.mistakes.add("max_future_secs", message);
            0
        })
    }

    fn min_time(&mut self) -> Option<Micros> {
        let text = self.config.min_time.as_deref()?;
        match DateTime::parse_from_rfc3339(text) {
            Ok(instant) => Some(instant.timestamp_micros()),
            Err(error) => {
                let message =
                    format!("{text:?} is no RFC 3339 time ({error}); write it as 2000-01-01T00:00:00Z");
                self.mistakes.add("min_time", message);
                None
            }
        }
    }

    fn pointer(&mut self, key: &str, text: &str) -> Pointer {
        self.pointers.add(text).unwrap_or_else(|message| {
            self.mistakes.add(key, message);
            Pointer::default()
        })
    }

    fn captures(&self, name: &str) -> bool {
        self.pattern.captures().any(|capture| capture == name)
    }

    fn check_capture(&mut self, key: &str, name: &str) {
        if !self.captures(name) {
            let known: Vec<_> = self.pattern.captures().collect();
            let message = match known.as_slice() {
                [] => format!(
                    "the pattern {} captures nothing; write `{{{name}}}` for one of its levels",
                    self.pattern
                ),
                known => {
                    format!("the pattern {} captures no {name:?}, but {}", self.pattern, known.join(", "))
                }
            };
            self.mistakes.add(key, message);
        }
    }
}
