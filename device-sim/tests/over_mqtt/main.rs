//! The simulator against a server on a real socket.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its server has failed")]

mod broker;
mod commands;
mod replay;
mod run;
