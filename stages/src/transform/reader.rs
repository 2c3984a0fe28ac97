//! Reads one message by a recipe.

use std::borrow::Cow;

use csv::StringRecord;

use super::{
    config::TimeFormat,
    json::{self, Json, Kind},
    pointers::{self, Found, Pointer},
    recipe::{Device, Readings, Recipe, Tag, Time},
    time,
};
use crate::{frame::Micros, refused::Refused, topic::TopicMatch};

/// What a message says; its readings stand in [`Reader::values`].
#[derive(Debug)]
pub(super) struct Said<'a> {
    pub(super) device: Cow<'a, str>,
    pub(super) ts: Micros,
    pub(super) seq: Option<u64>,
    pub(super) tags: Vec<Option<Cow<'a, str>>>,
}

/// One reading of a message.
#[derive(Debug)]
pub(super) struct Measured<'a> {
    pub(super) metric: Cow<'a, str>,
    pub(super) measure: Measure<'a>,
    pub(super) unit: Option<&'a str>,
}

/// What was measured.
#[derive(Debug, PartialEq)]
pub(super) enum Measure<'a> {
    Value(f64),
    Text(Cow<'a, str>),
}

/// Room that is used again for each message.
#[derive(Debug, Default)]
pub(super) struct Reader<'a> {
    found: Found<'a>,
    entries: Vec<(Cow<'a, str>, Json<'a>)>,
    /// The readings of the message last read. Without any, the config drops them all.
    pub(super) values: Vec<Measured<'a>>,
}

