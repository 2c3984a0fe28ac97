//! The command line.

use std::{
    future::Future,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use chrono::{DateTime, Utc};
use clap::{Args, Parser, Subcommand};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    Address, Faults, Mqtt, Qos, SimError, Target,
    replay::{self, CONNECTIONS_MAX, ReplayOptions},
    report::RunReport,
    run::{self, RunOptions},
    verify::{self, Way},
};

/// A process that a signal ends exits with this and the signal's number.
const SIGNALLED: u8 = 128;
const SIGINT: u8 = 2;
const SIGTERM: u8 = 15;

/// Sends telemetry over MQTT and checks what became of it.
#[derive(Debug, Parser)]
#[command(name = "device-sim", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A seeded fleet of devices publishes at a rate, with faults if you like
    Run(Run),
    /// Recorded series (CSV) go in over MQTT, row by row
    Replay(Replay),
    /// Hold a lake against the ledger of what was sent
    Verify(Verify),
}

#[derive(Debug, Args)]
struct Connecting {
    /// The broker: mqtt://[user:password@]host[:port]
    #[arg(long, default_value = "mqtt://127.0.0.1:1883")]
    broker: Address,
    /// Publishes that a connection keeps unacknowledged
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..))]
    inflight: u16,
    /// Quality of service
    #[arg(long, value_enum, default_value = "1")]
    qos: Qos,
    /// Protocol version
    #[arg(long, value_enum, default_value = "5")]
    mqtt: Mqtt,
    /// Write down what is sent and acknowledged, for verify; appended to
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

impl Connecting {
    fn target(&self, connections: u16, client_prefix: String) -> Target {
        Target {
            broker: self.broker.clone(),
            mqtt: self.mqtt,
            qos: self.qos,
            connections,
            inflight: self.inflight,
            client_prefix,
        }
    }
}

#[derive(Debug, Args)]
struct Run {
    #[command(flatten)]
    connecting: Connecting,
    /// Devices in the fleet
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    devices: u32,
    /// Samples in each message: an array in its `samples`, where there is more than one
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    samples: u16,
    /// Messages per second over the whole fleet; 0 is as fast as it goes
    #[arg(long, default_value_t = 1000.0, value_name = "MSGS_PER_SEC")]
    rate: f64,
    /// How long to publish [default: 10, unless --messages is given]
    #[arg(long)]
    seconds: Option<f64>,
    /// How many messages to publish; deliberate repetitions come on top
    #[arg(long)]
    messages: Option<u64>,
    /// Connections; a device stays on one
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// Where all random numbers come from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The devices' clocks at the first message, RFC 3339 [default: now]
    #[arg(long)]
    start: Option<DateTime<Utc>>,
    /// What goes wrong: none, default, or fault=probability,…
    #[arg(
        long,
        default_value = "none",
        long_help = "What goes wrong: none, default, or a list such as malformed=0.001,late=0.02. Faults: malformed, \
                     schema, skew, repeat, disorder, late, silence, spike, drift, stuck. Each with its probability \
                     for a message, from 0 to 1"
    )]
    faults: Faults,
    /// How long to wait for acknowledgements after --seconds
    #[arg(long, default_value_t = 30)]
    drain_secs: u64,
}

#[derive(Debug, Args)]
struct Replay {
    #[command(flatten)]
    connecting: Connecting,
    /// CSV files, or directories of them: first column time, other columns metrics; the file's name is the device
    #[arg(required = true, value_name = "FILE.csv")]
    paths: Vec<PathBuf>,
    /// Multiple of real time [default: as fast as it goes]
    #[arg(long)]
    speed: Option<f64>,
    /// Connections [default: one for each file, at most 8]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    connections: Option<u16>,
}

