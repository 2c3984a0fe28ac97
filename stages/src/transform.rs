//! Turns messages into readings.

mod config;

pub use self::config::{
    DeviceSource, Preset, ReadingField, ReadingsSource, Received, TagSource, TimeField, TimeFormat,
    TimeSource, TransformConfig,
};
