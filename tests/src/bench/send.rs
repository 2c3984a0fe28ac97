//! The simulator, which sends as much as it can or is told to.

use std::{
    net::SocketAddr,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    measure::{self, Spent},
    options::Plan,
};
use crate::{Child, site::program};

/// What the simulator is to send.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// How many messages; or how long, at which rate.
    pub(super) what: What,
    /// Samples in each message.
    pub(super) samples: u16,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum What {
    /// So many, as fast as they are taken.
    Messages(u64),
    /// At a rate, for so long.
    Paced { rate: f64, secs: u32 },
}

/// What it has sent.
pub(super) struct Sent {
    /// When it was started, a little before its first publish.
    pub(super) started: Instant,
    /// Its CPU time.
    pub(super) cpu: Duration,
    report: Value,
}

impl Load {
    /// Messages of one sample, as fast as they are taken.
    pub(super) fn of(messages: u64) -> Self {
        Self { what: What::Messages(messages), samples: 1 }
    }

    /// `device-sim run`, to be started.
    pub(super) fn command(self, plan: &Plan, to: SocketAddr) -> Command {
        let mut command = program("device-sim");
        command.args(["run", "--json", "--broker", &format!("mqtt://{to}")]).args(plan.fleet());
        command.args(["--samples", &self.samples.to_string()]);
        match self.what {
            What::Messages(messages) => command.args(["--rate", "0", "--messages", &messages.to_string()]),
            What::Paced { rate, secs } => {
                command.args(["--rate", &rate.to_string(), "--seconds", &secs.to_string()])
            }
        };
        command
    }
}

/// Runs the simulator until every message is acknowledged.
pub(super) fn send(command: Command) -> Sent {
    let started = Instant::now();
    let Spent { cpu, ended, .. } = measure::until_ended(Child::start(command));
    let sent = Sent { started, cpu, report: ended.json() };
    assert_eq!(sent.report["acknowledged"], sent.report["published"], "{}", sent.report);
    assert_eq!(sent.report["resent"], 0, "a connection was lost: {}", sent.report);
    sent
}

impl Sent {
    /// How many messages there were.
    pub(super) fn messages(&self) -> u64 {
        self.report["acknowledged"].as_u64().expect("a number of messages")
    }

    /// From the first publish to the last acknowledgement.
    pub(super) fn seconds(&self) -> f64 {
        self.report["seconds"].as_f64().expect("a number of seconds")
    }

    /// A percentile of the time until a message is acknowledged, such as `p99`.
    pub(super) fn latency_ms(&self, percentile: &str) -> f64 {
        self.report["latency_ms"][percentile].as_f64().unwrap_or_else(|| panic!("no {percentile}"))
    }
}
