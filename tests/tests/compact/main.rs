//! Small files become large ones while somebody writes, somebody reads, and processes are killed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod by_hand;
mod killed;
mod reader;
mod writer;