impl<'a> Reader<'a> {
    /// Reads a message.
    pub(super) fn read(
        &mut self,
        recipe: &'a Recipe,
        topic: &TopicMatch<'a>,
        payload: &'a [u8],
        received_at: Micros,
    ) -> Result<Said<'a>, Refused> {
        let text = std::str::from_utf8(payload)
            .map_err(|error| Refused::new("not_utf8", "", "utf8", error.to_string()))?;
        recipe
            .pointers
            .find(text, &mut self.found)
            .map_err(|error| Refused::new("not_json", "", "json", error.to_string()))?;
        let device = self.device(&recipe.device, topic)?;
        let row = recipe.devices.as_ref().and_then(|devices| devices.row(&device));
        let said = Said {
            device,
            ts: self.time(recipe, received_at)?,
            seq: recipe.seq.as_ref().map_or(Ok(None), |pointer| self.seq(pointer))?,
            tags: recipe.tags.iter().map(|tag| self.tag(tag, topic, row)).collect::<Result<_, _>>()?,
        };
        self.readings(recipe)?;
        Ok(said)
    }

    fn device(&self, device: &'a Device, topic: &TopicMatch<'a>) -> Result<Cow<'a, str>, Refused> {
        let refused = |pointer: &str, message: String| Refused::new("no_device", pointer, "device", message);
        let pointer = match device {
            Device::Payload(pointer) => pointer,
            Device::Capture(name) => {
                let text = topic.capture(name).map(Cow::Borrowed);
                return text.ok_or_else(|| refused("", format!("the topic has no level {name:?}")));
            }
        };
        let json = self
            .found
            .get(pointer)
            .ok_or_else(|| refused(&pointer.text, "there is nothing here".to_owned()))?;
        match json::kind(json) {
            Ok(Kind::Text(name)) if !name.is_empty() => Ok(name),
            Ok(Kind::Number(digits)) if is_integer(digits) => Ok(Cow::Borrowed(digits)),
            _ => Err(refused(&pointer.text, format!("{} names no device", shown(json)))),
        }
    }

    fn time(&self, recipe: &Recipe, received_at: Micros) -> Result<Micros, Refused> {
        let Time::Payload(pointer, format) = &recipe.time else { return Ok(received_at) };
        let refused = |message: String| Refused::new("bad_time", &pointer.text, "time", message);
        let json = self.found.get(pointer).ok_or_else(|| refused("there is nothing here".to_owned()))?;
        let ts = match (json::kind(json), format) {
            (Ok(Kind::Text(text)), TimeFormat::Rfc3339) => time::rfc3339(&text),
            (Ok(Kind::Number(number)), format) => time::epoch(number, *format),
            _ => None,
        };
        let ts = ts.ok_or_else(|| {
            refused(format!("{} is no time of the years 1 to 9999 as {}", shown(json), wanted(*format)))
        })?;
        if ts > received_at.saturating_add(recipe.max_future) {
            let ahead = (ts - received_at) / 1_000_000;
            let message = format!(
                "{} lies {ahead} s after its receipt; {} s are allowed",
                shown(json),
                recipe.max_future / 1_000_000
            );
            return Err(Refused::new("future_time", &pointer.text, "max_future_secs", message));
        }
        if recipe.min_time.is_some_and(|min_time| ts < min_time) {
            let message = format!("{} lies before the earliest time that is allowed", shown(json));
            return Err(Refused::new("before_min_time", &pointer.text, "min_time", message));
        }
        Ok(ts)
    }

    fn seq(&self, pointer: &Pointer) -> Result<Option<u64>, Refused> {
        let Some(json) = self.found.get(pointer) else { return Ok(None) };
        let seq = match json::kind(json) {
            Ok(Kind::Null) => return Ok(None),
            Ok(Kind::Number(number)) => number.parse().ok().or_else(|| whole(number)),
            _ => None,
        };
        let refused = || {
            Refused::new("bad_seq", &pointer.text, "seq", format!("{} is no integer from 0 on", shown(json)))
        };
        seq.map(Some).ok_or_else(refused)
    }

    /// The text of a tag; `row` is that of the device in the device table.
    fn tag(
        &self,
        tag: &'a Tag,
        topic: &TopicMatch<'a>,
        row: Option<&'a StringRecord>,
    ) -> Result<Option<Cow<'a, str>>, Refused> {
        let pointer = match tag {
            Tag::Absent => return Ok(None),
            Tag::Constant(text) => return Ok(Some(Cow::Borrowed(text))),
            Tag::Capture(name) => return Ok(topic.capture(name).map(Cow::Borrowed)),
            Tag::Table(column) => {
                let cell = row.and_then(|row| row.get(*column)).filter(|cell| !cell.is_empty());
                return Ok(cell.map(Cow::Borrowed));
            }
            Tag::Payload(pointer) => pointer,
        };
        let Some(json) = self.found.get(pointer) else { return Ok(None) };
        match json::kind(json) {
            Ok(Kind::Null) => Ok(None),
            Ok(Kind::Text(text)) => Ok(Some(text)),
            Ok(Kind::Number(_) | Kind::Boolean(_)) => Ok(Some(Cow::Borrowed(json))),
            Ok(Kind::Nested) | Err(_) => Err(Refused::new(
                "bad_value",
                &pointer.text,
                "tags",
                format!("{} can be no tag", shown(json)),
            )),
        }
    }

    fn readings(&mut self, recipe: &'a Recipe) -> Result<(), Refused> {
        self.values.clear();
        let mut any = false;
        let pointer = match &recipe.readings {
            Readings::Fields(fields) => {
                for field in fields {
                    let Some(json) = self.found.get(&field.pointer) else { continue };
                    let metric = Cow::Borrowed(field.metric.as_str());
                    let place = |_: &str| field.pointer.text.clone();
                    any |= add(&mut self.values, recipe, metric, json, field.unit.as_deref(), place)?;
                }
                ""
            }
            Readings::Object(pointer) => {
                self.object(pointer)?;
                for (metric, json) in self.entries.drain(..) {
                    let place = |metric: &str| pointers::join(&pointer.text, metric);
                    any |= add(&mut self.values, recipe, metric, json, None, place)?;
                }
                &pointer.text
            }
        };
        if any {
            Ok(())
        } else {
            Err(Refused::new("no_readings", pointer, "readings", "there are no readings here"))
        }
    }

    /// Takes the entries of the object at `pointer`; none where there is nothing.
    fn object(&mut self, pointer: &Pointer) -> Result<(), Refused> {
        self.entries.clear();
        let Some(json) = self.found.get(pointer) else { return Ok(()) };
        let refused = |message: String| Refused::new("bad_value", &pointer.text, "readings", message);
        if !json.starts_with('{') {
            return Err(refused(format!("{} is no object of metrics", shown(json))));
        }
        json::entries(json, &mut self.entries).map_err(|error| refused(error.to_string()))
    }
}

