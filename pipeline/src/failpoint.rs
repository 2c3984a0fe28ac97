//! Moments at which a process of the crash tests dies or falls asleep: before and after whatever is durable.
//!
//! `fail_point!("NAME")` is nothing at all, unless the feature `failpoints` is on; release builds never have it. With
//! it, `MILLSTREAM_FAIL_POINT=NAME:HIT:kill` ends the process as SIGKILL does when it comes to NAME for the HITth
//! time, and `NAME:HIT:stop` puts it to sleep (SIGSTOP) until it gets SIGCONT.

/// Who comes by a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passer {
    /// Whoever writes to the data file: everybody.
    Writer,
    /// The listener.
    Listener,
    /// The listener, with messages of QoS 1.
    ListenerQos1,
    /// The listener, with messages of QoS 2.
    ListenerQos2,
    /// The subscriber of a broker.
    Subscriber,
    /// A stage between two queues.
    Stage,
    /// A stage with state in the data file: analyze and alert.
    Stateful,
    /// The same with state in a table.
    TableStateful,
    /// The store worker.
    Store,
    /// The store worker, where its intents are in a table.
    TableStore,
    /// The store worker, where the lake is in a directory.
    Directory,
    /// Who delivers alerts.
    Notify,
    /// Whoever merges files of a lake in a directory: the process of the store worker, among others.
    Compactor,
    /// The store worker and compaction, where the lake is in an object store.
    Objects,
    /// The same, with files that are so large that they are sent in parts.
    LargeObjects,
    /// A stage, and whoever else commits, where queues are on SQS.
    Steps,
    /// `millstream quarantine replay`.
    Replay,
}

/// Every moment there is, and who comes by it.
pub const FAIL_POINTS: [(&str, Passer); 51] = [
    // A group commit: what is in it is in the log, but counts only once that is fsynced.
    ("commit_before", Passer::Writer),
    ("commit_after", Passer::Writer),
    // Around the commit that makes a session durable; CONNACK follows.
    ("session_before", Passer::Listener),
    ("session_after", Passer::Listener),
    // What an answer is for is durable; it is not yet, or already, written to the socket.
    ("puback_before", Passer::ListenerQos1),
    ("puback_after", Passer::ListenerQos1),
    ("pubrec_before", Passer::ListenerQos2),
    ("pubrec_after", Passer::ListenerQos2),
    ("pubcomp_before", Passer::ListenerQos2),
    ("pubcomp_after", Passer::ListenerQos2),
    ("subscriber_ack_before", Passer::Subscriber),
    ("subscriber_ack_after", Passer::Subscriber),
    // A run is planned, and its commit not handed in.
    ("step_before", Passer::Stage),
    // Inside the transaction in which a snapshot takes the place of deltas.
    ("snapshot_before", Passer::Stateful),
    ("snapshot_after", Passer::Stateful),
    // A snapshot is in the table, and no head points to it.
    ("table_snapshot", Passer::TableStateful),
    // A roll is in the table; it has claimed its frames, and is not open; it is done, and its frames are not settled.
    ("claim_before", Passer::TableStore),
    ("claim_after", Passer::TableStore),
    ("roll_done", Passer::TableStore),
    // A roll, in order; the directories are those of the linked files.
    ("intent_before", Passer::Store),
    ("intent_after", Passer::Store),
    ("file_created", Passer::Store),
    ("file_half", Passer::Store),
    ("fsync_before", Passer::Directory),
    ("fsync_after", Passer::Directory),
    ("link_before", Passer::Directory),
    ("link_after", Passer::Directory),
    ("directories_before", Passer::Directory),
    ("settle_before", Passer::Store),
    ("settle_after", Passer::Store),
    // An interrupted roll is resolved: its staging directory is taken away, but the data file does not say so yet.
    ("fence_after", Passer::Store),
    // Alerts are in hand and not sent; a webhook has answered, and nothing is settled.
    ("webhook_before", Passer::Notify),
    ("webhook_answered", Passer::Notify),
    // A merged file is written; the others are linked beside it; the two directories are exchanged; the old one goes.
    ("compact_write", Passer::Compactor),
    ("compact_link", Passer::Compactor),
    ("compact_exchange_before", Passer::Compactor),
    ("compact_exchange_after", Passer::Compactor),
    ("compact_remove", Passer::Compactor),
    // A file is complete and has no name; it has one. A large one is sent, and copied to its name in between.
    ("put_before", Passer::Objects),
    ("copy_before", Passer::LargeObjects),
    ("copy_after", Passer::LargeObjects),
    ("put_after", Passer::Objects),
    // The log says what is to be merged; the merged file is there, too; the others are gone.
    ("log_open", Passer::Objects),
    ("log_merged", Passer::Objects),
    ("log_removed", Passer::Objects),
    // A commit in steps: what it leads to is sent, its state is saved, its frames are settled.
    ("sqs_published", Passer::Steps),
    ("sqs_appended", Passer::Steps),
    ("sqs_settled", Passer::Steps),
    // Messages are published again, and remembered as such.
    ("replay_committed", Passer::Replay),
    // On SQS: they are claimed and not published; they are published, and the claim does not say so.
    ("replay_claimed", Passer::Replay),
    ("replay_published", Passer::Replay),
];

