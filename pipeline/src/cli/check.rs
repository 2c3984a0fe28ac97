//! `millstream check`: every mistake of a config, each with its line.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use serde_json::{Value, json};

use super::USAGE;
use crate::{
    config::{self, Config, ConfigErrors, Engine, Mistake},
    ingest::Door,
};

/// Shows every mistake of a config, each with its line.
#[derive(Debug, Default, clap::Args)]
pub(super) struct CheckArgs {
    /// The config to check; without it, the built-in default.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Answer as one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Print the JSON Schema of configs instead, for editors.
    #[arg(long, exclusive = true)]
    pub print_schema: bool,
    /// Print the default config instead, to start from.
    #[arg(long, exclusive = true)]
    pub print_default: bool,
}

/// Checks and reports to `out`. Exits with 2 when there is a mistake; warnings alone are none.
///
/// # Errors
/// When `out` cannot be written to.
pub(super) fn check(args: &CheckArgs, out: &mut impl Write) -> io::Result<ExitCode> {
    if args.print_schema {
        writeln!(out, "{:#}", Config::json_schema())?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.print_default {
        write!(out, "{}", config::DEFAULT)?;
        return Ok(ExitCode::SUCCESS);
    }
    let loaded = Config::load(args.config.as_deref());
    if args.json {
        writeln!(out, "{}", report(&loaded))?;
    } else {
        let (mistakes, warnings) = found(&loaded);
        for mistake in mistakes {
            writeln!(out, "{mistake}")?;
        }
        for warning in warnings {
            writeln!(out, "warning: {warning}")?;
        }
        match &loaded {
            Ok(config) => writeln!(out, "{}", summary(config))?,
            Err(errors) if errors.mistakes.len() == 1 => writeln!(out, "1 mistake")?,
            Err(errors) => writeln!(out, "{} mistakes", errors.mistakes.len())?,
        }
    }
    Ok(if loaded.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(USAGE) })
}

fn found(loaded: &Result<Config, ConfigErrors>) -> (&[Mistake], &[Mistake]) {
    match loaded {
        Ok(config) => (&[], config.warnings()),
        Err(errors) => (&errors.mistakes, &errors.warnings),
    }
}

fn report(loaded: &Result<Config, ConfigErrors>) -> Value {
    let (mistakes, warnings) = found(loaded);
    let list = |mistakes: &[Mistake]| mistakes.iter().map(entry).collect::<Value>();
    json!({ "ok": loaded.is_ok(), "mistakes": list(mistakes), "warnings": list(warnings) })
}

fn entry(mistake: &Mistake) -> Value {
    json!({
        "file": mistake.file,
        "line": mistake.place.map(|place| place.line),
        "column": mistake.place.map(|place| place.column),
        "pointer": mistake.pointer,
        "message": mistake.message,
    })
}

/// What would run, in a few lines.
fn summary(config: &Config) -> String {
    let topology = config.topology();
    let doors: Vec<_> = config.listener_options().doors().iter().map(Door::to_string).collect();
    let mut lines = vec![format!(
        "ok: {}, {} lanes, queues {}, lake in {}",
        if doors.is_empty() { "no listener".to_owned() } else { doors.join(" ") },
        topology.lanes,
        match topology.queues.engine {
            Engine::Sqlite => format!("in {}", config.data().display()),
            Engine::Sqs => format!("on SQS as {}*", topology.queues.sqs.prefix),
        },
        config.lake()
    )];
    for topic in &topology.topics {
        lines.push(format!("    {} with {}", topic.pattern, topic.schema.as_deref().unwrap_or("no schema")));
    }
    for group in &topology.groups {
        let stages = group.iter().map(|stage| stage.as_str()).collect::<Vec<_>>();
        lines.push(format!("    in one hop: {}", stages.join(", ")));
    }
    let rules = topology.alert.rules.iter().map(|rule| rule.name.as_str()).collect::<Vec<_>>();
    if !rules.is_empty() {
        lines.push(format!("    alerts: {}", rules.join(", ")));
    }
    let webhooks = topology.notify.webhooks.iter().map(|webhook| webhook.name.as_str()).collect::<Vec<_>>();
    if !webhooks.is_empty() {
        lines.push(format!("    webhooks: {}", webhooks.join(", ")));
    }
    lines.join("\n")
}
