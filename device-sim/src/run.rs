//! `run`: a seeded fleet publishes at a rate, or as fast as it goes.

use std::{
    future::{Future, pending},
    path::PathBuf,
    time::Duration,
};

use chrono::{DateTime, Utc};

use crate::{
    SimError,
    client::{Address, Mqtt, Qos, Target},
    fleet::{Faults, FleetOptions, Planned, Share},
    load::{Load, Next, Source},
    report::RunReport,
};

/// Event time between messages at rate 0: about what the fastest machine needs, so that the devices' clocks stay with
/// or behind the world's.
const SPACING_UNPACED: Duration = Duration::from_micros(1);
/// How finely a lake tells instants apart.
const RESOLUTION: Duration = Duration::from_micros(1);
/// How far behind its rate a run may be when its seconds are over and still send what is due.
const CATCH_UP: Duration = Duration::from_secs(1);

/// What to publish, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct RunOptions {
    /// The broker and how to speak to it. Connections beyond one for each device are left out.
    pub target: Target,
    /// Devices, at least 1. Their identifiers are `dev-000000` and so on.
    pub devices: u32,
    /// Samples in each message, at least 1. With one a message has a shape of its own: see [`crate::message`].
    pub samples: u16,
    /// Messages per second over the whole fleet; 0 is as fast as it goes.
    pub rate: f64,
    /// How long to publish. With `messages` as well, whichever comes first.
    pub seconds: Option<f64>,
    /// How many messages to publish. Deliberate repetitions come on top.
    pub messages: Option<u64>,
    /// Where all random numbers come from: the same seed and `start` give the same messages.
    pub seed: u64,
    /// The devices' clocks at the first message.
    pub start: DateTime<Utc>,
    /// What goes wrong.
    pub faults: Faults,
    /// Where to write down what was sent and acknowledged. Appended to.
    pub ledger: Option<PathBuf>,
    /// How long to wait for acknowledgements after `seconds`. Without `seconds` the wait has no end.
    pub drain_secs: u64,
}

impl RunOptions {
    /// The defaults of the command line, for a fleet whose clocks begin at `start`.
    pub fn new(broker: Address, start: DateTime<Utc>) -> Self {
        let seed = 1;
        Self {
            target: Target {
                broker,
                mqtt: Mqtt::V5,
                qos: Qos::AtLeastOnce,
                connections: 4,
                inflight: 100,
                client_prefix: client_prefix(seed),
            },
            devices: 100,
            samples: 1,
            rate: 1000.0,
            seconds: Some(10.0),
            messages: None,
            seed,
            start,
            faults: Faults::none(),
            ledger: None,
            drain_secs: 30,
        }
    }

    fn check(&self) -> Result<Timing, SimError> {
        let usage = |reason: String| Err(SimError::Usage(reason));
        let Self { devices, samples, .. } = *self;
        if devices == 0 || samples == 0 || self.target.connections == 0 || self.target.inflight == 0 {
            return usage("devices, samples, connections and inflight must be 1 or more".into());
        }
        if self.rate != 0.0 && !(1e-3..=1e9).contains(&self.rate) {
            let rate = self.rate;
            return usage(format!("rate {rate} is out of range: use 0 (as fast as it goes) or 0.001 to 1e9"));
        }
        let seconds = match self.seconds.map(|secs| (secs, Duration::try_from_secs_f64(secs))) {
            None => None,
            Some((secs, Ok(duration))) if secs > 0.0 && secs <= 1e9 => Some(duration),
            Some((secs, _)) => return usage(format!("seconds {secs} is out of range: use a number above 0")),
        };
        if seconds.is_none() && self.messages.is_none() {
            return usage("the run has no end: give seconds or messages".into());
        }
        let paced = self.rate > 0.0;
        let spacing = if paced {
            Duration::from_secs_f64(1.0 / self.rate)
        } else {
            SPACING_UNPACED * u32::from(samples)
        };
        // Times are whole microseconds, and two samples of a device must not have the same.
        if samples > 1 && spacing * devices < RESOLUTION * u32::from(samples) {
            return usage(format!(
                "{devices} devices cannot take {samples} samples for each message at this rate: use fewer, or a lower rate"
            ));
        }
        Ok(Timing { paced, spacing, seconds })
    }
}

/// How the clients of a fleet are called: `sim-<seed>`, and the connection's number after it.
pub fn client_prefix(seed: u64) -> String {
    format!("sim-{seed}")
}

struct Timing {
    paced: bool,
    spacing: Duration,
    seconds: Option<Duration>,
}

/// Runs a fleet to its end.
///
/// `progress` draws a bar where stderr is a terminal. Lost connections are told on stderr in any case.
///
/// # Errors
/// [`SimError::Usage`] for options out of range, [`SimError::Broker`] if the broker will never serve us, and
/// [`SimError::File`] if the ledger cannot be written. A broker that cannot be reached is no error: it is tried again
/// until `seconds` and `drain_secs` are over.
pub async fn run(options: RunOptions, progress: bool) -> Result<RunReport, SimError> {
    run_until(options, progress, pending()).await
}

/// Like [`run`], but ends when `stop` does, without waiting for what is in flight.
///
/// # Errors
/// As [`run`].
pub async fn run_until(
    options: RunOptions,
    progress: bool,
    stop: impl Future<Output = ()>,
) -> Result<RunReport, SimError> {
    let timing = options.check()?;
    let fleet = FleetOptions {
        devices: options.devices,
        samples: options.samples,
        spacing: timing.spacing,
        start: options.start,
        seed: options.seed,
        faults: options.faults,
    };
    let until = timing.seconds.filter(|_| timing.paced).unwrap_or(Duration::MAX);
    let parts = u32::from(options.target.connections).min(options.devices);
    let total = options.messages.unwrap_or(u64::MAX);
    let sources = (0..parts).map(|part| Paced {
        share: Share::new(fleet.clone(), part, parts, share_of(total, part, parts), until),
        waiting: None,
        paced: timing.paced,
        cutoff: timing.seconds.map(|secs| if timing.paced { secs + CATCH_UP } else { secs }),
    });
    let expected =
        timing.seconds.filter(|_| timing.paced).map(|secs| (secs.as_secs_f64() * options.rate) as u64);
    let load = Load {
        target: options.target,
        sources: sources.collect(),
        ledger: options.ledger,
        limit: timing.seconds.map(|secs| secs + Duration::from_secs(options.drain_secs)),
        progress: progress.then_some(options.messages.into_iter().chain(expected).min()),
    };
    load.run(stop).await
}

/// `total` split evenly, the first parts taking what is over.
fn share_of(total: u64, part: u32, parts: u32) -> u64 {
    let (part, parts) = (u64::from(part), u64::from(parts));
    total / parts + u64::from(part < total % parts)
}

/// A share of the fleet that waits for each message's time.
struct Paced {
    share: Share,
    waiting: Option<Planned>,
    paced: bool,
    /// When nothing new is measured any more.
    cutoff: Option<Duration>,
}

impl Source for Paced {
    fn next(&mut self, elapsed: Duration) -> Result<Next, SimError> {
        if self.cutoff.is_some_and(|cutoff| elapsed >= cutoff) {
            self.share.end();
        }
        Ok(match self.waiting.take().or_else(|| self.share.next()) {
            None => Next::End,
            Some(planned) if self.paced && planned.at > elapsed => {
                let due = planned.at;
                self.waiting = Some(planned);
                Next::Wait(due)
            }
            Some(planned) => Next::Publish(planned.publish),
        })
    }
}

#[cfg(test)]
mod tests;
