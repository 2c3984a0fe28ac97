//! One device: its sensors, its clock, and what goes wrong with it.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{
    Fault, Faults, FleetOptions,
    faults::{self, CONTENT, DELIVERY, VALUES},
    metrics::{METRICS, UNUSUAL, Weather, rounded},
};
use crate::{
    load::Publish,
    message::{self, Batch, Message, Sample, Value},
};

/// Messages that a drift or a stuck value lasts.
const EPISODE_MESSAGES: u32 = 50;
/// A message is held back, and a device silent, for this many of its samples at most.
const HELD_SAMPLES_MAX: f64 = 1000.0;
const BEHIND: TimeDelta = TimeDelta::hours(2);
const AHEAD: TimeDelta = TimeDelta::days(3);

/// A value that is wrong for a while.
#[derive(Debug, Clone)]
struct Episode {
    fault: Fault,
    metric: usize,
    /// The value at its start.
    value: f64,
    left: u32,
}

#[derive(Debug)]
struct Held {
    /// Goes out after the message with this sequence number.
    after: u64,
    publish: Publish,
}

#[derive(Debug)]
pub(super) struct Device {
    id: String,
    topic: Arc<str>,
    /// Event time from a message to the next.
    period: Duration,
    /// In each message.
    samples: u16,
    rng: Xoshiro256PlusPlus,
    weather: Weather,
    seq: u64,
    silent_samples: u32,
    after_silence: bool,
    episode: Option<Episode>,
    held: Vec<Held>,
}

impl Device {
    pub(super) fn new(number: u32, options: &FleetOptions, period: Duration) -> Self {
        let id = format!("dev-{number:06}");
        let mut rng =
            Xoshiro256PlusPlus::seed_from_u64(xxh3_64_with_seed(&number.to_le_bytes(), options.seed));
        Self {
            topic: message::topic(&id).into(),
            id,
            period,
            samples: options.samples.max(1),
            weather: Weather::new(secs(options.start), &mut rng),
            rng,
            seq: 0,
            silent_samples: 0,
            after_silence: false,
            episode: None,
            held: Vec::new(),
        }
    }

    /// Measures at `ts` and sends what is to go out now. False if the device is silent.
    pub(super) fn sample(
        &mut self,
        ts: DateTime<Utc>,
        faults: &Faults,
        mut send: impl FnMut(Publish),
    ) -> bool {
        if self.is_silent(faults) {
            return false;
        }
        self.seq += 1;
        let mut labels = Vec::new();
        if std::mem::take(&mut self.after_silence) {
            labels.push(Fault::Silence.name().to_owned());
        }
        let samples = self.measure_all(ts, faults, &mut labels);
        let payload = self.write(&samples, faults, &mut labels);
        let delivery = faults.pick(DELIVERY, &mut self.rng);
        labels.extend(delivery.map(|fault| fault.name().to_owned()));
        let publish = Publish { topic: Arc::clone(&self.topic), payload, faults: labels };
        match delivery {
            Some(Fault::Repeat) => {
                let after = self.seq + self.rng.random_range(0..=8);
                self.held.push(Held { after, publish: publish.clone() });
                // The label is on the copy: the first is a message like any other.
                let mut first = publish;
                first.faults.pop();
                send(first);
            }
            Some(Fault::Disorder) => self.held.push(Held { after: self.seq + 1, publish }),
            Some(_) => {
                let after = self.seq + u64::from(self.samples(2.0, 10.0));
                self.held.push(Held { after, publish });
            }
            None => send(publish),
        }
        self.held.extract_if(.., |held| held.after <= self.seq).for_each(|held| send(held.publish));
        true
    }

    /// Everything that is still held back.
    pub(super) fn release_all(&mut self) -> impl Iterator<Item = Publish> {
        self.held.drain(..).map(|held| held.publish)
    }

    fn is_silent(&mut self, faults: &Faults) -> bool {
        if self.silent_samples == 0 && faults.happens(Fault::Silence, &mut self.rng) {
            self.silent_samples = self.samples(5.0, 30.0);
            self.after_silence = true;
        }
        let silent = self.silent_samples > 0;
        self.silent_samples = self.silent_samples.saturating_sub(1);
        silent
    }

