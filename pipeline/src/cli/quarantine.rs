//! `millstream quarantine`: what was refused, and the way back; also while `up` runs.

mod diff;
mod groups;
mod list;
mod replay;
mod show;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::bail;
use chrono::{DateTime, SecondsFormat};
use stages::{frame::Micros, store::Dataset, topic::Pattern};

#[cfg(feature = "sqs")]
use crate::{config::Engine, process::table};
use crate::{
    config::{Config, Overrides},
    database::Database,
    process::data_file,
    quarantine::{Filter, Reader, Replayed, Span, Take},
};

/// Shows messages that were refused, and brings them back.
#[derive(Debug, clap::Args)]
pub(super) struct QuarantineArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    List(list::ListArgs),
    Show(show::ShowArgs),
    Diff(diff::DiffArgs),
    Replay(replay::ReplayArgs),
}

pub(super) async fn quarantine(args: QuarantineArgs, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::List(args) => list::list(args, out).await?,
        Command::Show(args) => show::show(args, out).await?,
        Command::Diff(args) => diff::diff(args, out).await?,
        Command::Replay(args) => replay::replay(args, out).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Whose quarantine, and how it is told.
#[derive(Debug, clap::Args)]
struct Place {
    /// The topology file; without it, the built-in default.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The directory of the queues; a lake in a directory is then DIR/lake.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

/// Which rows: those that have all of it.
#[derive(Debug, clap::Args)]
struct Rows {
    /// Only messages refused for this reason.
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// Only messages with a topic that fits this MQTT filter.
    #[arg(long, value_name = "FILTER")]
    topic: Option<Pattern>,
    /// Only messages of this device: {device} of the topic, by the patterns of the config.
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Only messages received at this time (RFC 3339) or later.
    #[arg(long, value_name = "TIME", value_parser = instant)]
    since: Option<Micros>,
    /// Only messages received before this time (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = instant)]
    until: Option<Micros>,
}

/// By whom they were refused.
#[derive(Debug, clap::Args)]
struct RefusedBy {
    /// Only messages refused by this stage: ingest, validate or transform.
    #[arg(long, value_name = "STAGE")]
    stage: Option<String>,
    /// Only messages checked against the schema with this id.
    #[arg(long, value_name = "ID")]
    schema: Option<String>,
}

impl Rows {
    fn filter(self) -> Filter {
        let Self { reason, topic, device, since, until } = self;
        Filter { reason, topic, device, span: Span { since, until }, ..Filter::default() }
    }

    fn filter_by(self, RefusedBy { stage, schema }: RefusedBy) -> Filter {
        Filter { stage, schema, ..self.filter() }
    }
}

impl Place {
    fn load(&self) -> anyhow::Result<Config> {
        let mut config = Config::load(self.config.as_deref())?;
        config.apply(Overrides { data: self.data.clone(), ..Overrides::default() })?;
        Ok(config)
    }
}

/// A reader of the quarantine of a topology, for who only looks: what has come back of it is not known without a data file
/// that can be read, which is said on stderr.
async fn looker(config: &Config, filter: Filter, take: Take) -> anyhow::Result<Reader> {
    let file = data_file(config);
    #[cfg(feature = "sqs")]
    if config.topology().queues.engine == Engine::Sqs {
        let table = table(config).await?;
        let replayed = match table.check().await {
            Ok(()) => Replayed::in_table(table),
            Err(error) => {
                tell_unknown(&error.to_string());
                Replayed::new(None)
            }
        };
        return reader(config, (filter, take), replayed).await;
    }
    if let Some(lake) = config.lake().directory()
        && !file.exists()
        && !lake.join(Dataset::Quarantine.as_str()).exists()
    {
        bail!("there is no lake in {}: name the directory of a running `up` with --data", lake.display());
    }
    let known = if file.exists() {
        Database::look(&file).map_err(|error| error.to_string())
    } else {
        Err(format!("there is no {}", file.display()))
    };
    if let Err(why) = &known {
        tell_unknown(why);
    }
    reader(config, (filter, take), Replayed::new(known.ok())).await
}

fn tell_unknown(why: &str) {
    // Whoever does not see it sees messages that wait.
    let _unseen = writeln!(io::stderr(), "which messages were replayed is not known: {why}");
}

/// A reader of the quarantine of a topology, and of what has come back of it.
async fn reader(config: &Config, what: (Filter, Take), replayed: Replayed) -> anyhow::Result<Reader> {
    let topics = config.stages().topics.clone();
    Ok(Reader::of_lake(config.lake(), topics, what, replayed).await?)
}

fn instant(text: &str) -> Result<Micros, String> {
    let instant = DateTime::parse_from_rfc3339(text);
    instant
        .map(|instant| instant.timestamp_micros())
        .map_err(|error| format!("{error}: write it as 2026-01-31T12:00:00Z"))
}

fn rfc3339(micros: Micros) -> String {
    DateTime::from_timestamp_micros(micros).map_or_else(
        || format!("{micros} µs"),
        |instant| instant.to_rfc3339_opts(SecondsFormat::AutoSi, true),
    )
}

/// A text that devices have sent, as a terminal may have it: what would move the cursor or ring the bell is written out.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for char in text.chars() {
        if char.is_control() {
            plain.extend(char.escape_default());
        } else {
            plain.push(char);
        }
    }
    plain
}

/// "1 message", "2 messages".
fn messages(count: u64) -> String {
    format!("{count} {}", if count == 1 { "message" } else { "messages" })
}
