//! The ledger: what was sent and what was acknowledged, for [`verify`](crate::verify).
//!
//! JSON lines, appended. A header starts each run; the numbers of connections and publishes count within it:
//!
//! ```json
//! {"ledger":1,"client":"sim-42"}
//! {"conn":0,"n":1,"topic":"devices/dev-000000/telemetry","payload":"{…}"}
//! {"conn":0,"n":2,"topic":"devices/dev-000001/telemetry","payload":"{…}","faults":["late"]}
//! {"conn":0,"acked":[[1,2]]}
//! {"conn":0,"resent":[[2,2]]}
//! {"conn":0,"refused":[3],"reason":151}
//! ```
//!
//! | key | meaning |
//! |---|---|
//! | `conn` | number of the connection, from 0 |
//! | `n` | number of the publish on its connection, from 1 without gaps |
//! | `topic`, `payload` | what was published; the payload as text |
//! | `faults` | labels of what is wrong with it, `name` or `name:metric`; left out if nothing is |
//! | `acked` | ranges of `n`, both ends included, that PUBACK or PUBREC has acknowledged |
//! | `resent` | ranges of `n` that went out again after a reconnect; a range counts once each time it is named |
//! | `refused`, `reason` | publishes that the server refused, with the reason code of MQTT 5 |
//!
//! A deliberate repetition is a publish of its own with the same topic and payload. The lines of a publish come
//! before those that speak of it. The file is written at least once a second; a simulator that is killed loses
//! what it had not written. Half a line at the end of the file is not read, and removed by the next run.

mod reader;
mod writer;

pub(crate) use reader::{Line, Reader};
pub(crate) use writer::{Book, Recorder};

/// The version of the format above.
const FORMAT: u32 = 1;

/// A range of publish numbers, both ends included.
pub(crate) type Range = (u64, u64);

/// Adds `n` to the end of `ranges`, widening the last where it is the next.
pub(crate) fn push(ranges: &mut Vec<Range>, n: u64) {
    match ranges.last_mut() {
        Some((_, end)) if *end + 1 == n => *end = n,
        _ => ranges.push((n, n)),
    }
}

#[cfg(test)]
mod tests;
