//! The command line: a command is a file.

mod books;
mod check;
mod compact;
mod data;
mod dead;
mod demo;
mod passwd;
mod quarantine;
mod queues;
mod serve;

use std::{
    env,
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use anyhow::anyhow;
use clap::{Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::{config::ConfigErrors, error::with_causes, process::ProcessError, queue::QueueError};

/// What a mistake in the config or the command line ends with.
const USAGE: u8 = 2;

/// Telemetry from MQTT to Parquet: nothing lost, nothing counted twice.
#[derive(Debug, Parser)]
#[command(name = "millstream", version, arg_required_else_help = true)]
struct Arguments {
    /// How events are written to stderr. The environment variable MILLSTREAM_LOG_FORMAT says the same.
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    #[command(subcommand)]
    command: Command,
}

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum LogFormat {
    /// A line for people.
    Plain,
    /// A JSON object per line.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::DemoArgs),
    Up(serve::UpArgs),
    Run(serve::RunArgs),
    Check(check::CheckArgs),
    Queues(queues::QueuesArgs),
    Dead(dead::DeadArgs),
    Quarantine(quarantine::QuarantineArgs),
    Compact(compact::CompactArgs),
    Passwd(passwd::PasswdArgs),
}

/// Runs the command that the process was started with, and tells its exit code.
pub fn main() -> ExitCode {
    let Arguments { log_format, command } = Arguments::parse();
    let quiet = !matches!(command, Command::Up(_) | Command::Run(_));
    if let Err(error) = log_to_stderr(if quiet { "error" } else { "info" }, log_format) {
        return fail(&error);
    }
    #[cfg(feature = "failpoints")]
    if let Err(error) = crate::failpoint::arm() {
        return fail(&error);
    }
    // Somebody may have chosen already; then that is it.
    let _chosen = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let out = &mut io::stdout();
    let ended = match command {
        Command::Demo(args) => runtime.block_on(demo::demo(args, out)),
        Command::Up(args) => runtime.block_on(serve::up(args)),
        Command::Run(args) => runtime.block_on(serve::run(args)),
        Command::Check(args) => runtime.block_on(check::check(&args, out)).map_err(anyhow::Error::from),
        Command::Queues(args) => runtime.block_on(queues::queues(args, out)),
        Command::Dead(args) => runtime.block_on(dead::dead(args, out)),
        Command::Quarantine(args) => runtime.block_on(quarantine::quarantine(args, out)),
        Command::Compact(args) => runtime.block_on(compact::compact(args, out)),
        Command::Passwd(args) => passwd::passwd(&args, out),
    };
    match ended {
        Ok(code) => code,
        // Who reads what is printed has seen enough, as `head` does.
        Err(error) if quiet && is_unread(&error) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// Whether nobody takes what is printed any more.
fn is_unread(error: &anyhow::Error) -> bool {
    let is_gone = |cause: &io::Error| cause.kind() == io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref().is_some_and(is_gone))
}

/// Events go to stderr; `MILLSTREAM_LOG` (as `RUST_LOG` elsewhere) chooses which.
fn log_to_stderr(default: &str, format: Option<LogFormat>) -> anyhow::Result<()> {
    let chosen = env::var("MILLSTREAM_LOG").unwrap_or_else(|_| default.to_owned());
    let filter = EnvFilter::try_new(&chosen).map_err(|error| {
        anyhow!("MILLSTREAM_LOG cannot be {chosen:?}: {error}; try info, debug or millstream::ingest=debug")
    })?;
    let format = match (format, env::var("MILLSTREAM_LOG_FORMAT")) {
        (Some(format), _) => format,
        (None, Ok(name)) => LogFormat::from_str(&name, true)
            .map_err(|_| anyhow!("MILLSTREAM_LOG_FORMAT cannot be {name:?}; it is plain or json"))?,
        (None, Err(_)) => LogFormat::Plain,
    };
    let ansi = io::stderr().is_terminal();
    let events = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(ansi)
        .with_target(false);
    match format {
        LogFormat::Plain => events.init(),
        LogFormat::Json => events.json().flatten_event(true).init(),
    }
    Ok(())
}

fn fail(error: &anyhow::Error) -> ExitCode {
    let config = error.is::<ConfigErrors>();
    let lanes = matches!(error.downcast_ref(), Some(ProcessError::Queue(QueueError::Lanes { .. })));
    let text = if config { error.to_string() } else { format!("error: {}", with_causes(error.as_ref())) };
    // When even stderr is gone, the exit code has to do.
    let _unheard = writeln!(io::stderr(), "{text}");
    ExitCode::from(if config || lanes { USAGE } else { 1 })
}