#[derive(Debug, Args)]
struct Verify {
    /// What was sent
    #[arg(long, value_name = "FILE")]
    ledger: PathBuf,
    /// The directory with readings/ and quarantine/
    #[arg(long, value_name = "DIR")]
    lake: PathBuf,
    /// A broker stood between, and sends again what was not acknowledged to it: a refused message may be in the
    /// quarantine more often than the fleet sent it
    #[arg(long)]
    through_broker: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Does what the command line says. Exit code 0: all is well; 1: something was not acknowledged, or the books do not
/// balance, or the broker does not serve us; 2: the request or its files are wrong; 130 and 143 after a signal that
/// left something unacknowledged.
pub fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run(command) => block_on(command.execute()),
        Command::Replay(command) => block_on(command.execute()),
        Command::Verify(command) => command.execute(),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("device-sim: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn block_on(command: impl Future<Output = Result<u8, SimError>>) -> Result<u8, SimError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| SimError::Usage(format!("cannot start threads: {error}")))?.block_on(command)
}

impl Run {
    async fn execute(self) -> Result<u8, SimError> {
        let signals = Signals::listen()?;
        let seconds = self.seconds.or_else(|| self.messages.is_none().then_some(10.0));
        let options = RunOptions {
            target: self.connecting.target(self.connections, run::client_prefix(self.seed)),
            devices: self.devices,
            samples: self.samples,
            rate: self.rate,
            seconds,
            messages: self.messages,
            seed: self.seed,
            start: self.start.unwrap_or_else(Utc::now),
            faults: self.faults,
            ledger: self.connecting.ledger,
            drain_secs: self.drain_secs,
        };
        let report = run::run_until(options, true, signals.received()).await?;
        finish(&report, self.connecting.json, self.connecting.qos, &signals)
    }
}

impl Replay {
    async fn execute(self) -> Result<u8, SimError> {
        let signals = Signals::listen()?;
        let files = replay::find_files(&self.paths)?;
        let connections = self.connections.unwrap_or(CONNECTIONS_MAX);
        // Two replays at once must not take each other's sessions over.
        let client_prefix = format!("replay-{}", std::process::id());
        let options = ReplayOptions {
            target: self.connecting.target(connections, client_prefix),
            files,
            speed: self.speed,
            ledger: self.connecting.ledger,
        };
        let report = replay::replay_until(options, true, signals.received()).await?;
        finish(&report, self.connecting.json, self.connecting.qos, &signals)
    }
}

impl Verify {
    fn execute(self) -> Result<u8, SimError> {
        let way = if self.through_broker { Way::ThroughBroker } else { Way::Direct };
        let verification = verify::verify(&self.ledger, &self.lake, way)?;
        print(&verification, self.json)?;
        Ok(u8::from(!verification.is_balanced()))
    }
}

fn finish(report: &RunReport, json: bool, qos: Qos, signals: &Signals) -> Result<u8, SimError> {
    print(report, json)?;
    let signal = signals.number();
    if report.is_complete() {
        return Ok(if signal == 0 { 0 } else { SIGNALLED + signal });
    }
    let RunReport { unacknowledged, refused, published, .. } = report;
    if qos != Qos::AtMostOnce {
        eprintln!(
            "device-sim: of {published} messages {unacknowledged} were not acknowledged and {refused} refused"
        );
    }
    Ok(if signal == 0 { 1 } else { SIGNALLED + signal })
}

fn print(report: &(impl Serialize + std::fmt::Display), json: bool) -> Result<(), SimError> {
    let text = if json {
        // Neither report has a key that is no string.
        serde_json::to_string(report).unwrap_or_default() + "\n"
    } else {
        report.to_string()
    };
    match io::stdout().write_all(text.as_bytes()) {
        // Whoever reads it has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(SimError::file("write", "standard output".as_ref())),
    }
}

/// SIGINT and SIGTERM, of which the first stops the load, and the second the process.
struct Signals {
    number: Arc<AtomicU8>,
    first: Arc<tokio::sync::Notify>,
}

impl Signals {
    fn listen() -> Result<Self, SimError> {
        let failed = |error: io::Error| SimError::Usage(format!("cannot listen for signals: {error}"));
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let number = Arc::new(AtomicU8::new(0));
        let first = Arc::new(tokio::sync::Notify::new());
        let (stored, notify) = (Arc::clone(&number), Arc::clone(&first));
        // Ends with the process: nobody waits for a signal.
        tokio::spawn(async move {
            loop {
                let signal = tokio::select! {
                    _ = interrupt.recv() => SIGINT,
                    _ = terminate.recv() => SIGTERM,
                };
                if stored.swap(signal, Ordering::Relaxed) != 0 {
                    std::process::exit(i32::from(SIGNALLED + signal));
                }
                notify.notify_one();
            }
        });
        Ok(Self { number, first })
    }

    /// Ends with the first signal.
    async fn received(&self) {
        self.first.notified().await;
    }

    /// The number of the signal that came, 0 if none did.
    fn number(&self) -> u8 {
        self.number.load(Ordering::Relaxed)
    }
}
