//! `millstream dead list`: how many there are, by queue and reason.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    process::ExitCode,
};

use serde_json::{Value, json};
use stages::frame::Micros;

use super::{Which, each, shown};
use crate::queue::{KeptLetter, QueueName, Queues};

/// Counts dead letters by queue and reason.
#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    which: Which,
    /// Only these letters.
    #[arg(value_name = "LETTER")]
    letters: Vec<i64>,
    /// List each letter.
    #[arg(long)]
    each: bool,
    /// Answer as one JSON object.
    #[arg(long)]
    json: bool,
}

/// Letters of one queue that were given up for the same reason.
#[derive(Debug, Default)]
struct Group {
    letters: u64,
    rows: u64,
    bytes: u64,
    oldest: Micros,
    newest: Micros,
    /// The number of the newest.
    letter: i64,
}

impl Group {
    fn add(&mut self, kept: &KeptLetter) {
        self.oldest = if self.letters == 0 { kept.died_at } else { self.oldest.min(kept.died_at) };
        self.newest = self.newest.max(kept.died_at);
        self.letters += 1;
        self.rows += kept.rows;
        self.bytes += kept.bytes;
        self.letter = self.letter.max(kept.letter);
    }
}

pub(super) async fn list(args: ListArgs, queues: &Queues, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let ListArgs { which, letters, each: list_each, json } = args;
    let mut groups: BTreeMap<(QueueName, String), Group> = BTreeMap::new();
    if json {
        write!(out, "{{")?;
    }
    // Letters are written as they are read: there may be millions.
    let mut opens = if json { r#""letters":["# } else { "" };
    each(queues, &which.filter(letters), |kept| {
        groups.entry((kept.queue, kind(&kept.reason))).or_default().add(&kept);
        if list_each && json {
            write!(out, "{opens}{}", letter(&kept))?;
            opens = ",";
        } else if list_each {
            line(&kept, out)?;
        }
        Ok(())
    })
    .await?;
    if json {
        let groups: Vec<Value> =
            groups.iter().map(|((queue, reason), group)| entry(*queue, reason, group)).collect();
        let none = if opens == "," { "" } else { opens };
        let letters = if list_each { format!("{none}],") } else { String::new() };
        writeln!(out, r#"{letters}"groups":{}}}"#, Value::from(groups))?;
    } else if groups.is_empty() {
        writeln!(out, "there are no such dead letters")?;
    } else if !list_each {
        table(&groups, out)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn line(kept: &KeptLetter, out: &mut impl Write) -> io::Result<()> {
    let KeptLetter { letter, queue, rows, bytes, attempts, reason, .. } = kept;
    let died = shown(kept.died_at);
    writeln!(out, "{letter}  {queue}  {died}  rows {rows}, bytes {bytes}, attempts {attempts}: {reason}")
}

fn table(groups: &BTreeMap<(QueueName, String), Group>, out: &mut impl Write) -> anyhow::Result<()> {
    writeln!(
        out,
        "{:<10} {:>7} {:>9} {:>11}  {:<24} {:<24} {:>7}  reason",
        "queue", "letters", "rows", "bytes", "oldest", "newest", "letter"
    )?;
    for ((queue, reason), group) in groups {
        let Group { letters, rows, bytes, letter, .. } = group;
        let (oldest, newest) = (shown(group.oldest / 1000 * 1000), shown(group.newest / 1000 * 1000));
        writeln!(
            out,
            "{:<10} {letters:>7} {rows:>9} {bytes:>11}  {oldest:<24} {newest:<24} {letter:>7}  {reason}",
            queue.as_str()
        )?;
    }
    Ok(())
}

fn entry(queue: QueueName, reason: &str, group: &Group) -> Value {
    json!({
        "queue": queue.as_str(),
        "reason": reason,
        "letters": group.letters,
        "rows": group.rows,
        "bytes": group.bytes,
        "oldest": shown(group.oldest),
        "newest": shown(group.newest),
        "letter": group.letter,
    })
}

/// A letter as programs read it.
pub(super) fn letter(kept: &KeptLetter) -> Value {
    json!({
        "letter": kept.letter,
        "queue": kept.queue.as_str(),
        "lane": kept.lane.0,
        "frame": kept.frame.to_string(),
        "rows": kept.rows,
        "bytes": kept.bytes,
        "attempts": kept.attempts,
        "published_at": shown(kept.published_at),
        "died_at": shown(kept.died_at),
        "reason": kept.reason,
    })
}

/// A reason without what differs from letter to letter: words with digits in them, such as ids and sizes.
fn kind(reason: &str) -> String {
    let word = |word: &str| {
        let letters = word.trim_end_matches(|letter: char| !letter.is_alphanumeric());
        let number = letters.contains(|letter: char| letter.is_ascii_digit());
        if number { word.replacen(letters, "#", 1) } else { word.to_owned() }
    };
    reason.split_inclusive(|letter: char| !letter.is_alphanumeric()).map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::kind;

    #[test]
    fn reasons_that_differ_in_numbers_alone_are_one() {
        let reason = |id: &str, bytes: u64| {
            format!("frame {id} of {bytes} bytes is over frame_bytes_max = 700: raise it")
        };
        assert_eq!(kind(&reason("0a1b", 800)), kind(&reason("9c8d", 12_345)));
        assert_eq!(kind(&reason("0a1b", 800)), "frame # of # bytes is over frame_bytes_max = #: raise it");
    }
}
