//! SenML packs ([RFC 8428]): records whose base fields hold for those that follow.
//!
//! [RFC 8428]: https://www.rfc-editor.org/rfc/rfc8428

mod names;

use std::borrow::Cow;

use super::{
    fields::{self, TEXT_BYTES_MAX, shown},
    json::{self, Json, Kind},
    measure::{self, Measure, Measured, Measures},
    recipe::Recipe,
    time,
};
use crate::{frame::Micros, json::Document, refused::Refused};

/// Fields that say nothing of a record itself.
const BASE: [&str; 6] = ["bn", "bt", "bu", "bv", "bs", "bver"];
/// The fields of which a record has one ([section 4.2](https://www.rfc-editor.org/rfc/rfc8428#section-4.2)).
const VALUES: [&str; 4] = ["v", "vs", "vb", "vd"];
/// The version of RFC 8428; earlier ones were drafts of the same.
const VERSION: u64 = 10;
/// The same with the secondary units of RFC 8798 ([RFC 9100, section 4](https://www.rfc-editor.org/rfc/rfc9100#section-4)).
const VERSION_WITH_SECONDARY_UNITS: u64 = VERSION + (1 << 4);
/// From this time on, in seconds, a time is absolute
/// ([section 4.5.3](https://www.rfc-editor.org/rfc/rfc8428#section-4.5.3)).
const ABSOLUTE: i128 = 1 << 28;
const NANOS: i128 = 1_000_000_000;

/// A pack as far as it has been read.
pub(super) struct Pack<'a> {
    recipe: &'a Recipe,
    /// The device by the topic; empty where only names say it.
    device: Cow<'a, str>,
    received_at: Micros,
    name: Cow<'a, str>,
    /// In nanoseconds.
    time: i128,
    unit: Option<Cow<'a, str>>,
    value: Option<f64>,
    sum: Option<f64>,
    version: Option<u64>,
}

impl<'a> Pack<'a> {
    pub(super) fn new(recipe: &'a Recipe, device: &Cow<'a, str>, received_at: Micros) -> Self {
        Self {
            recipe,
            device: device.clone(),
            received_at,
            name: Cow::Borrowed(""),
            time: 0,
            unit: None,
            value: None,
            sum: None,
            version: None,
        }
    }

    /// Reads a record of `document`, and adds its readings to `measures`; answers with their device and time, or
    /// none for a record that only sets base fields.
    pub(super) fn read(
        &mut self,
        json: Json<'a>,
        document: &Document<'a>,
        measures: &mut Measures<'a>,
    ) -> Result<Option<(Cow<'a, str>, Micros)>, Refused> {
        let Measures { entries, values } = measures;
        let record = Record::of(json, document, entries)?;
        self.base(&record)?;
        let name = record.short_text("n")?.unwrap_or_default();
        names::check(&name, self.name.is_empty()).map_err(|problem| refused("n", &problem))?;
        let bytes = self.name.len() + name.len();
        if bytes > TEXT_BYTES_MAX {
            let problem = format!("bn and n have {bytes} bytes; {TEXT_BYTES_MAX} are allowed");
            return Err(bad_value("n", &problem));
        }
        let unit = record.short_text("u")?.filter(|unit| !unit.is_empty()).or_else(|| self.unit.clone());
        let ts = self.ts(&record)?;
        let (value, sum) = (self.value(&record)?, self.sum(&record)?);
        if value.is_none() && sum.is_none() {
            let problem = "a record needs one of v, vs, vb, vd and s";
            return if record.only_base() { Ok(None) } else { Err(bad_value("", problem)) };
        }
        let (device, metric) = names::split(&self.device, &self.name, &name, unit.as_ref())
            .ok_or_else(|| Refused::new("no_device", "", "device", "neither n nor bn names anything"))?;
        if let Some((label, value)) = value {
            self.store(metric.clone(), value, unit.clone(), label, values)?;
        }
        if let Some(sum) = sum {
            // The unit is that of the value, times seconds (section 4.2).
            let unit = unit.map(|unit| Cow::Owned(format!("{unit}.s")));
            self.store(Cow::Owned(format!("{metric}.sum")), sum, unit, "s", values)?;
        }
        Ok(Some((device, ts)))
    }

