//! `millstream compact`: merges small files of the lake; also while `up` runs and anybody reads.

use std::{
    io::Write,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::bail;
use clap::builder::PossibleValuesParser;
use serde_json::{Value, json};
use stages::store::Dataset;
use tokio::{runtime::Handle, task::spawn_blocking, time::sleep};

use crate::{
    config::{Config, Engine, Overrides},
    lake::{CompactedPartition, Compactor, Intents, LakeError, Pass, Surroundings},
    process::{data_file, open_queues},
    queue::QueueError,
};

/// How long to wait for whoever merges already, and how often to look: a look that finds nothing is short.
const PATIENCE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(50);

/// Merges small files of the lake into large ones, also while `up` writes and others read.
#[derive(Debug, clap::Args)]
pub(super) struct CompactArgs {
    /// The topology file; without it, the built-in default.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The directory of the queues; a lake in a directory is then DIR/lake.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Only this dataset: readings, aggregates, alerts or quarantine.
    #[arg(long, value_name = "NAME", hide_possible_values = true,
          value_parser = PossibleValuesParser::new(Dataset::ALL.map(Dataset::as_str)))]
    dataset: Option<String>,
    /// Only tell what would be merged at first; what comes of it may be merged once more.
    #[arg(long)]
    dry_run: bool,
    /// Answer as one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) async fn compact(args: CompactArgs, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let mut config = Config::load(args.config.as_deref())?;
    config.apply(Overrides { data: args.data, ..Overrides::default() })?;
    let file = data_file(&config);
    if config.topology().queues.engine == Engine::Sqlite && !file.exists() {
        bail!(
            "there are no queues in {}: name the directory of the pipeline that writes this lake with --data, as they \
             know which files are not finished",
            file.display()
        );
    }
    if let Some(directory) = config.lake().directory().filter(|directory| !directory.exists()) {
        bail!("there is no lake in {}: nothing was stored yet", directory.display());
    }
    let queues = open_queues(&config).await?;
    let intents = Intents::of(&queues).ok_or(QueueError::Embedded { what: "compact without a table" })?;
    let compactor = config.compactor(config.open_lake().await?, true);
    let compactor = if args.dry_run { compactor.dry() } else { compactor };
    let chosen = |dataset: &Dataset| args.dataset.as_deref().is_none_or(|name| name == dataset.as_str());
    let datasets: Vec<_> = Dataset::ALL.into_iter().filter(chosen).collect();
    let (compactor, pass, ended) = pass(compactor, &intents, datasets).await?;
    if args.json {
        writeln!(out, "{}", as_json(&pass, args.dry_run))?;
    } else {
        table(&pass, args.dry_run, out)?;
    }
    out.flush()?;
    ended?;
    let grace = compactor.grace();
    if !args.dry_run && !pass.partitions.is_empty() && !grace.is_zero() {
        // Whoever was reading the list of an old directory is done by then.
        sleep(grace).await;
        match in_thread(compactor, &intents, |compactor, world| compactor.sweep(world)).await?.1 {
            // Then whoever that is removes it.
            Ok(()) | Err(LakeError::Busy { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// One look through the lake, once it is our turn.
async fn pass(
    mut compactor: Compactor,
    intents: &Intents,
    datasets: Vec<Dataset>,
) -> anyhow::Result<(Compactor, Pass, Result<(), LakeError>)> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let of = datasets.clone();
        let looked = in_thread(compactor, intents, move |compactor, world| compactor.pass(&of, world));
        compactor = match looked.await? {
            (compactor, (_, Err(LakeError::Busy { .. }))) if Instant::now() < deadline => compactor,
            (_, (_, Err(error @ LakeError::Busy { .. }))) => return Err(error.into()),
            (compactor, (pass, ended)) => return Ok((compactor, pass, ended)),
        };
        sleep(POLL).await;
    }
}

async fn in_thread<T: Send + 'static>(
    mut compactor: Compactor,
    intents: &Intents,
    work: impl FnOnce(&mut Compactor, &Surroundings<'_>) -> T + Send + 'static,
) -> anyhow::Result<(Compactor, T)> {
    let (intents, runtime) = (intents.clone(), Handle::current());
    let done = spawn_blocking(move || {
        let intents = || runtime.block_on(intents.all());
        let result = work(&mut compactor, &Surroundings { intents: &intents, is_stopping: &|| false });
        (compactor, result)
    });
    Ok(done.await?)
}

fn table(pass: &Pass, dry_run: bool, out: &mut impl Write) -> std::io::Result<()> {
    for trouble in &pass.troubles {
        writeln!(out, "{trouble}")?;
    }
    if pass.waiting > 0 {
        let waiting = pass.waiting;
        writeln!(
            out,
            "partitions with files that cannot be merged yet, as they are being written: {waiting}"
        )?;
    }
    if pass.partitions.is_empty() {
        let now = if pass.waiting > 0 { " now" } else { "" };
        return writeln!(out, "there are no small files to merge{now}");
    }
    let widest = pass.partitions.iter().map(|done| done.partition.len()).max().unwrap_or_default();
    writeln!(out, "{:<widest$} {:>8} {:>8} {:>14} {:>14}", "partition", "files", "then", "bytes", "then")?;
    for CompactedPartition { partition, before, after, .. } in &pass.partitions {
        let bytes = if dry_run { "-".to_owned() } else { after.1.to_string() };
        let ((files, size), then) = (before, after.0);
        writeln!(out, "{partition:<widest$} {files:>8} {then:>8} {size:>14} {bytes:>14}")?;
    }
    if dry_run { writeln!(out, "nothing was changed") } else { Ok(()) }
}

fn as_json(pass: &Pass, dry_run: bool) -> Value {
    let entry = |done: &CompactedPartition| {
        let CompactedPartition { dataset, partition, merged, rows, before, after } = done;
        let mut entry = json!({
            "dataset": dataset.as_str(),
            "partition": partition,
            "files_merged": merged,
            "files_before": before.0,
            "files_after": after.0,
            "bytes_before": before.1,
        });
        if !dry_run {
            entry["bytes_after"] = json!(after.1);
            entry["rows_merged"] = json!(rows);
        }
        entry
    };
    let partitions: Vec<_> = pass.partitions.iter().map(entry).collect();
    json!({ "dry_run": dry_run, "partitions": partitions, "waiting": pass.waiting, "left_alone": pass.troubles })
}
