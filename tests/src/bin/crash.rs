//! `crash`: kills Millstream over and over while a fleet publishes, and holds the lake against what was sent.

#![allow(clippy::print_stdout, reason = "a program for people")]

use std::{panic, process::ExitCode};

use clap::Parser;
use tests::rig::{self, Books, Ended, Events, Plan};

/// Kills Millstream at random moments while a fleet publishes, and checks that nothing is missing and nothing is there
/// twice. Builds the programs it needs.
#[derive(Debug, Parser)]
struct Arguments {
    /// Runs rounds until so many processes were killed.
    #[arg(long, default_value_t = 20)]
    kills: u64,
    /// Where all random numbers come from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Runs only this round of the seed.
    #[arg(long)]
    round: Option<u64>,
    /// Shows what would be done, and does nothing; of the first three rounds, or of --round.
    #[arg(long)]
    plan: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.plan {
        let rounds = arguments.round.map_or(0..3, |round| round..round + 1);
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
        if only.is_some() || events.kills() >= kills {
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
            let Books { messages, missing, repeated, reads } = books;
            println!(
                "round {round} (seed {seed}, {mode}): {events}; messages {messages}, missing {missing}, \
                 repeated {repeated}; the second reader looked {reads} times"
            );
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
    let hit = points.iter().filter(|(_, kills, stops)| kills + stops > 0);
    let hit: Vec<_> = hit.map(|(name, kills, stops)| format!("{name} {kills}+{stops}")).collect();
    let never = points.iter().filter(|(_, kills, stops)| kills + stops == 0);
    let never: Vec<_> = never.map(|(name, ..)| *name).collect();
    println!("fail points (kills+stops): {}", hit.join(", "));
    if !never.is_empty() {
        println!("fail points that this run did not come by: {}", never.join(", "));
    }
    let Books { messages, missing, repeated, reads } = sum;
    println!(
        "{events}, messages {messages}, missing {missing}, repeated {repeated}; the second reader looked {reads} times"
    );
}