    /// How many of its samples the device takes in `from` to `to` seconds of event time.
    fn samples(&mut self, from: f64, to: f64) -> u32 {
        let seconds: f64 = self.rng.random_range(from..to);
        (seconds / self.period.as_secs_f64()).ceil().clamp(1.0, HELD_SAMPLES_MAX) as u32
    }

    /// The samples of a message at `ts`, which is when the last one of them is taken.
    fn measure_all(
        &mut self,
        ts: DateTime<Utc>,
        faults: &Faults,
        labels: &mut Vec<String>,
    ) -> Vec<(DateTime<Utc>, [f64; 4])> {
        let step = self.period / u32::from(self.samples);
        let before = (0..u32::from(self.samples)).rev();
        before
            .map(|steps| {
                let ts = (ts - step * steps).trunc_subsecs(6);
                (ts, self.measure(ts, faults, labels))
            })
            .collect()
    }

    fn measure(&mut self, ts: DateTime<Utc>, faults: &Faults, labels: &mut Vec<String>) -> [f64; 4] {
        let mut values = self.weather.sample(secs(ts), &mut self.rng);
        let picked = faults.pick(VALUES, &mut self.rng);
        if self.episode.is_none()
            && let Some(fault) = picked
        {
            let metric = self.rng.random_range(0..METRICS.len());
            let left = if fault == Fault::Spike { 1 } else { EPISODE_MESSAGES };
            self.episode = Some(Episode { fault, metric, value: values[metric], left });
        }
        if let Some(episode) = &mut self.episode {
            let Episode { fault, metric, value, left } = episode;
            let progress = f64::from(EPISODE_MESSAGES - *left + 1) / f64::from(EPISODE_MESSAGES);
            match fault {
                Fault::Stuck => values[*metric] = *value,
                Fault::Drift => values[*metric] += UNUSUAL[*metric] * progress,
                _ => values[*metric] += UNUSUAL[*metric],
            }
            let label = format!("{}:{}", fault.name(), METRICS[*metric]);
            if !labels.contains(&label) {
                labels.push(label);
            }
            *left -= 1;
            if *left == 0 {
                self.episode = None;
            }
        }
        rounded(values)
    }

    fn write(
        &mut self,
        samples: &[(DateTime<Utc>, [f64; 4])],
        faults: &Faults,
        labels: &mut Vec<String>,
    ) -> String {
        let fault = faults.pick(CONTENT, &mut self.rng);
        labels.extend(fault.map(|fault| fault.name().to_owned()));
        let skew = match fault {
            Some(Fault::Skew) if self.rng.random() => -BEHIND,
            Some(Fault::Skew) => AHEAD,
            _ => TimeDelta::zero(),
        };
        let metrics: Vec<[_; 4]> = samples
            .iter()
            .map(|(_, values)| std::array::from_fn(|metric| (METRICS[metric], Value::Number(values[metric]))))
            .collect();
        let samples: Vec<Sample<'_>> = samples
            .iter()
            .zip(&metrics)
            .map(|((ts, _), metrics)| Sample { ts: *ts + skew, metrics })
            .collect();
        match fault {
            Some(Fault::Malformed) => faults::break_json(&self.payload(&samples), &mut self.rng),
            // Of the shape for one sample: broken, it is of neither.
            Some(Fault::Schema) => faults::break_shape(&self.payload(&samples[..1]), &mut self.rng),
            _ => self.payload(&samples),
        }
    }

    fn payload(&self, samples: &[Sample<'_>]) -> String {
        let (device, seq) = (self.id.as_str(), self.seq);
        match *samples {
            [Sample { ts, metrics }] => Message { device, ts, seq, metrics }.to_json(),
            _ => Batch { device, seq, samples }.to_json(),
        }
    }
}

fn secs(ts: DateTime<Utc>) -> f64 {
    ts.timestamp_micros() as f64 / 1e6
}
