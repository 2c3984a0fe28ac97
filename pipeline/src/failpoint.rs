//! Moments at which a process of the crash tests dies or falls asleep: before and after whatever is durable.
//!
//! `fail_point!("NAME")` is nothing at all, unless the feature `failpoints` is on; release builds never have it. With
//! it, `MILLSTREAM_FAIL_POINT=NAME:HIT:kill` ends the process as SIGKILL does when it comes to NAME for the HITth
//! time, and `NAME:HIT:stop` puts it to sleep (SIGSTOP) until it gets SIGCONT.

/// A moment with a name.
macro_rules! fail_point {
    ($name:literal) => {
        #[cfg(feature = "failpoints")]
        fail::fail_point!($name);
    };
}
pub(crate) use fail_point;

/// Reads `MILLSTREAM_FAIL_POINT`.
///
/// # Errors
/// When it names no moment, hit or signal.
#[cfg(feature = "failpoints")]
pub(crate) fn arm() -> anyhow::Result<()> {
    use std::sync::atomic::{AtomicU64, Ordering};

    use anyhow::{Context, anyhow};
    use rustix::process::{Signal, getpid, kill_process};

    const VARIABLE: &str = "MILLSTREAM_FAIL_POINT";

    let Ok(wish) = std::env::var(VARIABLE) else { return Ok(()) };
    let wrong = || format!("{VARIABLE} is NAME:HIT:kill or NAME:HIT:stop, not {wish:?}");
    let mut parts = wish.split(':');
    let (name, hit, then) = (parts.next(), parts.next(), parts.next());
    let hit: u64 = hit.with_context(wrong)?.parse().with_context(wrong)?;
    let signal = match then {
        Some("kill") => Signal::KILL,
        Some("stop") => Signal::STOP,
        _ => return Err(anyhow!(wrong())),
    };
    let hits = AtomicU64::new(0);
    let reached = move || {
        if hits.fetch_add(1, Ordering::Relaxed) + 1 == hit {
            // It reaches everybody but the dead.
            let _sent = kill_process(getpid(), signal);
        }
    };
    fail::cfg_callback(name.with_context(wrong)?, reached).map_err(|error| anyhow!(error))
}
