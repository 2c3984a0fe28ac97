//! The books of a topology whose queues keep none, held against the lake.
//!
//! A commit in steps counts with the state. Where there is state, a frame counts once, whoever dies when. A stage
//! without state counts a frame again if somebody dies after that and before it is settled; none goes uncounted.

use std::path::Path;

use serde_json::Value;

use super::{reader::count, round::number};
use crate::Site;

/// Nothing is there that was not counted, and nothing was counted twice where that is promised.
///
/// # Panics
/// When it is not so.
pub(super) fn check(site: &Site, lake: &Path) {
    let books = site.queues()["books"].take();
    let rows = |dataset: &str| count(&lake.join(dataset));
    let taken = |stage: &str| -> u64 {
        ["consumed", "quarantined", "repeated", "filtered"].iter().map(|what| of(&books, stage, what)).sum()
    };
    let produced = |stage: &str| of(&books, stage, "produced");
    let [readings, aggregates, alerts, quarantine] =
        ["readings", "aggregates", "alerts", "quarantine"].map(rows);
    let all = readings + aggregates + alerts + quarantine;
    assert_eq!(taken("store"), all, "rows that store took, and those in the lake: {books:#}");
    assert_eq!(taken("alert"), readings, "rows that alert took, and readings: {books:#}");
    assert_eq!(produced("analyze"), readings + aggregates, "rows that analyze made: {books:#}");
    assert_eq!(produced("alert"), readings + alerts, "rows that alert made: {books:#}");
    assert!(produced("transform") >= taken("analyze"), "analyze took what nobody made: {books:#}");
    assert!(produced("validate") > 0 && taken("transform") > 0, "{books:#}");
}

fn of(books: &Value, stage: &str, what: &str) -> u64 {
    number(&books[stage], what)
}
