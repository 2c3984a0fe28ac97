//! `millstream demo`: a simulated fleet through the whole pipeline, then the books.

mod alerts;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use chrono::Utc;
use device_sim::{
    Address, Faults,
    report::RunReport,
    run::{RunOptions, run},
    verify::{Verification, Way, verify},
};
use serde_json::json;
use tokio::task::spawn_blocking;

use self::alerts::AlertLines;
use crate::{
    config::{Config, Overrides},
    process::{Part, Process},
};

/// The topology of the demo: the default one, with rules.
const TOPOLOGY: &str = include_str!("demo/millstream.yaml");
/// How many alerts are shown.
const ALERTS_SHOWN: usize = 5;

/// Sends a simulated fleet through the whole pipeline, then shows the books.
#[derive(Debug, clap::Args)]
pub(super) struct DemoArgs {
    /// How many devices publish.
    #[arg(long, default_value_t = 200)]
    devices: u32,
    /// Messages per second over the whole fleet; 0 is as fast as it goes.
    #[arg(long, default_value_t = 2000.0)]
    rate: f64,
    /// For how long they publish.
    #[arg(long, default_value_t = 15.0)]
    seconds: f64,
    /// Ends with one JSON object.
    #[arg(long)]
    json: bool,
}

/// What came of a demo.
struct Outcome {
    sent: RunReport,
    found: Verification,
    alerts: AlertLines,
    seconds: f64,
    lake: PathBuf,
}

pub(super) async fn demo(args: DemoArgs, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let directory = tempfile::Builder::new().prefix("millstream-demo-").tempdir()?.keep();
    let outcome = flow(&args, &directory, out).await?;
    if args.json {
        writeln!(out, "{}", outcome.json())?;
    } else {
        outcome.table(out)?;
    }
    Ok(if outcome.found.is_balanced() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The fleet, from its first message to the last row in the lake.
async fn flow(args: &DemoArgs, directory: &Path, out: &mut impl Write) -> anyhow::Result<Outcome> {
    let started = Instant::now();
    let topology = directory.join("millstream.yaml");
    fs::write(&topology, TOPOLOGY).with_context(|| format!("cannot write {}", topology.display()))?;
    let mut config = Config::load(Some(&topology))?;
    config.apply(Overrides { data: Some(directory.to_owned()), ..Overrides::default() })?;
    let mut process = Process::start(&config, &Part::ALL).await?;
    let Some(address) = process.local_addr() else { bail!("ingest did not start") };

    let (ledger, lake) = (directory.join("ledger.jsonl"), directory.join("lake"));
    let DemoArgs { devices, rate, seconds, json } = *args;
    if !json {
        writeln!(
            out,
            "{devices} devices publish {rate} messages/s for {seconds} s to mqtt://{address}, some of them faulty …"
        )?;
    }
    let options = RunOptions {
        devices,
        rate,
        seconds: Some(seconds),
        faults: Faults::default(),
        ledger: Some(ledger.clone()),
        ..RunOptions::new(Address::new(address.ip().to_string(), address.port()), Utc::now())
    };
    let sent = tokio::select! {
        sent = run(options, !json) => sent?,
        error = process.failed() => return Err(error.into()),
    };
    process.drain().await?;
    process.stop(false, Duration::from_secs(config.topology().shutdown_secs.into())).await?;
    let seconds = started.elapsed().as_secs_f64();
    let read = lake.clone();
    let (found, alerts) = spawn_blocking(move || {
        anyhow::Ok((verify(&ledger, &read, Way::Direct)?, alerts::read(&read, ALERTS_SHOWN)?))
    })
    .await??;
    Ok(Outcome { sent, found, alerts, seconds, lake })
}

impl Outcome {
    fn json(&self) -> serde_json::Value {
        let Self { sent, found, alerts, seconds, lake } = self;
        json!({
            "published": found.published,
            "acknowledged": found.acknowledged,
            "stored": found.stored,
            "quarantined": found.quarantined,
            "repeated": found.repeated,
            "late": found.late,
            "missing": found.missing,
            "duplicated": found.duplicated,
            "altered": found.altered,
            "unexplained": found.unexplained,
            "readings": found.readings,
            "alerts": alerts.count,
            "seconds": seconds,
            "messages_per_sec": sent.messages_per_sec,
            "puback_p50_ms": sent.latency_ms.p50,
            "puback_p99_ms": sent.latency_ms.p99,
            "lake": lake,
        })
    }

    fn table(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let Self { sent, found, alerts, seconds, lake } = self;
        let reasons: Vec<_> =
            found.quarantine_reasons.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        writeln!(out)?;
        writeln!(out, "messages")?;
        writeln!(out, "    published     {:>9}   {} acknowledged", found.published, found.acknowledged)?;
        writeln!(out, "  = stored        {:>9}", found.stored)?;
        writeln!(out, "  + quarantined   {:>9}   {}", found.quarantined, reasons.join(", "))?;
        writeln!(out, "  + repeated      {:>9}   sent twice, counted once", found.repeated)?;
        if found.unacknowledged_absent > 0 {
            writeln!(
                out,
                "  + never taken   {:>9}   not acknowledged, so not promised",
                found.unacknowledged_absent
            )?;
        }
        writeln!(out, "  + missing       {:>9}", found.missing)?;
        writeln!(out, "rows")?;
        writeln!(
            out,
            "    readings      {:>9}   {} of them late, {} more than once, {} altered, {} unexplained",
            found.readings, found.late, found.duplicated, found.altered, found.unexplained
        )?;
        writeln!(out, "    alerts        {:>9}", alerts.count)?;
        for line in &alerts.first {
            writeln!(out, "      {line}")?;
        }
        for example in &found.examples {
            writeln!(out, "  wrong: {}", serde_json::to_string(example)?)?;
        }
        writeln!(out)?;
        writeln!(
            out,
            "{:.0} messages/s for {:.1} s, in the lake after {seconds:.1} s; publish to PUBACK {:.1} ms (median), {:.1} ms (p99)",
            sent.messages_per_sec, sent.seconds, sent.latency_ms.p50, sent.latency_ms.p99
        )?;
        writeln!(
            out,
            "{}",
            if found.is_balanced() {
                "The books balance. Look for yourself:"
            } else {
                "The books do not balance; the data is kept:"
            }
        )?;
        writeln!(out)?;
        writeln!(
            out,
            "  duckdb -c \"SELECT metric, count(*) AS readings, avg(value), max(anomaly_score) \
             FROM read_parquet('{}/readings/**/*.parquet', union_by_name = true) GROUP BY metric\"",
            lake.display()
        )?;
        Ok(())
    }
}
