//! Millstream: telemetry from MQTT to Parquet, with nothing lost and nothing counted twice.
//!
//! This crate touches the world (sockets, SQLite, files, clocks) and takes no decision about
//! telemetry: those are pure functions in the `stages` crate.

#[cfg(feature = "sqs")]
pub mod aws;
pub mod cli;
mod clock;
pub mod config;
mod console;
pub mod database;
pub mod error;
pub mod failpoint;
pub mod ingest;
pub mod lake;
mod memory;
pub mod meter;
pub mod notify;
mod pause;
pub mod process;
pub mod quarantine;
pub mod queue;
pub mod reload;
pub mod route;
pub mod state;
pub mod worker;