/// Adds a reading unless it is null or the config drops it; false where it is null.
fn add<'a>(
    values: &mut Vec<Measured<'a>>,
    recipe: &'a Recipe,
    metric: Cow<'a, str>,
    json: Json<'a>,
    unit: Option<&'a str>,
    place: impl Fn(&str) -> String,
) -> Result<bool, Refused> {
    if recipe.drop.contains(metric.as_ref()) {
        return Ok(true);
    }
    let refused = |problem: &str| {
        Refused::new("bad_value", &place(&metric), "readings", format!("{} {problem}", shown(json)))
    };
    let measure = match json::kind(json) {
        Ok(Kind::Null) => return Ok(false),
        Ok(Kind::Boolean(value)) => Measure::Value(f64::from(u8::from(value))),
        Ok(Kind::Text(text)) => Measure::Text(text),
        Ok(Kind::Number(number)) => {
            measure(number).ok_or_else(|| refused("is too large for a 64-bit float"))?
        }
        Ok(Kind::Nested) => {
            return Err(refused("is no single value; name what is in it with `readings: { fields: … }`"));
        }
        Err(error) => return Err(refused(&error.to_string())),
    };
    let metric = recipe.rename.get(metric.as_ref()).map_or(metric, |name| Cow::Borrowed(name));
    let unit = unit.or_else(|| recipe.units.get(metric.as_ref()).map(String::as_str));
    values.push(Measured { metric, measure, unit });
    Ok(true)
}

/// A JSON number as the nearest float, or by its digits where it is an integer that no float is.
fn measure(number: &str) -> Option<Measure<'_>> {
    let value: f64 = number.parse().ok()?;
    // Up to 15 digits a float holds every integer.
    let exact = number.len() <= 15 || !is_integer(number) || format!("{value:.0}") == number;
    match (exact, value.is_finite()) {
        (true, true) => Some(Measure::Value(value)),
        (true, false) => None,
        (false, _) => Some(Measure::Text(Cow::Borrowed(number))),
    }
}

fn is_integer(number: &str) -> bool {
    !number.contains(['.', 'e', 'E'])
}

/// An integer in another notation, as `5.0`, which JSON Schema takes for one, too.
fn whole(number: &str) -> Option<u64> {
    /// From 2^53 on, floats skip integers.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let value: f64 = number.parse().ok()?;
    let whole = value.fract() == 0.0 && (0.0..EXACT).contains(&value);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked just above")]
    whole.then_some(value as u64)
}

/// A value from the payload for a message to people, cut short.
fn shown(json: Json<'_>) -> Cow<'_, str> {
    const CHARS_MAX: usize = 60;
    match json.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => Cow::Owned(format!("{}…", &json[..end])),
        None => Cow::Borrowed(json),
    }
}

fn wanted(format: TimeFormat) -> &'static str {
    match format {
        TimeFormat::Rfc3339 => "an RFC 3339 text",
        TimeFormat::EpochS => "a number of seconds since 1970",
        TimeFormat::EpochMs => "a number of milliseconds since 1970",
        TimeFormat::EpochUs => "a number of microseconds since 1970",
        TimeFormat::EpochNs => "a number of nanoseconds since 1970",
    }
}
