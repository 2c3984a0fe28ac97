//! A lake in an object store: whole files, each row once, whoever is killed, asleep or out of reach.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod asleep;
mod between;
mod compaction;
mod killed;
mod lost_answer;
mod out_of_reach;
mod place;
mod quarantine;
mod rows;
mod starting;
mod whole;
