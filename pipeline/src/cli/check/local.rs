//! What this machine has to have for a topology.

use std::path::Path;

use rustix::{
    fs::{Access, access},
    io::Errno,
};

use super::connect::Told;
use crate::{
    config::Config,
    process::{self, ProcessError, look_at_queues},
    queue::QueueError,
};

/// The data file of the embedded queues: one that is there is looked into, and left as it is.
pub(super) async fn data_file(config: &Config) -> Told {
    let told = directory("/data", "the queues", config.data());
    if !told.mistakes.is_empty() || !process::data_file(config).exists() {
        return told;
    }
    match look_at_queues(config).await {
        Ok(_) => told,
        Err(ProcessError::Queue(error @ QueueError::Lanes { .. })) => {
            Told::mistaken("/lanes", error.to_string())
        }
        Err(error) => Told::mistaken("/data", error.to_string()),
    }
}

/// Whether there is a directory for `what` that can be written, or could be made.
pub(super) fn directory(pointer: &str, what: &str, path: &Path) -> Told {
    let there = path.ancestors().find(|path| path.exists());
    let there = there.unwrap_or(Path::new("."));
    let (shown, at) = (path.display(), there.display());
    if !there.is_dir() {
        return Told::mistaken(
            pointer,
            format!("there can be no {shown}: {at} is no directory; name another"),
        );
    }
    match access(there, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) if there == path => Told::there(format!("{what} in {shown}: the directory can be written")),
        Ok(()) => Told::there(format!("{what} in {shown}: the directory is made at the first start")),
        Err(error) => {
            Told::mistaken(pointer, format!("{}; {}", cannot(&at.to_string(), error), way_out(error)))
        }
    }
}

fn cannot(directory: &str, error: Errno) -> String {
    format!("this user cannot write to {directory}: {error}")
}

fn way_out(error: Errno) -> &'static str {
    match error {
        Errno::ROFS => "its file system is mounted read-only; name another directory",
        _ => "give it the right to, run as another user, or name another directory",
    }
}
