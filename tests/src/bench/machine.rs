//! What was measured on.

use std::{env, fs, thread::available_parallelism};

use rustix::system::uname;
use serde_json::{Value, json};

/// Cores, processor, kernel, and the file system that queues and lake were on.
pub(super) fn json() -> Value {
    let cores = available_parallelism().map_or(0, usize::from);
    let (name, kernel) = (cpu(), uname().release().to_string_lossy().into_owned());
    json!({ "cores": cores, "cpu": name, "memory_mib": memory_mib(), "kernel": kernel, "file_system": file_system() })
}

fn cpu() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    line.and_then(|line| line.split_once(": ")).map_or("unknown", |(_, name)| name).to_owned()
}

fn memory_mib() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let kib = text.lines().next()?.split_whitespace().nth(1)?.parse::<u64>().ok()?;
    Some(kib / 1024)
}

/// That of the directory for temporary files.
fn file_system() -> Option<String> {
    let directory = fs::canonicalize(env::temp_dir()).ok()?;
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    let of = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (place, kind) = (fields.next()?, fields.next()?);
        directory.starts_with(place).then(|| (place.len(), kind.to_owned()))
    });
    of.max_by_key(|(length, _)| *length).map(|(_, kind)| kind)
}
