//! `millstream quarantine show`: rows in full.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use anyhow::bail;
use serde_json::{Value, json};
use stages::frame::Quarantine;

use super::{Place, RefusedBy, Rows, list::schema, looker, plain, rfc3339};
use crate::quarantine::{Filter, Take};

/// Shows refused messages in full, with what is wrong where.
#[derive(Debug, clap::Args)]
pub(super) struct ShowArgs {
    /// The number of one message; without it, those that the filters pick.
    #[arg(value_name = "MESSAGE")]
    message: Option<u64>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    rows: Rows,
    #[command(flatten)]
    by: RefusedBy,
    /// How many to show at most.
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    limit: u64,
}

pub(super) async fn show(args: ShowArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let config = args.place.load()?;
    let filter = Filter { message: args.message, ..args.rows.filter_by(args.by) };
    let mut reader = looker(&config, filter, Take::All).await?;
    let mut shown = 0;
    while let Some(picked) = reader.next().await? {
        let rows = picked.rows()?;
        for row in 0..rows.len() {
            if shown == args.limit {
                if !args.place.json {
                    writeln!(out, "… and more: --limit NUMBER shows more of them")?;
                }
                return Ok(());
            }
            shown += 1;
            let replayed = picked.was_replayed(&rows, row);
            if args.place.json {
                writeln!(out, "{}", object(&rows, row, replayed))?;
            } else {
                lines(&rows, row, replayed, out)?;
            }
        }
    }
    match args.message {
        Some(message) if shown == 0 => {
            bail!("message {message} is not in the quarantine, or the filters leave it out")
        }
        _ => Ok(()),
    }
}

/// A row on a line of its own.
fn object(rows: &Quarantine<'_>, row: usize, replayed: bool) -> Value {
    let (payload, encoding) = payload(rows.payload(row));
    let errors = rows
        .errors(row)
        .into_iter()
        .map(|fault| json!({ "pointer": fault.pointer, "keyword": fault.keyword, "message": fault.message }));
    let properties: Vec<[String; 2]> =
        rows.properties(row).into_iter().map(|(key, value)| [key, value]).collect();
    json!({
        "message": rows.message(row),
        "topic": rows.topic(row),
        "received_at": rfc3339(rows.received_at(row)),
        "client_id": rows.client_id(row),
        "stage": rows.stage(row),
        "reason": rows.reason(row),
        "schema": rows.schema(row),
        "schema_version": rows.schema_version(row),
        "replays": rows.replays(row),
        "replayed": replayed,
        "errors": errors.collect::<Value>(),
        "properties": properties,
        "payload": payload,
        "payload_as": encoding,
    })
}

fn lines(rows: &Quarantine<'_>, row: usize, replayed: bool, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "message {}", rows.message(row))?;
    let mut line = |name: &str, text: &str| writeln!(out, "    {name:<12} {}", plain(text));
    line("topic", rows.topic(row))?;
    line("received_at", &rfc3339(rows.received_at(row)))?;
    line("client_id", rows.client_id(row))?;
    line("refused by", &format!("{}: {}", rows.stage(row), rows.reason(row)))?;
    if let Some(schema) = schema(rows, row) {
        line("schema", &schema)?;
    }
    match (rows.replays(row), replayed) {
        (0, false) => {}
        (0, true) => line("replayed", "since")?,
        (times, false) => line("replayed", &format!("{times} times, and refused again"))?,
        (times, true) => line("replayed", &format!("{times} times, refused again, and replayed since"))?,
    }
    for (key, value) in rows.properties(row) {
        line("property", &format!("{key}: {value}"))?;
    }
    for fault in rows.errors(row) {
        let place = if fault.pointer.is_empty() { "the whole" } else { fault.pointer.as_str() };
        line("error", &format!("{place}: {}: {}", fault.keyword, fault.message))?;
    }
    let (text, encoding) = payload(rows.payload(row));
    line("payload", &format!("{} bytes, as {encoding}", rows.payload(row).len()))?;
    // Lines that a device has sent stay lines; everything else that steers a terminal is written out.
    text.split('\n').try_for_each(|text| writeln!(out, "        {}", plain(text)))
}

/// A payload that can be shown, and what it is shown as.
fn payload(bytes: &[u8]) -> (String, &'static str) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), "text"),
        Err(_) => {
            let hex = bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut hex, byte| {
                // A string takes whatever is written.
                let _written = write!(hex, "{byte:02x}");
                hex
            });
            (hex, "hex")
        }
    }
}
