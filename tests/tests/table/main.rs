//! The table of a topology, on a server that stands in for DynamoDB: state of lanes, and the intents of store.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

mod intents;
mod making;
mod objects;
mod outbox;
mod server;
mod state;
mod store;
