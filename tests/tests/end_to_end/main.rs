//! From devices to Parquet through the programs as users run them, read with a tool that is not ours.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod aggregates;
mod backlog;
mod books;
mod console;
mod dead;
mod groups;
mod lake_trouble;
mod notify;
mod payloads;
mod quarantine;
mod reload;
mod replay;
mod sleeping;
mod stages;
mod stopping;
mod way_back;

/// The defaults, but rows are in the lake within a second.
const QUICK: &str = "store: { age_secs: 1, age_secs_max: 1 }\n";
