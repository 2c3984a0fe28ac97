//! `millstream quarantine diff`: what another schema would change.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
    io::{self, Write},
    path::{PathBuf, absolute},
};

use anyhow::{Context, anyhow};
use serde_json::{Value, json};
use stages::{
    frame::{FrameId, Header, Kind, Lane, MessagesBuilder, Quarantine},
    replay::{self, Trial, kind_of_place},
    validate::{self, Validate},
};

use super::{Place, Rows, looker, messages, plain};
use crate::{
    config::Config,
    quarantine::{Filter, Take},
};

/// How many kinds of faults are told apart; of more, those that come late are not shown.
const KINDS_MAX: usize = 10_000;

/// Tells how many of the messages that validate refused would pass another schema, and what is wrong with the others.
///
/// Messages that were replayed are left out. Nothing is changed.
#[derive(Debug, clap::Args)]
pub(super) struct DiffArgs {
    /// The other schema: a JSON Schema file.
    #[arg(long, value_name = "FILE")]
    schema: PathBuf,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    rows: Rows,
    /// Only messages that the schema with this id refused.
    #[arg(long, value_name = "ID")]
    refused_by: Option<String>,
    /// How many kinds of faults to show: those of the most messages.
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    top: usize,
}

/// What would become of the messages.
#[derive(Default)]
struct Difference {
    rows: u64,
    pass: u64,
    /// Those that pass the schema, but not transform.
    transform: u64,
    kinds: HashMap<FaultKind, Example>,
    /// Messages of which at least one fault is of a kind that is not among those.
    others: u64,
}

/// Faults that a change of the schema would mend together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct FaultKind {
    stage: String,
    reason: String,
    place: String,
    keyword: String,
}

/// How many messages have faults of a kind, and one of them.
struct Example {
    messages: u64,
    message: u64,
    error: String,
}

pub(super) async fn diff(args: DiffArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let config = args.place.load()?;
    let schema = absolute(&args.schema).with_context(|| format!("cannot find {}", args.schema.display()))?;
    let validate = config.files().validate_with(&schema).map_err(|error| anyhow!(error))?;
    let stage = Some(validate::STAGE.to_owned());
    let filter = Filter { stage, schema: args.refused_by, ..args.rows.filter() };
    let mut reader = looker(&config, filter, Take::All).await?;
    let mut difference = Difference::default();
    while let Some(picked) = reader.next().await? {
        let rows = picked.rows()?;
        let waiting = (0..rows.len()).filter(|row| !picked.was_replayed(&rows, *row));
        difference.add(&config, &validate, &rows, waiting)?;
    }
    if args.place.json {
        writeln!(out, "{}", difference.json(args.top))?;
    } else {
        difference.tell(args.top, out)?;
    }
    Ok(())
}

impl Difference {
    fn add(
        &mut self,
        config: &Config,
        validate: &Validate,
        rows: &Quarantine<'_>,
        waiting: impl Iterator<Item = usize>,
    ) -> anyhow::Result<()> {
        let mut builder = MessagesBuilder::default();
        for row in waiting {
            replay::append(&mut builder, rows, row);
        }
        let header = Header {
            id: FrameId::replayed([]),
            kind: Kind::Messages,
            lane: Lane(0),
            created_at: 0,
            epoch: 0,
            trace: None,
        };
        let frame = builder.finish(header)?;
        let trial = Trial::of(&frame, validate, &config.stages().transform)?;
        let count = frame.rows.num_rows() as u64;
        self.rows += count;
        self.pass += count;
        for frame in &trial.refused {
            let refused = Quarantine::of(frame)?;
            for row in 0..refused.len() {
                self.refused(&refused, row);
            }
        }
        Ok(())
    }

    fn refused(&mut self, refused: &Quarantine<'_>, row: usize) {
        if refused.stage(row) == validate::STAGE {
            self.pass -= 1;
        } else {
            self.transform += 1;
        }
        let mut seen = BTreeSet::new();
        for fault in refused.errors(row) {
            let kind = FaultKind {
                stage: refused.stage(row).to_owned(),
                reason: refused.reason(row).to_owned(),
                place: kind_of_place(&fault.pointer),
                keyword: fault.keyword,
            };
            if !seen.insert(kind.clone()) {
                continue;
            }
            if let Some(known) = self.kinds.get_mut(&kind) {
                known.messages += 1;
            } else if self.kinds.len() < KINDS_MAX {
                let message = refused.message(row);
                self.kinds.insert(kind, Example { messages: 1, message, error: fault.message });
            } else {
                self.others += 1;
            }
        }
    }

    /// The kinds of faults of the most messages.
    fn top(&self, number: usize) -> Vec<(&FaultKind, &Example)> {
        let mut kinds: Vec<_> = self.kinds.iter().collect();
        kinds.sort_by_key(|(kind, example)| (Reverse(example.messages), *kind));
        kinds.truncate(number);
        kinds
    }

    fn json(&self, top: usize) -> Value {
        let entry = |(kind, example): (&FaultKind, &Example)| {
            json!({
                "stage": kind.stage,
                "reason": kind.reason,
                "pointer": kind.place,
                "keyword": kind.keyword,
                "messages": example.messages,
                "example": { "message": example.message, "error": example.error },
            })
        };
        json!({
            "rows": self.rows,
            "pass": self.pass,
            "fail": self.rows - self.pass,
            "refused_by_transform": self.transform,
            "faults": self.top(top).into_iter().map(entry).collect::<Value>(),
            "more": self.kinds.len().saturating_sub(top),
            "faults_of_others": self.others,
        })
    }

    fn tell(&self, top: usize, out: &mut impl Write) -> io::Result<()> {
        let Self { rows, pass, transform, .. } = *self;
        writeln!(out, "{} that validate refused: {pass} would pass, {} not", messages(rows), rows - pass)?;
        if transform > 0 {
            writeln!(out, "of those that would pass, transform would refuse {transform}")?;
        }
        for (FaultKind { stage, reason, place, keyword }, example) in self.top(top) {
            let place = if place.is_empty() { "the whole" } else { place };
            let fault = format!("{stage}: {reason}: {keyword} at {place}");
            writeln!(out, "\n{:>11}  {}", example.messages, plain(&fault))?;
            writeln!(out, "{:>11}  such as message {}: {}", "", example.message, plain(&example.error))?;
        }
        match (self.kinds.len().saturating_sub(top), self.others) {
            (0, 0) => Ok(()),
            (more, 0) => writeln!(out, "\n{:>11}  … and {more} more", ""),
            (more, others) => writeln!(out, "\n{:>11}  … and {more} more, and {others} faults of others", ""),
        }
    }
}
