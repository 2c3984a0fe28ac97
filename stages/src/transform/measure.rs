//! Values as readings: their kind, name and unit.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use super::{
    convert::{Convert, TooLarge},
    fields::{check_length, is_integer, shown},
    json::{self, Json, Kind},
    pointers::{self, Found, Pointer},
    recipe::Readings,
};
use crate::{json::Document, refused::Refused};

/// One reading of a message.
#[derive(Debug)]
pub(super) struct Measured<'a> {
    pub(super) metric: Cow<'a, str>,
    pub(super) measure: Measure<'a>,
    pub(super) unit: Option<Cow<'a, str>>,
}

/// What was measured.
#[derive(Debug, PartialEq)]
pub(super) enum Measure<'a> {
    Number(f64),
    Boolean(bool),
    Text(Cow<'a, str>),
}

/// What becomes of metrics.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    pub(super) rename: BTreeMap<String, String>,
    pub(super) drop: BTreeSet<String>,
    pub(super) units: BTreeMap<String, String>,
    pub(super) convert: BTreeMap<String, Convert>,
}

impl Metrics {
    /// A reading as it is stored. `unit` is what its message or its field says.
    ///
    /// # Errors
    /// When its conversion leads beyond what a 64-bit float holds: the metric.
    pub(super) fn store<'a>(
        &'a self,
        metric: Cow<'a, str>,
        measure: Measure<'a>,
        unit: Option<Cow<'a, str>>,
    ) -> Result<Measured<'a>, Cow<'a, str>> {
        let renamed = self.rename.get(metric.as_ref()).map(String::as_str);
        let name = renamed.unwrap_or(metric.as_ref());
        let convert = self.convert.get(name);
        let unit = unit
            .or_else(|| convert.and_then(Convert::source).map(Cow::Borrowed))
            .or_else(|| self.units.get(name).map(|unit| Cow::Borrowed(unit.as_str())));
        let (measure, unit) = match (measure, convert) {
            (Measure::Number(value), Some(convert)) => match convert.apply(value, unit) {
                Ok((value, unit)) => (Measure::Number(value), unit),
                Err(TooLarge) => return Err(metric),
            },
            (measure, _) => (measure, unit),
        };
        Ok(Measured { metric: renamed.map_or(metric, Cow::Borrowed), measure, unit })
    }
}

/// The readings of a message, and room that is used again for each.
#[derive(Debug, Default)]
pub(super) struct Measures<'a> {
    pub(super) entries: Vec<(Cow<'a, str>, Json<'a>)>,
    pub(super) values: Vec<Measured<'a>>,
}

impl<'a> Measures<'a> {
    /// Adds the readings of what was `found` in `document`; false where there are none. One that the config drops is one.
    pub(super) fn take(
        &mut self,
        readings: &'a Readings,
        (found, document): (&Found<'a>, &Document<'a>),
        metrics: &'a Metrics,
    ) -> Result<bool, Refused> {
        let mut any = false;
        match readings {
            Readings::Fields(fields) => {
                for field in fields {
                    let Some(json) = found.get(&field.pointer) else { continue };
                    let metric = Cow::Borrowed(field.metric.as_str());
                    let place = |_: &str| field.pointer.text.clone();
                    any |= add(&mut self.values, metrics, metric, json, field.unit.as_deref(), place)?;
                }
            }
            Readings::Object { pointer, without } => {
                object((found, document), pointer, &mut self.entries)?;
                for (metric, json) in self.entries.drain(..) {
                    if without.contains(metric.as_ref()) {
                        continue;
                    }
                    let place = |metric: &str| pointers::join(&pointer.text, metric);
                    check_length(&metric).map_err(|problem| {
                        Refused::new(
                            "bad_value",
                            &place(&metric),
                            "readings",
                            format!("the metric {problem}"),
                        )
                    })?;
                    any |= add(&mut self.values, metrics, metric, json, None, place)?;
                }
            }
        }
        Ok(any)
    }
}

/// Adds a reading unless it is null or the config drops it; false where it is null.
fn add<'a>(
    values: &mut Vec<Measured<'a>>,
    metrics: &'a Metrics,
    metric: Cow<'a, str>,
    json: Json<'a>,
    unit: Option<&'a str>,
    place: impl Fn(&str) -> String,
) -> Result<bool, Refused> {
    if metrics.drop.contains(metric.as_ref()) {
        return Ok(true);
    }
    let refused = |metric: &str, problem: &str| {
        Refused::new("bad_value", &place(metric), "readings", format!("{} {problem}", shown(json.text)))
    };
    let measure = match json::kind(json) {
        Ok(Kind::Null) => return Ok(false),
        Ok(Kind::Boolean(value)) => Measure::Boolean(value),
        Ok(Kind::Text(text)) => Measure::Text(text),
        Ok(Kind::Number(number)) => {
            measure(number).ok_or_else(|| refused(&metric, "is too large for a 64-bit float"))?
        }
        Ok(Kind::Nested) => {
            let problem = "is no single value; name what is in it with `readings: { fields: … }`";
            return Err(refused(&metric, problem));
        }
        Err(error) => return Err(refused(&metric, &error.to_string())),
    };
    let stored = metrics.store(metric, measure, unit.map(Cow::Borrowed));
    values.push(stored.map_err(|metric| refused(&metric, "is too large for a 64-bit float once converted"))?);
    Ok(true)
}

/// Takes the entries of the object at `pointer`; none where there is nothing.
fn object<'a>(
    (found, document): (&Found<'a>, &Document<'a>),
    pointer: &Pointer,
    entries: &mut Vec<(Cow<'a, str>, Json<'a>)>,
) -> Result<(), Refused> {
    entries.clear();
    let Some(json) = found.get(pointer) else { return Ok(()) };
    let refused = |message: String| Refused::new("bad_value", &pointer.text, "readings", message);
    if !json.text.starts_with('{') {
        return Err(refused(format!("{} is no object of metrics", shown(json.text))));
    }
    json::entries(json, document, entries).map_err(|error| refused(error.to_string()))
}

/// A JSON number as the nearest float, or by its digits where it is an integer that no float is; none
/// where it is too large.
pub(super) fn measure(number: &str) -> Option<Measure<'_>> {
    let value: f64 = number.parse().ok()?;
    // Up to 15 digits a float holds every integer.
    let exact = number.len() <= 15 || !is_integer(number) || format!("{value:.0}") == number;
    match (exact, value.is_finite()) {
        (true, true) => Some(Measure::Number(value)),
        (true, false) => None,
        (false, _) => Some(Measure::Text(Cow::Borrowed(number))),
    }
}
