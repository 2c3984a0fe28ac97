//! The yardsticks of `docs/performance.md`, each in a file of its own, all measured in one run.
//!
//! A figure is a median over rounds. The rounds of all that is compared are interleaved, so that a machine that has
//! other things to do hits all alike, and ratios are made within a round. Rows are counted in every round: a run that
//! lost one, or has one too many, fails.

#![allow(clippy::print_stdout, reason = "its figures are its output")]

mod backlog;
mod figures;
mod floor;
mod goals;
mod latency;
mod library;
mod machine;
mod measure;
mod options;
mod ready;
mod scaling;
mod send;
mod table;
mod through;

use std::process::ExitCode;

use clap::Parser;
use serde_json::json;

use self::{
    figures::Figures,
    options::{Arguments, Command, Only, Plan},
    through::Way,
};

/// What `bench` does with its command line.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command {
        Some(Command::Count { broker, messages, inflight }) => floor::count(broker, messages, inflight),
        None if arguments.scaling => scaling::run(&arguments),
        None => run(&arguments),
    }
    ExitCode::SUCCESS
}

/// All yardsticks, or those that were asked for.
fn run(arguments: &Arguments) {
    let mut plan = Plan::of(arguments);
    let mut figures = Figures::default();
    if arguments.wants(Only::Throughput) || arguments.wants(Only::Latency) {
        plan.calibrate();
    }
    if arguments.wants(Only::Throughput) {
        throughput(&plan, &mut figures);
    }
    if arguments.wants(Only::Latency) {
        let half = figures.median("listener_msgs_per_sec").unwrap_or(plan.calibrated) / 2.0;
        for round in plan.rounds("latency") {
            latency::round(&plan, latency::Pace { rate: latency::RATE, suffix: "" }, round, &mut figures);
            let pace = latency::Pace { rate: half, suffix: "_at_half_max" };
            latency::round(&plan, pace, round, &mut figures);
        }
    }
    if arguments.wants(Only::Backlog) {
        for _ in plan.rounds("backlog") {
            backlog::round(&plan, &mut figures);
        }
    }
    if arguments.wants(Only::Ready) {
        for _ in plan.rounds("ready and idle") {
            ready::round(&plan, &mut figures);
        }
    }
    let json = figures.json(json!({
        "run": plan.json(),
        "machine": machine::json(),
    }));
    if !arguments.json {
        print!("{}", table::of(&figures, &plan));
    }
    println!("{json}");
}

/// Yardsticks 1 to 5 and groups, round by round.
fn throughput(plan: &Plan, figures: &mut Figures) {
    for _ in plan.rounds("throughput") {
        let floor = floor::round(plan, figures);
        let library = library::round(plan, figures);
        let listener = through::round(plan, Way::Listener);
        let subscriber = through::round(plan, Way::Subscriber);
        let batched = through::round(plan, Way::Batched);
        let grouped = through::round(plan, Way::Grouped);
        for (way, ended) in [
            (Way::Listener, &listener),
            (Way::Subscriber, &subscriber),
            (Way::Batched, &batched),
            (Way::Grouped, &grouped),
        ] {
            ended.enter(way, figures);
        }
        figures.add("listener_to_broker_floor", listener.messages_per_sec() / floor);
        figures.add("subscriber_to_broker_floor", subscriber.messages_per_sec() / floor);
        figures.add("cpu_to_library_floor", listener.cpu_micros() / library);
        figures.add("batched_to_listener_readings", batched.readings_per_sec() / listener.readings_per_sec());
        figures.add("grouped_to_listener", grouped.messages_per_sec() / listener.messages_per_sec());
    }
}
