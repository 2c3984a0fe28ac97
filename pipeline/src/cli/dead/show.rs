//! `millstream dead show`: one dead letter, down to its rows.

use std::{fs, io::Write, path::PathBuf, process::ExitCode};

use anyhow::{Context, bail};
use serde_json::{Value, json};
use stages::frame::{self, Frame};

use super::{list, rows, shown};
use crate::queue::{KeptLetter, Queues};

/// Shows one dead letter: why it is one, its frame, and its rows.
#[derive(Debug, clap::Args)]
pub(super) struct ShowArgs {
    /// Its number.
    #[arg(value_name = "LETTER")]
    letter: i64,
    /// How many rows to show.
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    rows: usize,
    /// Write the frame, byte for byte, into this file: an Arrow IPC stream.
    #[arg(long, value_name = "FILE")]
    bytes: Option<PathBuf>,
    /// Answer as one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) async fn show(args: ShowArgs, queues: &Queues, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let Some((kept, bytes)) = queues.dead_letter(args.letter).await? else {
        bail!("there is no dead letter {}: `millstream dead list --each` tells which there are", args.letter);
    };
    if let Some(file) = &args.bytes {
        fs::write(file, &bytes).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let frame = frame::decode(&bytes).map_err(|error| error.to_string());
    if args.json {
        writeln!(out, "{}", json(&kept, &frame, args.rows))?;
    } else {
        text(&kept, &frame, args.rows, out)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn json(kept: &KeptLetter, frame: &Result<Frame, String>, wanted: usize) -> Value {
    let mut answer = list::letter(kept);
    answer["content"] = match frame {
        Ok(frame) => json!({
            "kind": frame.header.kind.as_str(),
            "created_at": shown(frame.header.created_at),
            "epoch": frame.header.epoch,
            "trace": frame.header.trace,
            "rows": rows::first(&frame.rows, wanted),
        }),
        Err(error) => json!({ "unreadable": error }),
    };
    answer
}

fn text(
    kept: &KeptLetter,
    frame: &Result<Frame, String>,
    wanted: usize,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let mut line = |name: &str, value: &dyn std::fmt::Display| writeln!(out, "{name:<10} {value}");
    line("letter", &kept.letter)?;
    line("queue", &kept.queue)?;
    line("reason", &kept.reason)?;
    line("attempts", &kept.attempts)?;
    line("published", &shown(kept.published_at))?;
    line("died", &shown(kept.died_at))?;
    line("frame", &kept.frame)?;
    line("lane", &kept.lane)?;
    line("bytes", &kept.bytes)?;
    line("rows", &kept.rows)?;
    match frame {
        Err(error) => line("unreadable", error)?,
        Ok(frame) => {
            line("kind", &frame.header.kind)?;
            line("created", &shown(frame.header.created_at))?;
            line("epoch", &frame.header.epoch)?;
            if let Some(trace) = &frame.header.trace {
                line("trace", trace)?;
            }
            for row in rows::first(&frame.rows, wanted) {
                writeln!(out, "{row}")?;
            }
            let more = frame.rows.num_rows().saturating_sub(wanted);
            if more > 0 {
                writeln!(out, "and {more} more: --rows {}", frame.rows.num_rows())?;
            }
        }
    }
    Ok(())
}
