//! `millstream check`: every mistake of a config, each with its line.

#[cfg(feature = "sqs")]
mod aws;
mod connect;
mod local;

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
    /// Also asks the servers that the config names: queues, table, lake, broker. Changes nothing. Webhooks are not called.
    #[arg(long)]
    pub connect: bool,
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
pub(super) async fn check(args: &CheckArgs, out: &mut impl Write) -> io::Result<ExitCode> {
    if args.print_schema {
        writeln!(out, "{:#}", Config::json_schema())?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.print_default {
        write!(out, "{}", config::DEFAULT)?;
        return Ok(ExitCode::SUCCESS);
    }
    let loaded = Config::load(args.config.as_deref());
    let mut found = Found::of(&loaded);
    if let (true, Ok(config)) = (args.connect, &loaded) {
        found.add(config, connect::connect(config).await);
    }
    if args.json {
        writeln!(out, "{}", found.report())?;
    } else {
        for mistake in &found.mistakes {
            writeln!(out, "{mistake}")?;
        }
        for warning in &found.warnings {
            writeln!(out, "warning: {warning}")?;
        }
        match (&loaded, found.mistakes.len()) {
            (Ok(config), 0) => writeln!(out, "{}", summary(config))?,
            (_, 1) => writeln!(out, "1 mistake")?,
            (_, count) => writeln!(out, "{count} mistakes")?,
        }
        for there in found.there.iter().flatten() {
            writeln!(out, "    there: {there}")?;
        }
    }
    Ok(if found.mistakes.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(USAGE) })
}

/// What is to be told.
struct Found {
    mistakes: Vec<Mistake>,
    warnings: Vec<Mistake>,
    /// What was asked and is there; none where nobody was asked.
    there: Option<Vec<String>>,
}

impl Found {
    fn of(loaded: &Result<Config, ConfigErrors>) -> Self {
        let (mistakes, warnings) = match loaded {
            Ok(config) => (Vec::new(), config.warnings().to_vec()),
            Err(errors) => (errors.mistakes.clone(), errors.warnings.clone()),
        };
        Self { mistakes, warnings, there: None }
    }

    fn add(&mut self, config: &Config, told: connect::Told) {
        self.mistakes.extend(config.mistakes_at(told.mistakes));
        self.warnings.extend(config.mistakes_at(told.warnings));
        self.there = Some(told.there);
    }

    fn report(&self) -> Value {
        let list = |mistakes: &[Mistake]| mistakes.iter().map(entry).collect::<Value>();
        let mut report = json!({
            "ok": self.mistakes.is_empty(),
            "mistakes": list(&self.mistakes),
            "warnings": list(&self.warnings),
        });
        if let Some(there) = &self.there {
            report["there"] = json!(there);
        }
        report
    }
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
