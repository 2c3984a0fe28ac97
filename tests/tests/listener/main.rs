//! The MQTT endpoint, over real sockets and a real data file.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod acknowledging;
mod certificates;
mod clients;
mod doors;
mod ending;
mod exactly_once;
mod killed;
mod not_durable;
mod pressure;
mod raw;
mod refusing;
mod resending;
mod server;
mod sessions;
mod sharing;
mod starting;
mod tls;
mod users;
mod websocket;
mod websocket_client;