/// A moment with a name of [`FAIL_POINTS`].
macro_rules! fail_point {
    ($name:literal) => {
        #[cfg(feature = "failpoints")]
        {
            const { assert!(crate::failpoint::is_listed($name), "a fail point that FAIL_POINTS does not list") };
            fail::fail_point!($name);
        }
    };
}
pub(crate) use fail_point;

/// Whether `name` is one of [`FAIL_POINTS`].
#[cfg(feature = "failpoints")]
pub(crate) const fn is_listed(name: &str) -> bool {
    let mut index = 0;
    while index < FAIL_POINTS.len() {
        if is_same(FAIL_POINTS[index].0.as_bytes(), name.as_bytes()) {
            return true;
        }
        index += 1;
    }
    false
}

#[cfg(feature = "failpoints")]
const fn is_same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let mut index = 0;
    while index < one.len() {
        if one[index] != other[index] {
            return false;
        }
        index += 1;
    }
    true
}

/// Reads `MILLSTREAM_FAIL_POINT`.
///
/// # Errors
/// When it names no moment, hit or signal.
#[cfg(feature = "failpoints")]
pub(crate) fn arm() -> anyhow::Result<()> {
    use std::{
        sync::atomic::{AtomicU64, Ordering},
        thread::sleep,
        time::Duration,
    };

    use anyhow::{Context, anyhow};
    use rustix::process::{Signal, getpid, kill_process};

    const VARIABLE: &str = "MILLSTREAM_FAIL_POINT";
    /// A thread goes on for a moment after its process was told to stop.
    const STOPPING: Duration = Duration::from_millis(200);

    let Ok(wish) = std::env::var(VARIABLE) else { return Ok(()) };
    let wrong = || format!("{VARIABLE} is NAME:HIT:kill or NAME:HIT:stop, not {wish:?}");
    let mut parts = wish.split(':');
    let (name, hit, then) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    if !is_listed(name) {
        let names: Vec<_> = FAIL_POINTS.iter().map(|(name, _)| *name).collect();
        return Err(anyhow!("{VARIABLE}: there is no fail point {name:?}; there are {}", names.join(", ")));
    }
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
            sleep(STOPPING);
        }
    };
    fail::cfg_callback(name, reached).map_err(|error| anyhow!(error))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::FAIL_POINTS;

    fn sources(directory: &Path, texts: &mut Vec<String>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, texts);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                texts.push(fs::read_to_string(path).unwrap());
            }
        }
    }

    #[test]
    fn every_listed_moment_is_placed_once() {
        let mut texts = Vec::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut texts);
        for (name, _) in FAIL_POINTS {
            let place = format!("fail_point!(\"{name}\")");
            let places: usize = texts.iter().map(|text| text.matches(&place).count()).sum();
            assert_eq!(places, 1, "{place}");
        }
    }
}
