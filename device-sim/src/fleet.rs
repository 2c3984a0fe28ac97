//! A fleet of devices that sends the same messages whenever it starts from the same seed.
//!
//! Device `i` has its own random numbers, made from the seed and `i`: its messages do not depend on how many
//! connections there are, nor on how fast they go out.

mod device;
mod faults;
mod metrics;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use chrono::{DateTime, SubsecRound, Utc};

use crate::load::Publish;
use device::Device;
pub(crate) use faults::Fault;
pub use faults::Faults;

/// What a fleet is made from.
#[derive(Debug, Clone, PartialEq)]
pub struct FleetOptions {
    /// Devices, at least 1.
    pub devices: u32,
    /// Samples in each message, at least 1: taken evenly over the time since the message before.
    pub samples: u16,
    /// Event time between a message and the next, over the whole fleet.
    pub spacing: Duration,
    /// The devices' clocks at the first message.
    pub start: DateTime<Utc>,
    /// Where all random numbers come from.
    pub seed: u64,
    /// What goes wrong.
    pub faults: Faults,
}

/// A message and when it is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Planned {
    /// After the start, in event time.
    pub(crate) at: Duration,
    pub(crate) publish: Publish,
}

/// The topics and payloads of the first `messages` messages of a fleet, in the order in which one connection sends them.
pub fn messages(options: FleetOptions, messages: u64) -> impl Iterator<Item = (Arc<str>, String)> {
    let share = Share::new(options, 0, 1, messages, Duration::MAX);
    share.map(|Planned { publish, .. }| (publish.topic, publish.payload))
}

/// One connection's share of a fleet: every `parts`-th device. An endless iterator unless it is told to end.
pub(crate) struct Share {
    options: FleetOptions,
    devices: Vec<Device>,
    /// The devices' numbers are `part`, `part + parts`, …
    part: u32,
    parts: u32,
    round: u64,
    cursor: usize,
    planned: VecDeque<Planned>,
    /// Messages still to make, without repetitions.
    left: u64,
    until: Duration,
    ended: bool,
}

impl Share {
    /// Share `part` of `parts`, which makes `messages` messages (repetitions come on top) until event time `until`.
    pub(crate) fn new(options: FleetOptions, part: u32, parts: u32, messages: u64, until: Duration) -> Self {
        let period = options.spacing * options.devices;
        let devices = (part..options.devices)
            .step_by(parts.max(1) as usize)
            .map(|number| Device::new(number, &options, period))
            .collect();
        Self {
            options,
            devices,
            part,
            parts,
            round: 0,
            cursor: 0,
            planned: VecDeque::new(),
            left: messages,
            until,
            ended: false,
        }
    }

    /// No more samples: what the devices hold back comes out, then nothing.
    pub(crate) fn end(&mut self) {
        if !self.ended {
            self.ended = true;
            let at = self.at();
            for device in &mut self.devices {
                self.planned.extend(device.release_all().map(|publish| Planned { at, publish }));
            }
        }
    }

    /// Event time of the next sample.
    fn at(&self) -> Duration {
        let device = u64::from(self.part) + self.cursor as u64 * u64::from(self.parts);
        let slot = self.round * u64::from(self.options.devices) + device;
        let nanos = self.options.spacing.as_nanos() * u128::from(slot);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl Iterator for Share {
    type Item = Planned;

    fn next(&mut self) -> Option<Planned> {
        loop {
            if let Some(planned) = self.planned.pop_front() {
                return Some(planned);
            }
            if self.ended {
                return None;
            }
            let at = self.at();
            if self.left == 0 || at >= self.until || self.devices.is_empty() {
                self.end();
                continue;
            }
            let faults = &self.options.faults;
            if let Some(device) = self.devices.get_mut(self.cursor) {
                // As fine as a lake keeps it.
                let ts = (self.options.start + at).trunc_subsecs(6);
                if device.sample(ts, faults, |publish| self.planned.push_back(Planned { at, publish })) {
                    self.left -= 1;
                }
            }
            self.cursor += 1;
            if self.cursor == self.devices.len() {
                self.cursor = 0;
                self.round += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests;
