//! The books of a topology whose queues keep none, held against the lake.
//!
//! A commit in steps counts with the state. Where there is state, a frame is consumed once, whoever dies when; its rows are
//! repeated ones when it comes again. A stage without state counts a frame again if somebody dies after that and before it is
//! settled; none goes uncounted.

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
    let (consumed, produced) = (|stage| of(&books, stage, "consumed"), |stage| of(&books, stage, "produced"));
    let [readings, aggregates, alerts, quarantine] =
        ["readings", "aggregates", "alerts", "quarantine"].map(rows);
    let all = readings + aggregates + alerts + quarantine;
    assert_eq!(consumed("store"), all, "rows that store took, and those in the lake: {books:#}");
    assert_eq!(consumed("alert"), readings, "rows that alert took, and readings: {books:#}");
    assert_eq!(produced("analyze"), readings + aggregates, "rows that analyze made: {books:#}");
    assert_eq!(produced("alert"), readings + alerts, "rows that alert made: {books:#}");
    assert!(produced("transform") >= consumed("analyze"), "analyze took what nobody made: {books:#}");
    assert!(produced("validate") > 0 && consumed("transform") > 0, "{books:#}");
}

fn of(books: &Value, stage: &str, what: &str) -> u64 {
    number(&books[stage], what)
}
