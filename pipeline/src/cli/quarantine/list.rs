//! `millstream quarantine list`: how many of what.

use std::io::Write;

use serde_json::json;
use stages::frame::{Micros, Quarantine};

use super::{Place, RefusedBy, Rows, groups::Groups, looker, rfc3339};
use crate::quarantine::{Picked, Reader, Take};

/// Counts refused messages by reason, topic, device and schema.
#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    rows: Rows,
    #[command(flatten)]
    by: RefusedBy,
    /// How many topics, devices and so on to show: those with the most messages.
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    top: usize,
}

/// What was found.
#[derive(Default)]
struct Summary {
    rows: u64,
    replayed: u64,
    received: Option<(Micros, Micros)>,
    reasons: Groups,
    topics: Groups,
    devices: Groups,
    schemas: Groups,
}

impl Summary {
    fn add(&mut self, reader: &Reader, picked: &Picked, rows: &Quarantine<'_>, row: usize) {
        let replayed = picked.was_replayed(rows, row);
        self.rows += 1;
        self.replayed += u64::from(replayed);
        let at = rows.received_at(row);
        let (first, last) = self.received.unwrap_or((at, at));
        self.received = Some((first.min(at), last.max(at)));
        let topic = rows.topic(row);
        self.reasons.add(&format!("{}: {}", rows.stage(row), rows.reason(row)), replayed);
        self.topics.add(topic, replayed);
        if let Some(device) = reader.device(topic) {
            self.devices.add(device, replayed);
        }
        if let Some(schema) = schema(rows, row) {
            self.schemas.add(&schema, replayed);
        }
    }

    fn groups(&self) -> [(&'static str, &Groups); 4] {
        [
            ("reason", &self.reasons),
            ("topic", &self.topics),
            ("device", &self.devices),
            ("schema", &self.schemas),
        ]
    }
}

pub(super) async fn list(args: ListArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let config = args.place.load()?;
    let mut reader = looker(&config, args.rows.filter_by(args.by), Take::Marks).await?;
    let mut summary = Summary::default();
    while let Some(picked) = reader.next().await? {
        let rows = picked.rows()?;
        for row in 0..rows.len() {
            summary.add(&reader, &picked, &rows, row);
        }
    }
    let Summary { rows, replayed, received, .. } = summary;
    if args.place.json {
        let mut answer = json!({
            "rows": rows,
            "replayed": replayed,
            "first": received.map(|(first, _)| rfc3339(first)),
            "last": received.map(|(_, last)| rfc3339(last)),
        });
        for (title, groups) in summary.groups() {
            answer[title] = groups.json(args.top);
        }
        writeln!(out, "{answer}")?;
        return Ok(());
    }
    let Some((first, last)) = received else {
        writeln!(out, "nothing is in the quarantine")?;
        return Ok(());
    };
    writeln!(out, "{rows} refused, {replayed} of them replayed since")?;
    writeln!(out, "received from {} to {}", rfc3339(first), rfc3339(last))?;
    for (title, groups) in summary.groups() {
        groups.table(title, args.top, out)?;
    }
    Ok(())
}

/// The schema of a row with its version, where it has them.
pub(super) fn schema(rows: &Quarantine<'_>, row: usize) -> Option<String> {
    let version = rows.schema_version(row).map(|version| format!(", version {version}"));
    rows.schema(row).map(|schema| format!("{schema}{}", version.unwrap_or_default()))
}
