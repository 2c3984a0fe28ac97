//! What is asked for, and how much of it is done.

use std::{net::SocketAddr, time::Duration};

use clap::{Parser, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::through::{self, Way};

/// Measures Millstream beside floors: docs/performance.md says what each figure is. The last line is one JSON object.
#[derive(Debug, Parser)]
#[command(name = "bench")]
pub(super) struct Arguments {
    /// Ends within five minutes: fewer and shorter rounds.
    #[arg(long)]
    quick: bool,
    /// Hardly measures anything: whether the bench itself works.
    #[arg(long, conflicts_with = "quick")]
    smoke: bool,
    /// Only the JSON object, without the table.
    #[arg(long)]
    pub(super) json: bool,
    /// Only these.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Only>,
    /// Instead: throughput and cost on one core and two, by lanes, and by the number of messages.
    #[arg(long)]
    pub(super) scaling: bool,
    /// Messages that each connection keeps unacknowledged, of the floors as well; the default topology takes up to 1024.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=1024))]
    inflight: u16,
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// The bare subscriber of the broker floor, in a process of its own.
    #[command(hide = true)]
    Count { broker: SocketAddr, messages: u64, inflight: u16 },
}

/// Yardsticks that are measured together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Only {
    /// Broker and library floor, listener, subscriber, batches, groups.
    Throughput,
    /// PUBACK and alert.
    Latency,
    /// Messages that pile up before store.
    Backlog,
    /// Time to ready, idle CPU, binary size.
    Ready,
}

impl Arguments {
    pub(super) fn wants(&self, only: Only) -> bool {
        self.only.is_empty() || self.only.contains(&only)
    }
}

/// How much is done.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    name: &'static str,
    rounds: u32,
    /// Connections of the simulator.
    pub(super) connections: u16,
    /// Messages that each of them keeps unacknowledged.
    pub(super) inflight: u16,
    pub(super) devices: u32,
    /// Messages in a run of throughput.
    pub(super) messages: u64,
    /// How long such a run is to take: decides on `messages`.
    run_secs: f64,
    /// The rate that was found for that; 0 before.
    pub(super) calibrated: f64,
    /// Messages of the library floor.
    pub(super) library_messages: u64,
    pub(super) latency_secs: u32,
    pub(super) backlog_messages: u64,
    /// Whether every row is held against a ledger, too, which costs a loaded machine a lot.
    pub(super) ledgers: bool,
    /// Starts in each round.
    pub(super) starts: u32,
    pub(super) settle: Duration,
    pub(super) idle: Duration,
}

/// What is sent to find out how fast this machine is: enough that a start weighs little.
const CALIBRATING_MESSAGES: u64 = 500_000;

/// How many times longer a message takes by way of a broker, about.
const SLOWER_BY_BROKER: u64 = 5;

impl Plan {
    pub(super) fn of(arguments: &Arguments) -> Self {
        let secs = Duration::from_secs;
        let full = Self {
            name: "full",
            rounds: 5,
            connections: 8,
            inflight: arguments.inflight,
            devices: 1000,
            messages: CALIBRATING_MESSAGES,
            // Of which all but a start and an end is at full load.
            run_secs: 36.0,
            calibrated: 0.0,
            library_messages: 1_000_000,
            latency_secs: 30,
            backlog_messages: 5_000_000,
            ledgers: false,
            starts: 3,
            settle: secs(3),
            idle: secs(10),
        };
        let quick = Self {
            name: "quick",
            rounds: 3,
            run_secs: 4.5,
            library_messages: 250_000,
            latency_secs: 6,
            backlog_messages: 1_000_000,
            settle: secs(1),
            idle: secs(5),
            ..full.clone()
        };
        let smoke = Self {
            name: "smoke",
            rounds: 1,
            messages: 2000,
            run_secs: 0.0,
            calibrated: 600.0,
            library_messages: 2000,
            latency_secs: 2,
            backlog_messages: 4000,
            ledgers: true,
            starts: 1,
            settle: Duration::ZERO,
            idle: Duration::from_millis(200),
            ..full.clone()
        };
        match arguments {
            Arguments { quick: true, .. } => quick,
            Arguments { smoke: true, .. } => smoke,
            _ => full,
        }
    }

    /// Finds out how many messages a run is to have. Its figures count for nothing else: files and memory were cold.
    pub(super) fn calibrate(&mut self) {
        if self.run_secs > 0.0 {
            eprintln!("bench: how fast is this machine?");
            self.calibrated = through::round(self, Way::Listener).messages_per_sec();
            // A number that can be told.
            self.messages = (self.calibrated * self.run_secs / 10_000.0).ceil() as u64 * 10_000;
        }
    }

    /// Messages of a run through a broker: they are to take about as long.
    pub(super) fn messages_by_broker(&self) -> u64 {
        self.messages.div_ceil(SLOWER_BY_BROKER)
    }

    /// The rounds, each told when it begins.
    pub(super) fn rounds(&self, what: &str) -> impl Iterator<Item = u32> {
        let (all, what) = (self.rounds, what.to_owned());
        (0..all).inspect(move |round| eprintln!("bench: {what}, round {} of {all}", round + 1))
    }

    /// Arguments of `device-sim run` that are those of every load.
    pub(super) fn fleet(&self) -> Vec<String> {
        let Self { connections, inflight, devices, .. } = self;
        format!("--connections {connections} --inflight {inflight} --devices {devices}")
            .split(' ')
            .map(str::to_owned)
            .collect()
    }

    /// A million, but for the smallest scale.
    pub(super) fn messages_of_a_million(&self) -> u64 {
        if self.name == "smoke" { 1000 } else { 1_000_000 }
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "scale": self.name,
            "rounds": self.rounds,
            "connections": self.connections,
            "inflight": self.inflight,
            "devices": self.devices,
            "messages": self.messages,
            "latency_secs": self.latency_secs,
            "backlog_messages": self.backlog_messages,
        })
    }
}
