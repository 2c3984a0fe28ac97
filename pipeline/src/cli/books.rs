//! The books, for people and for programs.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use serde_json::{Map, Value, json};
use stages::plan::Counts;

use crate::{process::Part, quarantine};

/// The counts of each stage, by its name.
pub(super) type Books = BTreeMap<String, Counts>;

/// One object, a key per stage.
pub(super) fn json(books: &Books) -> Value {
    let entry = |counts: &Counts| {
        let Counts { consumed, quarantined, repeated, filtered, produced, late } = counts;
        json!({
            "consumed": consumed,
            "quarantined": quarantined,
            "repeated": repeated,
            "filtered": filtered,
            "produced": produced,
            "late": late,
        })
    };
    Value::Object(books.iter().map(|(stage, counts)| (stage.clone(), entry(counts))).collect::<Map<_, _>>())
}

/// One line per stage, in the order of the way of a reading.
pub(super) fn table(books: &Books, out: &mut impl Write) -> io::Result<()> {
    let cells = ["consumed", "quarantined", "repeated", "filtered", "produced", "late"];
    write!(out, "{:<10}", "stage")?;
    for cell in cells {
        write!(out, " {cell:>11}")?;
    }
    writeln!(out)?;
    for stage in Part::ALL.into_iter().map(Part::as_str).chain([quarantine::STAGE]) {
        let Some(counts) = books.get(stage) else { continue };
        let Counts { consumed, quarantined, repeated, filtered, produced, late } = counts;
        write!(out, "{stage:<10}")?;
        for cell in [consumed, quarantined, repeated, filtered, produced, late] {
            write!(out, " {cell:>11}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}
