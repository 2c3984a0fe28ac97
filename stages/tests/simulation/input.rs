//! What devices send, and what is to become of it.

use chrono::{DateTime, SecondsFormat};
use rand::RngExt;
use serde_json::json;
use stages::frame::Micros;

use crate::{
    Rng, chance,
    topology::{ALERT, LIMIT, MAX_FUTURE_SECS, VALIDATE},
};

/// 2024-01-01T23:50:00Z: a run goes on over midnight.
pub(crate) const START: Micros = 1_704_153_000_000_000;
const SECOND: Micros = 1_000_000;

/// A message as its device sends it.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    /// How long nothing came before it.
    pub(crate) pause: Micros,
    /// The first input with these bytes: itself, unless the device sends it again.
    pub(crate) content: usize,
    pub(crate) fate: Fate,
    /// The stage that fails whenever it sees it.
    pub(crate) poison: Option<usize>,
}

/// What is to become of a message, the first time it is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// So many rows of readings.
    Readings(usize),
    /// The config drops all it says.
    Filtered,
    /// A stage refuses it.
    Refused(&'static str),
    /// The strict schema refuses it, the lenient one makes so many readings of it.
    Disputed(usize),
}

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    Nothing,
    Late,
    Ahead,
    Future,
    NotJson,
    Schema,
    Disputed,
    BadValue,
    Unmapped,
    Filtered,
}

/// Makes messages of several devices.
struct Fleet<'a> {
    rng: &'a mut Rng,
    now: Micros,
    /// Goes into every message, so that none equals another.
    count: u64,
    /// The temperature of each plant device: it wanders, and crosses the thresholds.
    temperatures: [f64; 3],
    /// How far the devices without a clock have counted; none where what they send again may overtake what they sent.
    counters: Option<[u64; 2]>,
}

/// So many messages; `poison` percent of them make some stage fail. In order, some of devices without a clock.
pub(crate) fn draw(rng: &mut Rng, messages: usize, poison: u32, in_order: bool) -> Vec<Input> {
    let counters = in_order.then_some([0; 2]);
    let mut fleet = Fleet { rng, now: START, count: 0, temperatures: [60.0, 75.0, 25.0], counters };
    let mut inputs: Vec<Input> = Vec::with_capacity(messages);
    while inputs.len() < messages {
        let pause = fleet.pause();
        fleet.now += pause;
        if !inputs.is_empty() && chance(fleet.rng, 10) {
            // Of the last few, as after a lost PUBACK.
            let back = fleet.rng.random_range(0..inputs.len().min(12));
            let again = inputs[inputs.len() - 1 - back].clone();
            inputs.push(Input { pause, ..again });
            continue;
        }
        let (topic, payload, fate) = fleet.message();
        let poison = chance(fleet.rng, poison).then(|| fleet.rng.random_range(VALIDATE..=ALERT));
        inputs.push(Input { topic, payload, pause, content: inputs.len(), fate, poison });
    }
    inputs
}

