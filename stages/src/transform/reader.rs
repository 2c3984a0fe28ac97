//! Reads one message by a recipe.

use std::{borrow::Cow, ops::Range};

use super::{
    fields::{self, check_length, is_integer, shown},
    json::{self, Json, Kind},
    measure::{Measured, Measures},
    pointers::Found,
    recipe::{Device, Recipe, Samples, Shape, Tag, Time},
    senml::Pack,
};
use crate::{frame::Micros, json::Document, refused::Refused, topic::TopicMatch};

/// What a message says beside its readings, which stand in [`Reader::runs`].
#[derive(Debug)]
pub(super) struct Said<'a> {
    pub(super) tags: Vec<Option<Cow<'a, str>>>,
}

/// Readings of one device at one instant.
#[derive(Debug)]
pub(super) struct Run<'a> {
    pub(super) device: Cow<'a, str>,
    pub(super) ts: Micros,
    pub(super) seq: Option<u64>,
    /// Which of the message's readings.
    pub(super) readings: Range<usize>,
}

/// What holds for all parts of a message.
struct Context<'a> {
    recipe: &'a Recipe,
    device: Cow<'a, str>,
    ts: Micros,
    seq: Option<u64>,
    received_at: Micros,
}

/// Room that is used again for each message.
#[derive(Debug, Default)]
pub(super) struct Reader<'a> {
    document: Document<'a>,
    found: Found<'a>,
    parts: Vec<Json<'a>>,
    in_part: Found<'a>,
    measures: Measures<'a>,
    runs: Vec<Run<'a>>,
}

