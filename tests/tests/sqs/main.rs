//! Millstream on SQS and DynamoDB, in one process and in many, as users run it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod canned;
mod commits;
mod compact;
mod connect;
mod killed;
mod large_states;
mod looks;
mod many;
mod place;
mod requests;
mod same_lake;
mod standard;
mod steps;
mod stores;
mod taken_over;
mod ticks;
mod trouble;
mod way_back;
mod workers;

/// The defaults, but rows are in the lake within a second.
const QUICK: &str = "store: { age_secs: 1, age_secs_max: 1 }\n";