impl Fleet<'_> {
    fn pause(&mut self) -> Micros {
        match self.rng.random_range(0..40) {
            0 => self.rng.random_range(60..400) * SECOND,
            1..5 => self.rng.random_range(5..30) * SECOND,
            _ => self.rng.random_range(0..2 * SECOND),
        }
    }

    fn flaw(&mut self) -> Flaw {
        match self.rng.random_range(0..100) {
            0..8 => Flaw::Late,
            8..10 => Flaw::Ahead,
            10..12 => Flaw::Future,
            12..15 => Flaw::NotJson,
            15..18 => Flaw::Schema,
            18..24 => Flaw::Disputed,
            24..26 => Flaw::BadValue,
            26..28 => Flaw::Unmapped,
            28..30 => Flaw::Filtered,
            _ => Flaw::Nothing,
        }
    }

    /// When it was measured, in whole milliseconds.
    fn time(&mut self, flaw: Flaw) -> Micros {
        let behind = match flaw {
            Flaw::Late => self.rng.random_range(15..200) * SECOND,
            Flaw::Ahead => -self.rng.random_range(1..MAX_FUTURE_SECS as i64) * SECOND,
            // The clock of ingest may be ahead of this one by what crashes took.
            Flaw::Future => -(MAX_FUTURE_SECS as i64 + 100_000) * SECOND,
            _ => self.rng.random_range(0..3 * SECOND),
        };
        (self.now - behind) / 1000 * 1000
    }

    fn message(&mut self) -> (String, Vec<u8>, Fate) {
        self.count += 1;
        let flaw = self.flaw();
        let (topic, payload, fate) = match self.rng.random_range(0..12) {
            10.. if self.counters.is_some() && flaw != Flaw::Future => self.counter(),
            0..6 => self.plant(flaw),
            6..8 => self.batch(flaw),
            8 => self.gateway(flaw),
            _ => self.senml(flaw),
        };
        match flaw {
            Flaw::NotJson => (topic, payload[..payload.len() / 2].into(), Fate::Refused("validate")),
            Flaw::Unmapped => ("elsewhere/a/b/c".to_owned(), payload, Fate::Refused("validate")),
            Flaw::Future => (topic, payload, Fate::Refused("transform")),
            _ => (topic, payload, fate),
        }
    }

    fn plant(&mut self, flaw: Flaw) -> (String, Vec<u8>, Fate) {
        let device = self.rng.random_range(0..3);
        let ts = DateTime::from_timestamp_micros(self.time(flaw)).unwrap();
        let ts = ts.to_rfc3339_opts(SecondsFormat::Micros, true);
        self.temperatures[device] =
            (self.temperatures[device] + self.rng.random_range(-14.0..14.0)).clamp(5.0, 100.0);
        let temperature = match flaw {
            Flaw::Disputed => LIMIT + self.count as f64,
            _ => self.temperatures[device],
        };
        let level = self.level();
        let (metrics, fate) = match flaw {
            Flaw::Schema => (json!({ "temperature": [1] }), Fate::Refused("validate")),
            Flaw::BadValue => (json!({ "temperature": { "deep": 1 } }), Fate::Refused("transform")),
            Flaw::Filtered => (json!({ "debug": 1 }), Fate::Filtered),
            Flaw::Disputed => (json!({ "temperature": temperature }), Fate::Disputed(1)),
            _ if chance(self.rng, 50) => (json!({ "temperature": temperature }), Fate::Readings(1)),
            _ => {
                let status = ["ok", "low battery"][self.rng.random_range(0..2)];
                let metrics =
                    json!({ "temperature": temperature, "level": level, "status": status, "debug": 0 });
                (metrics, Fate::Readings(3))
            }
        };
        let site = ["north", "south", "north"][device];
        let payload = json!({ "ts": ts, "seq": self.count, "metrics": metrics });
        (format!("plant/{site}/meter-{device}"), payload.to_string().into(), fate)
    }

    /// Several samples, the newest first now and then.
    fn batch(&mut self, flaw: Flaw) -> (String, Vec<u8>, Fate) {
        let (device, newest) = (self.rng.random_range(0..2), self.time(flaw) / 1000);
        let count = self.rng.random_range(1..5_i64);
        let step = self.rng.random_range(1..8_000);
        let mut samples = Vec::new();
        for place in 0..count {
            let t = newest - (count - 1 - place) * step;
            let n = self.count * 10 + place as u64;
            samples.push(json!({ "t": t, "n": n, "level": self.level(), "open": chance(self.rng, 50) }));
        }
        if chance(self.rng, 30) {
            samples.reverse();
        }
        let payload = json!({ "samples": samples }).to_string();
        (format!("batch/logger-{device}"), payload.into(), Fate::Readings(2 * count as usize))
    }

    fn gateway(&mut self, flaw: Flaw) -> (String, Vec<u8>, Fate) {
        let unit = format!("unit-{}", self.rng.random_range(0..3));
        let payload =
            json!({ "unit": unit, "t": self.time(flaw) / 1000, "values": { "temperature": self.level() } });
        ("gateway/g".to_owned(), payload.to_string().into(), Fate::Readings(1))
    }

    /// Two devices in one message.
    fn senml(&mut self, flaw: Flaw) -> (String, Vec<u8>, Fate) {
        let time = self.time(flaw) as f64 / 1e6;
        let payload = json!([
            { "bn": "left:", "bt": time, "n": "level", "v": self.level(), "u": "%" },
            { "bn": "right:", "n": "level", "v": self.level() },
        ]);
        ("senml/box".to_owned(), payload.to_string().into(), Fate::Readings(2))
    }

    /// Often the same values: only the count tells one message from another.
    fn counter(&mut self) -> (String, Vec<u8>, Fate) {
        let device = self.rng.random_range(0..2);
        let counter = &mut self.counters.as_mut().unwrap()[device];
        *counter += self.rng.random_range(1..3);
        let n = *counter;
        let values = json!({ "open": chance(self.rng, 50), "starts": self.rng.random_range(0..2) });
        let payload = json!({ "n": n, "values": values }).to_string();
        (format!("counter/counter-{device}"), payload.into(), Fate::Readings(2))
    }

    /// A number that no other message has.
    fn level(&mut self) -> f64 {
        let usual = self.rng.random_range(200..240_i32);
        let level = if chance(self.rng, 5) { usual * 5 } else { usual };
        f64::from(level) / 4.0 + self.count as f64 / 1e6
    }
}
