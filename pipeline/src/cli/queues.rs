//! `millstream queues`: what waits, what is dead, and the books; also while `up` runs.

mod create;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::{USAGE, books, data::DataArgs};
use crate::queue::{Capabilities, Depth, Overview, QueueName};

/// Why there is nothing to check.
const NO_ACCOUNT: &str =
    "SQS keeps no account of the rows in queues, so nothing can be checked: leave out --check";

/// Shows depth, age, in flight and dead letters of each queue, and the books.
#[derive(Debug, clap::Args)]
pub(super) struct QueuesArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Also tells whether the books balance, and counts every frame anew; exits with 1 when something differs. Not on SQS, which
    /// keeps no account of rows.
    #[arg(long)]
    check: bool,
    /// Answer as one JSON object.
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    Create(create::CreateArgs),
}

pub(super) async fn queues(args: QueuesArgs, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    if let Some(Action::Create(create)) = args.action {
        return create::create(create, args.data, out).await;
    }
    let queues = args.data.queues().await?;
    let kept = queues.capabilities();
    if args.check && !kept.keeps_books {
        // When even stderr is gone, the exit code has to do.
        let _unheard = writeln!(io::stderr(), "error: {NO_ACCOUNT}");
        return Ok(ExitCode::from(USAGE));
    }
    let Overview { depths, books, audit } = queues.overview(args.check).await?;
    if args.json {
        let depths: Map<_, _> =
            depths.iter().map(|(name, depth)| (name.as_str().to_owned(), entry(depth, kept))).collect();
        let mut answer = json!({ "queues": depths, "books": books::json(&books) });
        if let Some(audit) = &audit {
            answer["balance"] = books::balance_json(audit);
        }
        writeln!(out, "{answer}")?;
    } else {
        table(depths, kept, out)?;
        writeln!(out)?;
        books::table(&books, out)?;
        if let Some(audit) = &audit {
            writeln!(out)?;
            books::balance(audit, out)?;
        }
    }
    let balanced = audit.is_none_or(|audit| audit.mistakes().is_empty());
    Ok(if balanced { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn table(depths: Vec<(QueueName, Depth)>, kept: Capabilities, out: &mut impl Write) -> anyhow::Result<()> {
    writeln!(
        out,
        "{:<10} {:>9} {:>11} {:>13} {:>9} {:>9} {:>6} {:>9} {:>11}",
        "queue", "frames", "rows", "bytes", "in flight", "oldest s", "dead", "dead rows", "dead bytes"
    )?;
    for (name, depth) in depths {
        let Depth { frames, rows, bytes, in_flight, dead, dead_rows, dead_bytes, oldest_age } = depth;
        let age = oldest_age.map_or_else(unknown, |age| format!("{:.1}", age.as_secs_f64()));
        let [rows, bytes, dead_rows, dead_bytes] = [rows, bytes, dead_rows, dead_bytes]
            .map(|count| if kept.keeps_books { count.to_string() } else { unknown() });
        writeln!(
            out,
            "{:<10} {frames:>9} {rows:>11} {bytes:>13} {in_flight:>9} {age:>9} {dead:>6} {dead_rows:>9} {dead_bytes:>11}",
            name.as_str()
        )?;
    }
    Ok(())
}

/// What stands for a figure that is not told.
fn unknown() -> String {
    "-".to_owned()
}

fn entry(depth: &Depth, kept: Capabilities) -> Value {
    let told = |count: u64| kept.keeps_books.then_some(count);
    json!({
        "frames": depth.frames,
        "rows": told(depth.rows),
        "bytes": told(depth.bytes),
        "in_flight": depth.in_flight,
        "dead": depth.dead,
        "dead_rows": told(depth.dead_rows),
        "dead_bytes": told(depth.dead_bytes),
        "oldest_secs": depth.oldest_age.map(|age| age.as_secs_f64()),
    })
}
