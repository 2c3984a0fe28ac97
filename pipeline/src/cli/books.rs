//! The books, for people and for programs.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use serde_json::{Map, Value, json};
use stages::plan::Counts;

use crate::{
    process::Part,
    quarantine,
    queue::{Account, Audit, Balance},
};

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

/// Where the rows are that entered each queue, and what is wrong if anything is.
pub(super) fn balance_json(audit: &Audit) -> Value {
    let entry = |balance: &Balance| {
        let Account { entered, waiting, dead, dropped, .. } = balance.account;
        json!({
            "entered": entered,
            "waiting": waiting,
            "dead": dead,
            "dropped": dropped,
            "taken": balance.taken,
            "difference": balance.difference(),
        })
    };
    let stages: Map<_, _> =
        audit.balances.iter().map(|balance| (balance.stage.as_str().to_owned(), entry(balance))).collect();
    let mistakes = audit.mistakes();
    json!({ "balanced": mistakes.is_empty(), "mistakes": mistakes, "stages": stages })
}

/// One line per stage: entered = waiting + dead + dropped + taken; then the verdict.
pub(super) fn balance(audit: &Audit, out: &mut impl Write) -> io::Result<()> {
    write!(out, "{:<10} {:>11}  ", "stage", "entered")?;
    for cell in ["= waiting", "+ dead", "+ dropped", "+ taken"] {
        write!(out, " {cell:>11}")?;
    }
    writeln!(out)?;
    for Balance { stage, account, taken, .. } in &audit.balances {
        let Account { entered, waiting, dead, dropped, .. } = account;
        write!(out, "{:<10} {entered:>11}  ", stage.as_str())?;
        for cell in [waiting, dead, dropped, taken] {
            write!(out, " {cell:>11}")?;
        }
        writeln!(out)?;
    }
    writeln!(out)?;
    let mistakes = audit.mistakes();
    if mistakes.is_empty() {
        return writeln!(out, "the books balance");
    }
    writeln!(out, "the books do not balance")?;
    mistakes.iter().try_for_each(|mistake| writeln!(out, "  {mistake}"))
}