    fn store(
        &self,
        metric: Cow<'a, str>,
        measure: Measure<'a>,
        unit: Option<Cow<'a, str>>,
        label: &str,
        values: &mut Vec<Measured<'a>>,
    ) -> Result<(), Refused> {
        let metrics = &self.recipe.metrics;
        if metrics.drop.contains(metric.as_ref()) {
            return Ok(());
        }
        let stored = metrics.store(metric, measure, unit);
        values.push(stored.map_err(|metric| {
            bad_value(label, &format!("{metric:?} is too large for a 64-bit float once converted"))
        })?);
        Ok(())
    }

    /// Takes over the base fields of a record, which hold from it on.
    fn base(&mut self, record: &Record<'_, 'a>) -> Result<(), Refused> {
        if let Some(number) = record.number("bver")? {
            let version = fields::unsigned(number).filter(|version| {
                (1..=VERSION).contains(version) || *version == VERSION_WITH_SECONDARY_UNITS
            });
            let version = version.ok_or_else(|| {
                refused("bver", &format!("SenML of version {number} is not understood; {VERSION} is"))
            })?;
            if self.version.is_some_and(|other| other != version) {
                return Err(refused("bver", "the records of a pack have one version (section 4.4)"));
            }
            self.version = Some(version);
        }
        if let Some(name) = record.short_text("bn")? {
            names::check(&name, true).map_err(|problem| refused("bn", &problem))?;
            self.name = name;
        }
        if let Some(number) = record.number("bt")? {
            self.time = nanos("bt", number)?;
        }
        if let Some(unit) = record.short_text("bu")? {
            self.unit = Some(unit).filter(|unit| !unit.is_empty());
        }
        self.value = record.float("bv")?.or(self.value);
        self.sum = record.float("bs")?.or(self.sum);
        Ok(())
    }

    /// The time of a record, by section 4.5.3: what is small counts from the receipt.
    fn ts(&self, record: &Record<'_, 'a>) -> Result<Micros, Refused> {
        let own = record.number("t")?;
        let label = if own.is_some() { "t" } else { "bt" };
        let time = own.map_or(Ok(0), |number| nanos("t", number))?.saturating_add(self.time);
        let base = if time < ABSOLUTE * NANOS { i128::from(self.received_at) } else { 0 };
        let micros = time.div_euclid(1_000).saturating_add(base);
        let pointer = || format!("/{label}");
        let ts = time::instant(micros).ok_or_else(|| {
            Refused::new("bad_time", &pointer(), "time", "is no time of the years 1 to 9999")
        })?;
        self.recipe.bounds.check(ts, self.received_at).map_err(|(reason, keyword, problem)| {
            Refused::new(reason, &pointer(), keyword, format!("the time of this record {problem}"))
        })?;
        Ok(ts)
    }

    /// The value of a record and the field that it stands in, by section 4.5.4.
    fn value(&self, record: &Record<'_, 'a>) -> Result<Option<(&'static str, Measure<'a>)>, Refused> {
        let mut given = VALUES.into_iter().filter(|label| record.get(label).is_some());
        let label = given.next();
        if given.next().is_some() {
            return Err(bad_value("", "a record has only one of v, vs, vb and vd"));
        }
        let value = match label {
            Some("v") => self.sum_of("v", record, self.value)?,
            // Binary data stays the base64url text that it comes as.
            Some(label @ ("vs" | "vd")) => record.text(label)?.map(Measure::Text),
            Some(label) => record.boolean(label)?.map(Measure::Boolean),
            None if record.only_base() => None,
            None => self.value.map(Measure::Number),
        };
        Ok(value.map(|value| (label.unwrap_or("v"), value)))
    }

    /// The sum of a record, by section 4.5.4; a base sum makes one only of numbers.
    fn sum(&self, record: &Record<'_, 'a>) -> Result<Option<Measure<'a>>, Refused> {
        let counts =
            !record.only_base() && !["vs", "vb", "vd"].iter().any(|label| record.get(label).is_some());
        match record.get("s") {
            Some(_) => self.sum_of("s", record, self.sum),
            None => Ok(self.sum.filter(|_| counts).map(Measure::Number)),
        }
    }

    /// The number of a field and its base.
    fn sum_of(
        &self,
        label: &str,
        record: &Record<'_, 'a>,
        base: Option<f64>,
    ) -> Result<Option<Measure<'a>>, Refused> {
        let Some(number) = record.number(label)? else { return Ok(None) };
        let measure = match base {
            None => measure::measure(number),
            Some(base) => number
                .parse()
                .ok()
                .map(|value: f64| base + value)
                .filter(|sum| sum.is_finite())
                .map(Measure::Number),
        };
        let too_large = || bad_value(label, &format!("{} is too large for a 64-bit float", shown(number)));
        measure.map(Some).ok_or_else(too_large)
    }
}