impl<'a> Reader<'a> {
    /// The readings of the message last read, by device and time. There are none where the config drops
    /// them all.
    pub(super) fn runs(&self) -> impl Iterator<Item = (&Run<'a>, &[Measured<'a>])> {
        self.runs.iter().map(|run| (run, self.measures.values.get(run.readings.clone()).unwrap_or_default()))
    }

    /// How many readings the message last read has.
    pub(super) fn count(&self) -> usize {
        self.measures.values.len()
    }

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
        let whole = json::whole(text, &mut self.document);
        recipe
            .pointers
            .find(whole, &self.document, &mut self.found)
            .map_err(|error| Refused::new("not_json", "", "json", error.to_string()))?;
        self.measures.values.clear();
        self.runs.clear();
        let device = self.device(&recipe.device, topic)?;
        let ts = self.time(recipe, received_at)?;
        let seq = match &recipe.seq {
            Some(pointer) => fields::seq(self.found.get(pointer), pointer)?,
            None => None,
        };
        let mut said = Said { tags: Vec::with_capacity(recipe.tags.len()) };
        for tag in &recipe.tags {
            said.tags.push(self.tag(tag, topic)?);
        }
        let any = match &recipe.shape {
            Shape::Single(readings) => {
                let any = self.measures.take(readings, (&self.found, &self.document), &recipe.metrics)?;
                self.run(0, device, ts, seq);
                any
            }
            Shape::Samples(samples) => {
                let context = Context { recipe, device, ts, seq, received_at };
                self.samples(samples, &context)?
            }
            Shape::Senml { records_max } => {
                let context = Context { recipe, device, ts, seq, received_at };
                self.pack(whole, *records_max, &context)?
            }
        };
        // A device may send the newest first; what it took together came in order.
        self.runs.sort_by_key(|run| run.ts);
        if any {
            Ok(said)
        } else {
            Err(Refused::new("no_readings", recipe.shape.place(), "readings", "there are no readings here"))
        }
    }

    /// Makes a run of the readings from number `start` on.
    fn run(&mut self, start: usize, device: Cow<'a, str>, ts: Micros, seq: Option<u64>) {
        let readings = start..self.measures.values.len();
        if !readings.is_empty() {
            self.runs.push(Run { device, ts, seq, readings });
        }
    }

    /// The device; empty where only the names of records say it.
    fn device(&self, device: &'a Device, topic: &TopicMatch<'a>) -> Result<Cow<'a, str>, Refused> {
        let refused = |pointer: &str, message: String| Refused::new("no_device", pointer, "device", message);
        let pointer = match device {
            Device::Named => return Ok(Cow::Borrowed("")),
            Device::Payload(pointer) => pointer,
            Device::Capture(name) => {
                let text = topic.capture(name);
                let text = text.ok_or_else(|| refused("", format!("the topic has no level {name:?}")))?;
                check_length(text).map_err(|problem| refused("", format!("the level {problem}")))?;
                return Ok(Cow::Borrowed(text));
            }
        };
        let json = self
            .found
            .get(pointer)
            .ok_or_else(|| refused(&pointer.text, "there is nothing here".to_owned()))?;
        let device = match json::kind(json) {
            Ok(Kind::Text(name)) if !name.is_empty() => name,
            Ok(Kind::Number(digits)) if is_integer(digits) => Cow::Borrowed(digits),
            _ => return Err(refused(&pointer.text, format!("{} names no device", shown(json.text)))),
        };
        check_length(&device).map_err(|problem| refused(&pointer.text, problem))?;
        Ok(device)
    }

    /// The time of the message, from which offsets count: of its receipt where it says none.
    fn time(&self, recipe: &Recipe, received_at: Micros) -> Result<Micros, Refused> {
        match &recipe.time {
            Time::Received => Ok(received_at),
            Time::Payload(pointer, format) => {
                let json = self.found.get(pointer);
                fields::time(json, (pointer, *format), 0, &recipe.bounds, received_at)
            }
        }
    }

    /// The text of a tag; those of the device table come later, with the devices.
    fn tag(&self, tag: &'a Tag, topic: &TopicMatch<'a>) -> Result<Option<Cow<'a, str>>, Refused> {
        let refused = |pointer: &str, message: String| Refused::new("bad_value", pointer, "tags", message);
        let (text, place) = match tag {
            Tag::Absent | Tag::Table(_) => return Ok(None),
            Tag::Constant(text) => return Ok(Some(Cow::Borrowed(text))),
            Tag::Capture(name) => (topic.capture(name).map(Cow::Borrowed), ""),
            Tag::Payload(pointer) => {
                let Some(json) = self.found.get(pointer) else { return Ok(None) };
                let text = match json::kind(json) {
                    Ok(Kind::Null) => None,
                    Ok(Kind::Text(text)) => Some(text),
                    Ok(Kind::Number(_) | Kind::Boolean(_)) => Some(Cow::Borrowed(json.text)),
                    Ok(Kind::Nested) | Err(_) => {
                        return Err(refused(&pointer.text, format!("{} can be no tag", shown(json.text))));
                    }
                };
                (text, pointer.text.as_str())
            }
        };
        check_length(text.as_deref().unwrap_or_default())
            .map_err(|problem| refused(place, format!("the tag {problem}")))?;
        Ok(text)
    }

    /// Adds the readings of every sample; false where there are none.
    fn samples(&mut self, samples: &'a Samples, context: &Context<'a>) -> Result<bool, Refused> {
        let place = samples.array.text.as_str();
        let Some(json) = self.found.get(&samples.array) else { return Ok(false) };
        if !json.text.starts_with('[') {
            let problem = format!("{} is no array of samples", shown(json.text));
            return Err(Refused::new("bad_value", place, "samples", problem));
        }
        self.split(json, place, samples.count_max)?;
        let mut any = false;
        for number in 0..self.parts.len() {
            any |= self
                .sample(samples, number, context)
                .map_err(|refused| refused.within(&format!("{place}/{number}")))?;
        }
        Ok(any)
    }

    fn sample(
        &mut self,
        samples: &'a Samples,
        number: usize,
        context: &Context<'a>,
    ) -> Result<bool, Refused> {
        let Context { recipe, received_at, .. } = *context;
        let Some(sample) = self.parts.get(number) else { return Ok(false) };
        let found = samples.pointers.find(*sample, &self.document, &mut self.in_part);
        found.map_err(|error| Refused::new("bad_value", "", "samples", error.to_string()))?;
        let (pointer, format) = &samples.time;
        let json = self.in_part.get(pointer);
        let ts = fields::time(json, (pointer, *format), context.ts, &recipe.bounds, received_at)?;
        let seq = match &samples.seq {
            Some(pointer) => fields::seq(self.in_part.get(pointer), pointer)?,
            None => context.seq,
        };
        let start = self.measures.values.len();
        let any = self.measures.take(&samples.readings, (&self.in_part, &self.document), &recipe.metrics)?;
        self.run(start, context.device.clone(), ts, seq);
        Ok(any)
    }

    /// Adds the readings of every record of a SenML pack; false where there are none.
    fn pack(&mut self, json: Json<'a>, records_max: u32, context: &Context<'a>) -> Result<bool, Refused> {
        if !json.text.starts_with('[') {
            let problem = format!("{} is no array of SenML records", shown(json.text));
            return Err(Refused::new("not_senml", "", "senml", problem));
        }
        self.split(json, "", records_max)?;
        let mut pack = Pack::new(context.recipe, &context.device, context.received_at);
        let mut any = false;
        for (number, record) in self.parts.iter().enumerate() {
            let start = self.measures.values.len();
            let read = pack.read(*record, &self.document, &mut self.measures);
            let named = read.map_err(|refused| refused.within(&format!("/{number}")))?;
            if let Some((device, ts)) = named {
                any = true;
                let readings = start..self.measures.values.len();
                self.runs.push(Run { device, ts, seq: context.seq, readings });
            }
        }
        Ok(any)
    }

    /// Takes an array apart.
    fn split(&mut self, json: Json<'a>, place: &str, count_max: u32) -> Result<(), Refused> {
        let count_max = count_max as usize;
        let (parts, mut count) = (&mut self.parts, 0);
        parts.clear();
        json::for_each(json, &self.document, |_, part| {
            count += 1;
            if count <= count_max {
                parts.push(part);
            }
        })
        .map_err(|error| Refused::new("not_json", place, "json", error.to_string()))?;
        if count <= count_max {
            return Ok(());
        }
        let problem = format!("there are {count} of them; {count_max} are allowed");
        Err(Refused::new("too_many_samples", place, "samples_max", problem))
    }
}
