//! `millstream up` and `millstream run`: parts of a topology until the process is told to stop.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use crate::{
    config::{Config, Overrides},
    process::{Part, Process},
    reload::Reload,
};

/// Runs every stage in this process.
#[derive(Debug, clap::Args)]
pub(super) struct UpArgs {
    #[command(flatten)]
    place: Place,
}

/// Runs only these stages, beside other processes with the same data directory.
#[derive(Debug, clap::Args)]
pub(super) struct RunArgs {
    /// ingest, validate, transform, analyze, alert, store or notify.
    #[arg(required = true, value_name = "STAGE")]
    stages: Vec<Part>,
    #[command(flatten)]
    place: Place,
}

/// Which topology, and what to change in it.
#[derive(Debug, clap::Args)]
struct Place {
    /// The topology file; without it, the built-in default.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where devices connect to; port 0 picks a free one.
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// Where /metrics, /healthz and /readyz are answered over HTTP; port 0 picks a free one.
    #[arg(long, value_name = "ADDR:PORT")]
    console: Option<SocketAddr>,
    /// The directory of the queues; a lake in a directory is then DIR/lake.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The name of this process among those that subscribe with the same topology on this machine; the same after a
    /// restart.
    #[arg(long, value_name = "NAME")]
    worker: Option<String>,
}

pub(super) async fn up(args: UpArgs) -> anyhow::Result<ExitCode> {
    serve(args.place, &Part::ALL, true).await
}

pub(super) async fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    serve(args.place, &args.stages, false).await
}

async fn serve(place: Place, parts: &[Part], drain: bool) -> anyhow::Result<ExitCode> {
    // First of all: from here on a stop is one in order.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let hangup = signal(SignalKind::hangup())?;
    let mut config = Config::load(place.config.as_deref())?;
    let Place { listen, console, data, worker, .. } = place;
    config.apply(Overrides { listen, console, data, worker })?;
    for warning in config.warnings() {
        warn!("{warning}");
    }
    let mut process = Process::start(&config, parts).await?;
    let names: Vec<_> = parts.iter().map(|part| part.as_str()).collect();
    info!(data = %config.data().display(), stages = names.join(" "), "running");
    if let Some(address) = process.console_addr() {
        info!("console on http://{address}");
    }
    for door in process.doors() {
        info!("listening on {door}");
    }
    let reload = Reload::new(Arc::clone(config.files()), process.stages());
    tokio::select! {
        error = process.failed() => return Err(error.into()),
        Err(bug) = reload.run(hangup) => return Err(bug.into()),
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    let limit = Duration::from_secs(config.topology().shutdown_secs.into());
    info!(shutdown_secs = limit.as_secs(), "stopping; a second signal ends this at once, and loses nothing");
    tokio::select! {
        stopped = process.stop(drain, limit) => stopped?,
        _ = terminate.recv() => warn!("stopped at once"),
        _ = interrupt.recv() => warn!("stopped at once"),
    }
    info!("stopped");
    Ok(ExitCode::SUCCESS)
}
