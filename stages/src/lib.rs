//! Every decision Millstream takes about telemetry, as pure functions.
//!
//! A *frame* (an Arrow record batch of many rows, with a header) and the state of its *lane* go into
//! a [`stage`], frames come out. Nothing here knows a file, a socket, a clock, a thread or a random
//! number: the same frame on the same state gives the same plan, today and after a crash. The
//! `millstream` crate carries frames between stages and keeps their state.

pub mod alert;
pub mod analyze;
pub mod frame;
pub mod hop;
mod json;
pub mod payload;
pub mod plan;
mod refused;
pub mod replay;
pub mod stage;
pub mod store;
pub mod topic;
pub mod transform;
pub mod validate;
