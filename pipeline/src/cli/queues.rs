//! `millstream queues`: what waits, what is dead, and the books; also while `up` runs.

use std::{io::Write, path::PathBuf, process::ExitCode};

use anyhow::bail;
use serde_json::{Map, Value, json};

use super::books;
use crate::{
    config::{Config, Overrides},
    process::{data_file, open_queues},
    queue::{Depth, QueueName},
};

/// Shows depth, age, in flight and dead letters of each queue, and the books.
#[derive(Debug, clap::Args)]
pub(super) struct QueuesArgs {
    /// The topology file; without it, the built-in default.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The directory of the queues.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Answer as one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) async fn queues(args: QueuesArgs, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let mut config = Config::load(args.config.as_deref())?;
    config.apply(Overrides { data: args.data, ..Overrides::default() })?;
    let file = data_file(&config);
    if !file.exists() {
        bail!("there are no queues in {}: name the directory of a running `up` with --data", file.display());
    }
    let queues = open_queues(&config).await?;
    let mut depths = Vec::new();
    for name in QueueName::ALL {
        depths.push((name, queues.depth(name).await?));
    }
    let books = queues.books().await?;
    if args.json {
        let depths: Map<_, _> =
            depths.iter().map(|(name, depth)| (name.as_str().to_owned(), entry(depth))).collect();
        writeln!(out, "{}", json!({ "queues": depths, "books": books::json(&books) }))?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(
        out,
        "{:<10} {:>9} {:>11} {:>13} {:>9} {:>9} {:>6}",
        "queue", "frames", "rows", "bytes", "in flight", "oldest s", "dead"
    )?;
    for (name, depth) in depths {
        let Depth { frames, rows, bytes, in_flight, dead, oldest_age, .. } = depth;
        let age = oldest_age.map_or_else(|| "-".to_owned(), |age| format!("{:.1}", age.as_secs_f64()));
        writeln!(
            out,
            "{:<10} {frames:>9} {rows:>11} {bytes:>13} {in_flight:>9} {age:>9} {dead:>6}",
            name.as_str()
        )?;
    }
    writeln!(out)?;
    books::table(&books, out)?;
    Ok(ExitCode::SUCCESS)
}

fn entry(depth: &Depth) -> Value {
    json!({
        "frames": depth.frames,
        "rows": depth.rows,
        "bytes": depth.bytes,
        "in_flight": depth.in_flight,
        "dead": depth.dead,
        "oldest_secs": depth.oldest_age.map(|age| age.as_secs_f64()),
    })
}
