//! What can be wrong with a message, how often, and how it is made wrong.

use std::{fmt, str::FromStr};

use rand::{RngExt, rngs::Xoshiro256PlusPlus};

/// One kind of fault. Each is a label in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Broken JSON.
    Malformed,
    /// JSON that breaks the message's shape.
    Schema,
    /// A clock that is two hours behind, or three days ahead.
    Skew,
    /// The very same message a second time, at once or up to eight messages later.
    Repeat,
    /// Sent after the device's next message.
    Disorder,
    /// Held back for 2 to 10 seconds of event time.
    Late,
    /// The device sends nothing for 5 to 30 seconds of event time; the label is on the first message after it.
    Silence,
    /// One metric jumps, once.
    Spike,
    /// One metric runs away over the device's next 50 messages.
    Drift,
    /// One metric stays at its value over the device's next 50 messages.
    Stuck,
}

const ALL: [(Fault, &str, f64); 10] = [
    (Fault::Malformed, "malformed", 0.001),
    (Fault::Schema, "schema", 0.002),
    (Fault::Skew, "skew", 0.001),
    (Fault::Repeat, "repeat", 0.005),
    (Fault::Disorder, "disorder", 0.01),
    (Fault::Late, "late", 0.005),
    (Fault::Silence, "silence", 0.0005),
    (Fault::Spike, "spike", 0.002),
    (Fault::Drift, "drift", 0.0002),
    (Fault::Stuck, "stuck", 0.0002),
];

impl Fault {
    pub(crate) fn name(self) -> &'static str {
        ALL[self as usize].1
    }
}

/// How likely each fault is for a message: a probability from 0 to 1. Drift, stuck and silence begin with it.
///
/// Written as `none`, `default`, or a list such as `malformed=0.001,late=0.02`, in which what is not named does not
/// happen. Of `malformed`, `schema` and `skew` a message has one at most, and so of `repeat`, `disorder` and
/// `late`, and of `spike`, `drift` and `stuck`.
#[derive(Debug, Clone, PartialEq)]
pub struct Faults([f64; ALL.len()]);

/// Faults of which a message has one at most.
pub(super) const CONTENT: [Fault; 3] = [Fault::Malformed, Fault::Schema, Fault::Skew];
pub(super) const DELIVERY: [Fault; 3] = [Fault::Repeat, Fault::Disorder, Fault::Late];
pub(super) const VALUES: [Fault; 3] = [Fault::Spike, Fault::Drift, Fault::Stuck];

impl Faults {
    /// A flawless fleet.
    pub fn none() -> Self {
        Self([0.0; ALL.len()])
    }

    fn of(&self, fault: Fault) -> f64 {
        self.0[fault as usize]
    }

    /// At most one of `faults`. Draws one number whatever the probabilities are.
    pub(super) fn pick(&self, faults: [Fault; 3], rng: &mut Xoshiro256PlusPlus) -> Option<Fault> {
        let mut drawn: f64 = rng.random();
        faults.into_iter().find(|fault| {
            drawn -= self.of(*fault);
            drawn < 0.0
        })
    }

    pub(super) fn happens(&self, fault: Fault, rng: &mut Xoshiro256PlusPlus) -> bool {
        rng.random::<f64>() < self.of(fault)
    }
}

/// Every fault at a rate that a field of cheap sensors shows.
impl Default for Faults {
    fn default() -> Self {
        Self(ALL.map(|(_, _, probability)| probability))
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = ALL.iter().zip(self.0).filter(|(_, probability)| *probability > 0.0);
        let list: Vec<String> =
            named.map(|((_, name, _), probability)| format!("{name}={probability}")).collect();
        f.write_str(if list.is_empty() { "none" } else { "" })?;
        f.write_str(&list.join(","))
    }
}

impl FromStr for Faults {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => return Ok(Self::none()),
            "default" => return Ok(Self::default()),
            _ => {}
        }
        let mut faults = Self::none();
        for part in text.split(',') {
            let (name, number) = part
                .split_once('=')
                .ok_or_else(|| format!("{part:?} is no fault: write none, default, or name=probability,…"))?;
            let (fault, ..) = ALL.iter().find(|(_, known, _)| *known == name).ok_or_else(|| {
                let known: Vec<&str> = ALL.iter().map(|(_, known, _)| *known).collect();
                format!("unknown fault {name:?}: use {}", known.join(", "))
            })?;
            let probability = number.parse().ok().filter(|number| (0.0..=1.0).contains(number));
            faults.0[*fault as usize] = probability
                .ok_or_else(|| format!("{name}={number} is no probability: use a number from 0 to 1"))?;
        }
        for group in [CONTENT, DELIVERY, VALUES] {
            if group.iter().map(|fault| faults.of(*fault)).sum::<f64>() > 1.0 {
                let names = group.map(Fault::name).join(", ");
                return Err(format!("a message has one of {names} at most: their sum must not be above 1"));
            }
        }
        Ok(faults)
    }
}

/// Breaks a JSON document: what comes out never parses.
pub(super) fn break_json(document: &str, rng: &mut Xoshiro256PlusPlus) -> String {
    match rng.random_range(0..3) {
        // The payloads of the fleet are ASCII, so every place is a boundary; without its last brace none is whole.
        0 => document.get(..rng.random_range(1..document.len().max(2))).unwrap_or("{").to_owned(),
        1 => document.replacen("\":", "\":NaN,", 1),
        _ => format!("{document}]"),
    }
}

/// The ways to break the shape of a message while it stays JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Breach {
    NoTime,
    NoMetrics,
    MetricsAreAList,
    MetricIsAList,
}

/// Breaks the shape of `document`, a message as the fleet writes it.
pub(super) fn break_shape(document: &str, rng: &mut Xoshiro256PlusPlus) -> String {
    let breach = [Breach::NoTime, Breach::NoMetrics, Breach::MetricsAreAList, Breach::MetricIsAList]
        [rng.random_range(0..4)];
    let (head, metrics) = document.split_once(",\"metrics\":").unwrap_or((document, "}"));
    match breach {
        Breach::NoTime => match (head.split_once(",\"ts\":"), head.split_once(",\"seq\":")) {
            (Some((device, _)), Some((_, seq))) => format!("{device},\"seq\":{seq},\"metrics\":{metrics}"),
            _ => format!("{head}}}"),
        },
        Breach::NoMetrics => format!("{head}}}"),
        Breach::MetricsAreAList => format!("{head},\"metrics\":[21.4,54.2]}}"),
        Breach::MetricIsAList => format!("{head},\"metrics\":{{\"temperature\":[21.4,21.5]}}}}"),
    }
}
