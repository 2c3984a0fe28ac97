//! What the tests of whole programs share: child processes, places for them to work in, and readers of the lake
//! that are not ours.
//!
//! Whatever fails here panics: these are parts of tests.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

pub mod bench;
mod child;
pub mod clients;
mod console;
mod disk;
mod gate;
pub mod inject;
pub mod lake;
mod ministack;
mod mosquitto;
pub mod page;
pub mod rig;
mod s3;
mod site;
mod webhook;

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

pub use self::{
    child::{Child, Ended},
    console::Console,
    disk::Disk,
    gate::{Fate, Gate},
    ministack::{Ministack, REGION},
    mosquitto::Mosquitto,
    s3::{S3, below},
    site::{Site, program},
    webhook::{Answer, Post, Stream as WebhookStream, Webhook},
};

/// How long anything may take that is to happen, also on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How long to wait before looking again.
const POLL: Duration = Duration::from_millis(20);

/// Looks until `condition` holds.
///
/// # Panics
/// When it does not within [`PATIENCE`].
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        sleep(POLL);
    }
}