/// The fields of one record; null is as good as none.
struct Record<'e, 'a>(&'e [(Cow<'a, str>, Json<'a>)]);

impl<'e, 'a> Record<'e, 'a> {
    fn of(
        json: Json<'a>,
        document: &Document<'a>,
        entries: &'e mut Vec<(Cow<'a, str>, Json<'a>)>,
    ) -> Result<Self, Refused> {
        if !json.text.starts_with('{') {
            let problem = format!("{} is no SenML record", shown(json.text));
            return Err(Refused::new("not_senml", "", "senml", problem));
        }
        json::entries(json, document, entries)
            .map_err(|error| Refused::new("not_senml", "", "senml", error.to_string()))?;
        match entries.iter().find(|(label, _)| label.ends_with('_')) {
            Some((label, _)) => {
                Err(refused(label, "a field that ends with _ must be understood, and is not (section 4.4)"))
            }
            None => Ok(Self(entries)),
        }
    }

    fn get(&self, label: &str) -> Option<Json<'a>> {
        let entry = self.0.iter().find(|(name, _)| name == label);
        entry.map(|(_, json)| *json).filter(|json| json.text != "null")
    }

    fn only_base(&self) -> bool {
        self.0.iter().all(|(label, _)| BASE.contains(&label.as_ref()))
    }

    fn text(&self, label: &str) -> Result<Option<Cow<'a, str>>, Refused> {
        self.typed(label, "a string", |kind| match kind {
            Kind::Text(text) => Some(text),
            _ => None,
        })
    }

    /// A text that is part of each reading.
    fn short_text(&self, label: &str) -> Result<Option<Cow<'a, str>>, Refused> {
        let text = self.text(label)?;
        let checked = fields::check_length(text.as_deref().unwrap_or_default());
        checked.map(|()| text).map_err(|problem| bad_value(label, &problem))
    }

    /// A number as it is written.
    fn number(&self, label: &str) -> Result<Option<&'a str>, Refused> {
        self.typed(label, "a number", |kind| match kind {
            Kind::Number(number) => Some(number),
            _ => None,
        })
    }

    fn boolean(&self, label: &str) -> Result<Option<bool>, Refused> {
        self.typed(label, "true or false", |kind| match kind {
            Kind::Boolean(value) => Some(value),
            _ => None,
        })
    }

    fn float(&self, label: &str) -> Result<Option<f64>, Refused> {
        let Some(number) = self.number(label)? else { return Ok(None) };
        let value = number.parse().ok().filter(|value: &f64| value.is_finite());
        let too_large = || bad_value(label, &format!("{} is too large for a 64-bit float", shown(number)));
        value.map(Some).ok_or_else(too_large)
    }

    fn typed<T>(
        &self,
        label: &str,
        wanted: &str,
        take: impl FnOnce(Kind<'a>) -> Option<T>,
    ) -> Result<Option<T>, Refused> {
        let Some(json) = self.get(label) else { return Ok(None) };
        let value = json::kind(json).ok().and_then(take);
        value.map(Some).ok_or_else(|| bad_value(label, &format!("{} is not {wanted}", shown(json.text))))
    }
}

fn nanos(label: &str, number: &str) -> Result<i128, Refused> {
    time::scaled(number, 9).ok_or_else(|| {
        Refused::new("bad_time", &format!("/{label}"), "time", format!("{} is no time", shown(number)))
    })
}

fn bad_value(label: &str, problem: &str) -> Refused {
    let pointer = if label.is_empty() { String::new() } else { format!("/{label}") };
    Refused::new("bad_value", &pointer, "senml", problem)
}

fn refused(label: &str, problem: &str) -> Refused {
    Refused::new("not_senml", &super::pointers::join("", label), "senml", problem)
}
