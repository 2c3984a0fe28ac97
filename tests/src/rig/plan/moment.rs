//! Moments at which a process of a round may die or fall asleep.

use std::fmt;

use millstream::failpoint::{FAIL_POINTS, Passer};
use rand::{RngExt, rngs::Xoshiro256PlusPlus as Rng};

use super::{Mode, Plan};

/// A moment at which a process dies or falls asleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::rig) struct FailPoint {
    pub(in crate::rig) name: &'static str,
    pub(in crate::rig) hit: u32,
    pub(in crate::rig) stop: bool,
}

impl fmt::Display for FailPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.name, self.hit, if self.stop { "stop" } else { "kill" })
    }
}

/// Moments at which a store worker is in the middle of a roll that somebody else takes over while it sleeps: what it
/// does once it is awake must come to nothing. The first of them are anybody's.
const NAPS: [&str; 4] = ["intent_before", "intent_after", "file_half", "settle_before"];
const NAPS_IN_DIRECTORY: [&str; 3] = ["fsync_after", "link_before", "directories_before"];
const NAPS_IN_OBJECTS: [&str; 2] = ["put_before", "put_after"];
const NAPS_WITH_TABLE: [&str; 3] = ["claim_before", "claim_after", "roll_done"];

/// Those of a roll before anything of it is there, and after it is done.
const OUT_OF_ROLL: [&str; 2] = ["intent_before", "settle_after"];

impl Plan {
    /// The moments that a process comes by.
    pub(super) fn moments(&self, stage: Option<&str>) -> Vec<&'static str> {
        let runs = |name: &str| stage.is_none_or(|stage| stage == name);
        let listens = self.mode != Mode::BehindBroker && runs("ingest");
        let stateful = runs("analyze") || runs("alert");
        let works = stateful || runs("validate") || runs("transform");
        let (on_aws, stores) = (self.mode.is_on_aws(), runs("store"));
        let comes_by = |passer| match passer {
            Passer::Writer => !on_aws || runs("ingest"),
            Passer::Listener => listens,
            Passer::ListenerQos1 => listens && self.qos == 1,
            Passer::ListenerQos2 => listens && self.qos == 2,
            Passer::Subscriber => self.mode == Mode::BehindBroker,
            Passer::Stage => works,
            Passer::Steps => works && on_aws,
            Passer::Stateful => stateful && !on_aws,
            Passer::TableStateful => stateful && on_aws,
            Passer::Store => stores,
            Passer::TableStore => stores && on_aws,
            Passer::Directory | Passer::Compactor => stores && !self.objects,
            Passer::Objects => stores && self.objects,
            Passer::Notify => runs("notify"),
            // No process of a round replays, and no file of one is large.
            Passer::Replay | Passer::LargeObjects => false,
        };
        FAIL_POINTS.iter().filter(|(_, passer)| comes_by(*passer)).map(|(name, _)| *name).collect()
    }

    /// Those at which the sleeper sleeps.
    pub(super) fn naps(&self) -> Vec<&'static str> {
        let place = if self.objects { &NAPS_IN_OBJECTS[..] } else { &NAPS_IN_DIRECTORY };
        let table = if self.mode.is_on_aws() { &NAPS_WITH_TABLE[..] } else { &[] };
        [&NAPS, place, table].concat()
    }

    /// One of a name, somewhere in the first second or so of a process.
    pub(super) fn moment(&self, name: &'static str, stops: f64, rng: &mut Rng) -> FailPoint {
        let hits = match name.split('_').next() {
            Some("puback" | "pubrec" | "pubcomp" | "subscriber") => 100,
            // Frames come less often from SQS, and more of them at once.
            Some("step" | "sqs") if self.mode.is_on_aws() => 3,
            Some("commit" | "step") => 20,
            // Once a roll, of which there is one a second.
            Some("intent" | "claim" | "roll" | "directories" | "settle" | "fence") => 1,
            _ => 2,
        };
        FailPoint { name, hit: rng.random_range(1..=hits), stop: rng.random_bool(stops) }
    }
}

impl FailPoint {
    /// Whether who dies here leaves a roll behind that somebody has to resolve.
    pub(super) fn leaves_a_roll(self) -> bool {
        let within = |(name, passer): &(&str, Passer)| {
            let of_roll = matches!(passer, Passer::Store | Passer::Directory | Passer::TableStore);
            *name == self.name && !OUT_OF_ROLL.contains(name) && (of_roll || NAPS_IN_OBJECTS.contains(name))
        };
        !self.stop && FAIL_POINTS.iter().any(within)
    }
}

/// Whether a process of some round may come by.
pub(in crate::rig) fn is_drawn(passer: Passer) -> bool {
    !matches!(passer, Passer::Replay | Passer::LargeObjects)
}
