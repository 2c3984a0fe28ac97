//! Yardstick 3 on one core and two, by lanes, and by the number of messages. A table and a JSON line of its own.

use std::{process::Command, thread::available_parallelism};

use serde_json::{Value, json};

use super::{
    machine,
    options::{Arguments, Plan},
    send::Load,
    through::{self, Through},
};
use crate::Site;

const LANES: [u16; 4] = [1, 2, 4, 8];
/// Millions of messages.
const LENGTHS: [u64; 3] = [1, 5, 20];

/// All of it.
pub(super) fn run(arguments: &Arguments) {
    let mut plan = Plan::of(arguments);
    plan.calibrate();
    let all = available_parallelism().map_or(1, usize::from);
    let mut lines = Vec::new();
    for cores in [1, 2].into_iter().filter(|cores| *cores <= all) {
        for lanes in LANES {
            let mut rounds: Vec<_> = plan
                .rounds(&format!("{cores} cores, {lanes} lanes"))
                .map(|_| on(&plan, plan.messages, cores, lanes))
                .collect();
            lines.push(Line::median(&mut rounds, plan.messages, cores, lanes));
        }
    }
    for millions in LENGTHS {
        let messages = millions * plan.messages_of_a_million();
        eprintln!("bench: {messages} messages");
        let mut rounds = vec![on(&plan, messages, all, 4)];
        lines.push(Line::median(&mut rounds, messages, all, 4));
    }
    if !arguments.json {
        println!(
            "{:>8}{:>8}{:>12}{:>14}{:>20}",
            "cores", "lanes", "messages", "messages/s", "CPU µs a message"
        );
        lines.iter().for_each(Line::print);
    }
    let lines: Vec<_> = lines.iter().map(Line::json).collect();
    println!("{}", json!({ "scaling": lines, "run": plan.json(), "machine": machine::json() }));
}

/// Messages through a listener, with simulator and pipeline on the same first `cores`.
fn on(plan: &Plan, messages: u64, cores: usize, lanes: u16) -> Through {
    let site = Site::new(&format!("shutdown_secs: 3600\nlanes: {lanes}\n"));
    through::run(plan, Load::of(messages), &site, |command| pinned(&command, cores))
}

/// The same program, on the first `cores` alone; it has the process of `taskset`, which waits for nobody.
fn pinned(command: &Command, cores: usize) -> Command {
    let mut pinned = Command::new("taskset");
    pinned.arg("-c").arg(format!("0-{}", cores - 1));
    pinned.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => pinned.env(name, value),
            None => pinned.env_remove(name),
        };
    }
    pinned
}

struct Line {
    cores: usize,
    lanes: u16,
    messages: u64,
    messages_per_sec: f64,
    cpu_micros: f64,
}

impl Line {
    /// The round in the middle, by messages/s.
    fn median(rounds: &mut [Through], messages: u64, cores: usize, lanes: u16) -> Self {
        rounds.sort_unstable_by(|one, other| one.messages_per_sec().total_cmp(&other.messages_per_sec()));
        let middle = &rounds[rounds.len() / 2];
        let (messages_per_sec, cpu_micros) = (middle.messages_per_sec(), middle.cpu_micros());
        Self { cores, lanes, messages, messages_per_sec, cpu_micros }
    }

    fn print(&self) {
        let Self { cores, lanes, messages, messages_per_sec, cpu_micros } = self;
        println!("{cores:>8}{lanes:>8}{messages:>12}{messages_per_sec:>14.0}{cpu_micros:>20.2}");
    }

    fn json(&self) -> Value {
        let Self { cores, lanes, messages, messages_per_sec, cpu_micros } = self;
        json!({
            "cores": cores,
            "lanes": lanes,
            "messages": messages,
            "msgs_per_sec": messages_per_sec.round(),
            "cpu_us_per_message": (cpu_micros * 100.0).round() / 100.0,
        })
    }
}
