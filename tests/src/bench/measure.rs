//! What a process has taken: CPU, memory, time.

use std::{
    fs,
    thread::sleep,
    time::{Duration, Instant},
};

use crate::{Child, Ended};

/// How closely ends are seen.
const POLL: Duration = Duration::from_millis(2);
/// Every how many of them memory is looked at: its peak stays, but not beyond the end.
const POLLS_FOR_MEMORY: u32 = 20;
/// How long anything may go on: messages of hours on a slow machine.
const PATIENCE: Duration = Duration::from_secs(2 * 3600);

/// What came of a process, and what it took.
pub(super) struct Spent {
    /// User and system time of all its threads.
    pub(super) cpu: Duration,
    /// The most memory at once, in bytes.
    pub(super) peak: u64,
    /// When it ended.
    pub(super) at: Instant,
    pub(super) ended: Ended,
}

/// Waits until a process ends by itself, with exit code 0.
pub(super) fn until_ended(child: Child) -> Spent {
    let deadline = Instant::now() + PATIENCE;
    let mut peak = 0;
    let mut polls = 0;
    while !child.is_over() {
        if polls % POLLS_FOR_MEMORY == 0 {
            peak = child.memory_peak_if_alive().unwrap_or(peak);
        }
        polls += 1;
        assert!(Instant::now() < deadline, "a process did not end within {PATIENCE:?}");
        sleep(POLL);
    }
    let at = Instant::now();
    let cpu = cpu(&child);
    Spent { cpu, peak, at, ended: child.ended().well() }
}

/// User and system time of a process so far, also of one that has just ended.
fn cpu(child: &Child) -> Duration {
    let path = format!("/proc/{}/stat", child.id());
    let stat = fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {path}: {error}"));
    // The name of the program comes before it, in brackets, and may hold anything: proc_pid_stat(5).
    let (_, fields) = stat.rsplit_once(") ").expect("a name in brackets");
    let ticks: u64 =
        fields.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().expect("ticks")).sum();
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// CPU time of the threads that a process has now: finer than its ticks, but without threads that have ended.
pub(super) fn cpu_of_threads(child: &Child) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{}/task", child.id())).expect("it lives");
    let spent = tasks.flatten().filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(spent.sum())
}

/// Waits until `condition` holds, and looks every few milliseconds.
pub(super) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        sleep(10 * POLL);
    }
}

/// Microseconds of CPU for each of `count`.
pub(super) fn micros_for_each(cpu: Duration, count: u64) -> f64 {
    cpu.as_secs_f64() * 1e6 / count as f64
}

/// Bytes in MiB.
pub(super) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
