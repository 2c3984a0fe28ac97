//! `millstream dead`: frames and rows that were given up, and their way back; also while `up` runs.

mod list;
mod moves;
mod rows;
mod show;

use std::{io::Write, process::ExitCode};

use chrono::{DateTime, NaiveDate, SecondsFormat};
use clap::Subcommand;
use stages::frame::Micros;

use super::data::DataArgs;
use crate::queue::{DeadFilter, KeptLetter, QueueName, Queues, Span};

/// Lists, shows, requeues and drops dead letters: frames and rows that were given up.
#[derive(Debug, clap::Args)]
pub(super) struct DeadArgs {
    #[command(flatten)]
    data: DataArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    List(list::ListArgs),
    Show(show::ShowArgs),
    Requeue(moves::RequeueArgs),
    Drop(moves::DropArgs),
}

/// Which dead letters. Whatever is given must hold.
#[derive(Debug, clap::Args)]
struct Which {
    /// Those of this queue: validate, transform, analyze, alert, store or notify.
    #[arg(long, value_name = "QUEUE")]
    queue: Option<QueueName>,
    /// Those whose reason has this text in it.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Those given up then or later: 2026-03-01, or 2026-03-01T06:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = instant)]
    since: Option<Micros>,
    /// Those given up before.
    #[arg(long, value_name = "TIME", value_parser = instant)]
    until: Option<Micros>,
}

pub(super) async fn dead(args: DeadArgs, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::List(look) => list::list(look, &args.data.queues().await?, out).await,
        Action::Show(look) => show::show(look, &args.data.queues().await?, out).await,
        Action::Requeue(letters) => moves::requeue(letters, &args.data.load()?, out).await,
        Action::Drop(letters) => moves::drop_dead(letters, &args.data.load()?, out).await,
    }
}

impl Which {
    fn filter(self, letters: Vec<i64>) -> DeadFilter {
        let Self { queue, reason, since, until } = self;
        DeadFilter { letters, queue, reason, since, until }
    }
}

/// Calls `see` with every letter that fits, by number.
async fn each(
    queues: &Queues,
    filter: &DeadFilter,
    mut see: impl FnMut(KeptLetter) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut span = Span::ALL;
    loop {
        let letters = queues.dead_letters(filter.clone(), span).await?;
        let Some(last) = letters.last() else { return Ok(()) };
        span.after = last.letter;
        letters.into_iter().try_for_each(&mut see)?;
    }
}

/// An instant as people and programs write it.
fn instant(text: &str) -> Result<Micros, String> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    let midnight = date.and_then(|date| date.and_hms_opt(0, 0, 0)).map(|midnight| midnight.and_utc());
    let instant =
        midnight.or_else(|| DateTime::parse_from_rfc3339(text).ok().map(|instant| instant.to_utc()));
    instant.map(|instant| instant.timestamp_micros()).ok_or_else(|| {
        "expected a date such as 2026-03-01, or an instant such as 2026-03-01T06:00:00Z".to_owned()
    })
}

/// An instant as RFC 3339 has it.
fn shown(instant: Micros) -> String {
    let instant = DateTime::from_timestamp_micros(instant).unwrap_or_default();
    instant.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// `1 dead letter with 7 rows`.
fn count(letters: u64, rows: u64) -> String {
    let some = |count: u64, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    format!("{} with {}", some(letters, "dead letter"), some(rows, "row"))
}
