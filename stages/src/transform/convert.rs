//! How the numbers of a metric are converted, as its entry of the config says.

use std::{borrow::Cow, collections::BTreeMap};

use super::{
    config::ConvertConfig,
    units::{self, Conversion},
};

/// What becomes of the numbers of one metric.
#[derive(Debug)]
pub(super) enum Convert {
    /// From the unit of each reading.
    Unit { from: Option<String>, to: String, conversions: BTreeMap<&'static str, Conversion> },
    /// As value × scale + offset.
    Linear { scale: f64, offset: f64, unit: Option<String> },
}

/// The units that the config says of one metric.
#[derive(Default)]
pub(super) struct Said<'a> {
    /// By `units`.
    pub(super) stored: Option<&'a str>,
    /// By fields.
    pub(super) fields: Vec<&'a str>,
    /// Whether payloads tell units.
    pub(super) in_payload: bool,
}

impl Convert {
    /// What `config` says for a metric.
    ///
    /// # Errors
    /// Each key that makes no sense, or none for the entry as a whole, and why.
    pub(super) fn new(config: &ConvertConfig, said: &Said<'_>) -> Result<Self, Vec<(&'static str, String)>> {
        match config {
            ConvertConfig { from, to: Some(to), scale: None, offset: None, unit: None } => {
                Self::between(from.as_deref(), to, said)
            }
            ConvertConfig { from: None, to: None, scale, offset, unit }
                if scale.is_some() || offset.is_some() =>
            {
                Self::linear(scale.unwrap_or(1.0), offset.unwrap_or(0.0), unit.as_deref(), said)
            }
            _ => Err(vec![(
                "",
                "write either `to`, and `from` where the device does not say its unit, or `scale`, `offset` and `unit`"
                    .to_owned(),
            )]),
        }
    }

    fn between(from: Option<&str>, to: &str, said: &Said<'_>) -> Result<Self, Vec<(&'static str, String)>> {
        let conversions = units::conversions(to).map_err(|message| vec![("to", message)])?;
        let mut mistakes = Vec::new();
        let units = from.map(|from| ("from", from)).into_iter();
        let others = said.stored.into_iter().chain(said.fields.iter().copied()).map(|unit| ("", unit));
        for (key, unit) in units.chain(others) {
            match units::quantity(unit) {
                Err(message) => mistakes.push((key, message)),
                Ok(quantity) if !conversions.contains_key(unit) => {
                    let other = units::quantity(to).unwrap_or_default();
                    let message = format!("{unit:?} is a unit of {quantity}, and {to:?} one of {other}");
                    mistakes.push((key, message));
                }
                Ok(_) => {}
            }
        }
        match (from, said.stored) {
            (Some(from), Some(stored)) => mistakes.push((
                "from",
                format!("`units` says {stored:?} and this {from:?}; take the metric out of `units`"),
            )),
            (Some(from), None) => {
                if let Some(other) = said.fields.iter().find(|unit| **unit != from) {
                    mistakes.push(("from", format!("its field says {other:?} and this {from:?}; keep one")));
                }
            }
            (None, None) if said.fields.is_empty() && !said.in_payload => {
                mistakes.push(("", "nothing says which unit the device sends; add `from`".to_owned()))
            }
            (None, _) => {}
        }
        if mistakes.is_empty() {
            Ok(Self::Unit { from: from.map(str::to_owned), to: to.to_owned(), conversions })
        } else {
            Err(mistakes)
        }
    }

    fn linear(
        scale: f64,
        offset: f64,
        unit: Option<&str>,
        said: &Said<'_>,
    ) -> Result<Self, Vec<(&'static str, String)>> {
        let mut mistakes = Vec::new();
        if !scale.is_finite() || scale == 0.0 {
            mistakes.push(("scale", format!("{scale} would make all values the same; give another number")));
        }
        if !offset.is_finite() {
            mistakes.push(("offset", format!("{offset} can be added to no value; give another number")));
        }
        if let (Some(unit), Some(stored)) = (unit, said.stored) {
            let message =
                format!("`units` says {stored:?} and this {unit:?}; take the metric out of `units`");
            mistakes.push(("unit", message));
        }
        if mistakes.is_empty() {
            Ok(Self::Linear { scale, offset, unit: unit.map(str::to_owned) })
        } else {
            Err(mistakes)
        }
    }

    /// The unit that readings are in as they come, where nothing but this entry says one.
    pub(super) fn source(&self) -> Option<&str> {
        match self {
            Self::Unit { from, .. } => from.as_deref(),
            Self::Linear { .. } => None,
        }
    }

    /// A number in `unit` and the unit that it is in then; both as they were where there is no
    /// conversion.
    ///
    /// # Errors
    /// When a 64-bit float cannot hold what comes out.
    pub(super) fn apply<'a>(
        &'a self,
        value: f64,
        unit: Option<Cow<'a, str>>,
    ) -> Result<(f64, Option<Cow<'a, str>>), TooLarge> {
        match self {
            Self::Unit { to, conversions, .. } => {
                match unit.as_deref().and_then(|unit| conversions.get(unit)) {
                    Some(conversion) => {
                        Ok((conversion.of(value).ok_or(TooLarge)?, Some(Cow::Borrowed(to.as_str()))))
                    }
                    None => Ok((value, unit)),
                }
            }
            Self::Linear { scale, offset, unit: to } => {
                let value = value * scale + offset;
                let unit = to.as_deref().map(Cow::Borrowed).or(unit);
                if value.is_finite() { Ok((value, unit)) } else { Err(TooLarge) }
            }
        }
    }
}

/// A number beyond what a 64-bit float holds.
#[derive(Debug, PartialEq)]
pub(super) struct TooLarge;
