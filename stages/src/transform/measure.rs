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
use crate::{frame::Own, json::Document, refused::Refused};

/// One reading of a message.
#[derive(Debug)]
pub(super) struct Measured<'a> {
    pub(super) metric: Cow<'a, str>,
    pub(super) measure: Measure<'a>,
    pub(super) unit: Option<Cow<'a, str>>,
}

impl Measured<'_> {
    /// What a row has of it.
    pub(super) fn own(&self) -> Own<'_> {
        let (value, text) = match &self.measure {
            Measure::Number(value) => (Some(*value), None),
            Measure::Boolean(value) => (Some(f64::from(u8::from(*value))), None),
            Measure::Text(text) => (None, Some(text.as_ref())),
        };
        Own { metric: &self.metric, value, text, unit: self.unit.as_deref() }
    }

    /// How many bytes its texts have.
    pub(super) fn texts(&self) -> usize {
        let Own { metric, text, unit, .. } = self.own();
        metric.len() + text.map_or(0, str::len) + unit.map_or(0, str::len)
    }
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
    /// Whether a reading is stored as its message says it.
    fn store_as_is(&self) -> bool {
        self.rename.is_empty() && self.units.is_empty() && self.convert.is_empty()
    }

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
                let mut each = |metric: Cow<'a, str>, json| {
                    if without.contains(metric.as_ref()) {
                        return Ok(false);
                    }
                    let place = |metric: &str| pointers::join(&pointer.text, metric);
                    check_length(&metric).map_err(|problem| {
                        let place = place(&metric);
                        Refused::new("bad_value", &place, "readings", format!("the metric {problem}"))
                    })?;
                    add(&mut self.values, metrics, metric, json, None, place)
                };
                let Some(json) = object(found, pointer)? else { return Ok(false) };
                if let Some(values) = json::plain(json, document) {
                    for (metric, json) in values {
                        any |= each(Cow::Borrowed(metric), json)?;
                    }
                    return Ok(any);
                }
                json::entries(json, document, &mut self.entries).map_err(|error| {
                    Refused::new("bad_value", &pointer.text, "readings", error.to_string())
                })?;
                for (metric, json) in self.entries.drain(..) {
                    any |= each(metric, json)?;
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
    // What most readings are, without a step between.
    if let Some(value) = short(json.text.as_bytes())
        && metrics.store_as_is()
    {
        let unit = unit.map(Cow::Borrowed);
        values.push(Measured { metric, measure: Measure::Number(value), unit });
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

/// The object at `pointer`; none where there is nothing.
fn object<'a>(found: &Found<'a>, pointer: &Pointer) -> Result<Option<Json<'a>>, Refused> {
    let Some(json) = found.get(pointer) else { return Ok(None) };
    if json.text.starts_with('{') {
        return Ok(Some(json));
    }
    let message = format!("{} is no object of metrics", shown(json.text));
    Err(Refused::new("bad_value", &pointer.text, "readings", message))
}

/// A JSON number as the nearest float, or by its digits where it is an integer that no float is; none
/// where it is too large.
pub(super) fn measure(number: &str) -> Option<Measure<'_>> {
    if let Some(value) = short(number.as_bytes()) {
        return Some(Measure::Number(value));
    }
    let value: f64 = number.parse().ok()?;
    // Up to 15 digits a float holds every integer.
    let exact = number.len() <= 15 || !is_integer(number) || format!("{value:.0}") == number;
    match (exact, value.is_finite()) {
        (true, true) => Some(Measure::Number(value)),
        (true, false) => None,
        (false, _) => Some(Measure::Text(Cow::Borrowed(number))),
    }
}

/// The nearest float to a number with up to 15 digits and without an exponent, as most are: a quotient of two floats that are
/// exact is rounded as the number is. None for any other.
fn short(number: &[u8]) -> Option<f64> {
    const DIGITS_MAX: usize = 15;
    const POWERS: [f64; DIGITS_MAX + 1] =
        [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    let (negative, digits) = match number {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let (mut mantissa, mut count, mut point) = (0_i64, 0, None);
    if digits.len() > DIGITS_MAX + 1 {
        return None;
    }
    for byte in digits {
        match byte {
            b'0'..=b'9' => {
                mantissa = mantissa * 10 + i64::from(byte - b'0');
                count += 1;
            }
            b'.' if point.is_none() => point = Some(count),
            _ => return None,
        }
    }
    let decimals = count - point.unwrap_or(count);
    let power = POWERS.get(decimals).filter(|_| (1..=DIGITS_MAX).contains(&count))?;
    let size = mantissa as f64 / power;
    Some(if negative { -size } else { size })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn short_numbers_are_read_as_any(number in "-?(0|[1-9][0-9]{0,15})(\\.[0-9]{1,15})?([eE][0-9])?") {
            let value: f64 = number.parse().unwrap();
            if let Some(short) = short(number.as_bytes()) {
                prop_assert_eq!(short.to_bits(), value.to_bits(), "{}", number);
            }
            let digits = number.bytes().filter(u8::is_ascii_digit).count();
            prop_assert_eq!(short(number.as_bytes()).is_some(), digits <= 15 && !number.contains(['e', 'E']));
        }
    }
}
