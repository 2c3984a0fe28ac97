//! What became of each message, beside what whoever made it up meant. No stage is asked.

use std::collections::BTreeMap;

use stages::frame::{Frame, Kind, Quarantine, Readings};

use crate::{
    ingest::Taken,
    input::Fate,
    topology::{ALERT, ANALYZE, Memory, TRANSFORM, VALIDATE},
    world::{Engine, World},
};

/// How a message ends, as far as it does not hang on those before it.
enum End {
    /// As a dead letter of a stage.
    Dead(usize),
    Refused(&'static str),
    Filtered,
    /// As readings, unless it is a repeat.
    Read,
}

/// What was found of messages, by their numbers.
#[derive(Default)]
struct Found {
    read: BTreeMap<u64, usize>,
    refused: BTreeMap<u64, Vec<String>>,
    dead: BTreeMap<(u64, usize), usize>,
}

/// Each message is in the lake, in a dead letter, or a repeat; and nothing else is there.
pub(crate) fn check(world: &World<'_>, lake: &[Frame]) {
    let mut found = Found::of(world, lake);
    let inputs = &world.scenario.inputs;
    let mut copies: BTreeMap<usize, Vec<&Taken>> = BTreeMap::new();
    for taken in world.taken.values() {
        copies.entry(inputs[taken.input].content).or_default().push(taken);
    }
    let sent = inputs.iter().enumerate().filter(|(place, input)| *place == input.content).count();
    assert_eq!(copies.len(), sent, "what devices had to say, and what was taken of it");
    for copies in copies.values() {
        let input = &inputs[copies[0].input];
        let mut rows = Vec::new();
        for taken in copies {
            match end(world, taken) {
                End::Dead(stage) => found.take_dead(world, taken.message, stage),
                End::Refused(by) => found.take_refused(world, taken.message, by),
                End::Filtered => {}
                End::Read => rows.push((taken.message, found.take_rows(taken.message))),
            }
        }
        if let Fate::Readings(expected) | Fate::Disputed(expected) = input.fate {
            check_rows(world, input.poison, expected, &rows);
        }
    }
    assert!(found.read.is_empty(), "readings of messages that have none: {:?}", found.read);
    assert!(found.refused.is_empty(), "messages that are refused for nothing: {:?}", found.refused);
    assert!(found.dead.is_empty(), "messages that are dead letters for nothing: {:?}", found.dead);
}

fn end(world: &World<'_>, taken: &Taken) -> End {
    let input = &world.scenario.inputs[taken.input];
    let lenient = world.lenient_from.is_some_and(|from| taken.message >= from);
    let refused = match input.fate {
        Fate::Refused(by) => Some(by),
        Fate::Disputed(_) if !lenient => Some("validate"),
        _ => None,
    };
    match (input.poison, refused) {
        (Some(VALIDATE), _) => End::Dead(VALIDATE),
        (_, Some("validate")) => End::Refused("validate"),
        (Some(TRANSFORM), _) => End::Dead(TRANSFORM),
        (_, Some(by)) => End::Refused(by),
        _ if input.fate == Fate::Filtered => End::Filtered,
        _ => End::Read,
    }
}

impl Found {
    fn of(world: &World<'_>, lake: &[Frame]) -> Self {
        let mut found = Self::default();
        for frame in lake {
            if frame.header.kind == Kind::Readings {
                let rows = Readings::of(frame).unwrap();
                (0..rows.len()).for_each(|row| *found.read.entry(rows.message(row)).or_default() += 1);
            }
            if frame.header.kind == Kind::Quarantine {
                let rows = Quarantine::of(frame).unwrap();
                for row in 0..rows.len() {
                    found.refused.entry(rows.message(row)).or_default().push(rows.stage(row).to_owned());
                }
            }
        }
        for (stage, message) in &world.dead {
            *found.dead.entry((*message, *stage)).or_default() += 1;
        }
        found
    }

    fn take_dead(&mut self, world: &World<'_>, message: u64, stage: usize) {
        let letters = self.dead.remove(&(message, stage)).unwrap_or_default();
        // Where a frame may be in a queue twice, so may its dead letters.
        let once = letters == 1 || (letters > 1 && world.scenario.engine != Engine::OneTransaction);
        assert!(once, "{letters} dead letters for the message {message} that stage {stage} fails at");
    }

    fn take_refused(&mut self, world: &World<'_>, message: u64, by: &str) {
        let mut stages = self.refused.remove(&message).unwrap_or_default();
        if world.scenario.may_repeat() {
            stages.dedup();
        }
        assert_eq!(stages, [by], "who refused the message {message}");
    }

    /// How many rows there are of a message, those included that analyze or alert failed at.
    fn take_rows(&mut self, message: u64) -> usize {
        let dead = [ANALYZE, ALERT].map(|stage| self.dead.remove(&(message, stage)).unwrap_or_default());
        self.read.remove(&message).unwrap_or_default() + dead.iter().sum::<usize>()
    }
}

/// `found` is how many rows there are of each copy of one message, in the order of receipt.
fn check_rows(world: &World<'_>, poison: Option<usize>, expected: usize, found: &[(u64, usize)]) {
    let total: usize = found.iter().map(|(_, rows)| rows).sum();
    let fits = if found.is_empty() {
        true
    } else if world.scenario.may_repeat() {
        // Which rows they are is looked at elsewhere.
        total >= expected
    } else if poison == Some(ANALYZE) {
        // What fails before it is remembered is no repeat the next time.
        found.iter().all(|(_, rows)| *rows == expected)
    } else if world.scenario.memory == Memory::Short {
        total >= expected && found.iter().all(|(_, rows)| *rows <= expected)
    } else if world.scenario.overtakes {
        total == expected
    } else {
        total == expected && found[0].1 == expected
    };
    assert!(fits, "rows of each copy of a message that leads to {expected}: {found:?}");
}
