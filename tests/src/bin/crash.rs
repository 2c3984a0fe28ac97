//! `crash`: kills Millstream over and over while a fleet publishes, and holds the lake against what was sent.

#![allow(clippy::print_stdout, reason = "a program for people")]

use std::{panic, process::ExitCode};

use clap::Parser;
use tests::rig::{self, Books, Ended, Events, Hits, Mode, Plan};

/// Kills Millstream at random moments while a fleet publishes, and checks that nothing is missing and nothing is there
/// twice. Builds the programs it needs.
#[derive(Debug, Parser)]
struct Arguments {
    /// Runs rounds until so many processes were killed, and at least one round of each mode.
    #[arg(long, default_value_t = 20)]
    kills: u64,
    /// Where all random numbers come from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Runs only this round of the seed.
    #[arg(long)]
    round: Option<u64>,
    /// Shows what would be done, and does nothing; of a round of each mode, or of --round.
    #[arg(long)]
    plan: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.plan {
        let rounds = arguments.round.map_or(0..Mode::ALL.len() as u64, |round| round..round + 1);
        rounds.for_each(|round| print!("{}", Plan::draw(arguments.seed, round)));
        return ExitCode::SUCCESS;
    }
    if let Err(error) = rig::build() {
        eprintln!("crash: {error:#}");
        return ExitCode::FAILURE;
    }
    // A round that fails tells it itself.
    panic::set_hook(Box::new(|_| ()));
    run(&arguments)
}

/// Round after round until there were enough kills.
fn run(arguments: &Arguments) -> ExitCode {
    let Arguments { kills, seed, round: only, .. } = *arguments;
    let (mut events, mut sum) = (Events::default(), Books::default());
    let mut round = only.unwrap_or(0);
    loop {
        let plan = Plan::draw(seed, round);
        let ended = rig::run(&plan);
        events += &ended.events;
        match report(&plan, ended) {
            Some(books) => sum += books,
            None => return ExitCode::FAILURE,
        }
        round += 1;
        if only.is_some() || (round >= Mode::ALL.len() as u64 && events.kills() >= kills) {
            break;
        }
    }
    summary(&events, sum);
    ExitCode::SUCCESS
}

/// A line for the round; its books, unless it failed.
fn report(plan: &Plan, Ended { events, outcome }: Ended) -> Option<Books> {
    let Plan { seed, round, mode, .. } = plan;
    match outcome {
        Ok(books) => {
            println!("round {round} (seed {seed}, {mode}): {events}; {books}");
            Some(books)
        }
        Err(failure) => {
            println!("round {round} (seed {seed}, {mode}): {events}; failed");
            println!("{plan}");
            println!("seed {seed}, round {round} failed: {}", failure.what);
            println!("its files are in {}", failure.directory.display());
            println!("reproduce: cargo run --release -p tests --bin crash -- --seed {seed} --round {round}");
            None
        }
    }
}

fn summary(events: &Events, sum: Books) {
    let points = events.fail_points();
    let all = points.len();
    let (reached, others): (Vec<_>, Vec<_>) =
        points.into_iter().partition(|(_, hits)| hits.kills + hits.stops > 0);
    let (tried, not_drawn): (Vec<_>, Vec<_>) = others.into_iter().partition(|(_, hits)| hits.tries > 0);
    println!(
        "fail points (kills+stops): {}",
        list(&reached, |hits| format!(" {}+{}", hits.kills, hits.stops))
    );
    if !tried.is_empty() {
        println!("not reached (lives that were to): {}", list(&tried, |hits| format!(" {}", hits.tries)));
    }
    if !not_drawn.is_empty() {
        println!("{} of {all} fail points were not drawn: more kills will, or another seed", not_drawn.len());
    }
    println!("{events}; {sum}");
}

fn list(points: &[(&str, Hits)], show: impl Fn(&Hits) -> String) -> String {
    let points: Vec<_> = points.iter().map(|(name, hits)| format!("{name}{}", show(hits))).collect();
    points.join(", ")
}
