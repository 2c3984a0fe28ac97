//! Keep-alive of one network connection.

use std::time::{Duration, Instant};

use crate::client::{KEEP_ALIVE_SECS, codec};

/// A server that is silent for so long, although it was asked, is given up. Long: under backpressure it may not read.
const SILENCE_MAX: Duration = Duration::from_secs(120);

/// When either side was last heard.
pub(super) struct Alive {
    /// How long we may be silent.
    pub(super) ping_every: Duration,
    pub(super) spoke_at: Instant,
    pub(super) heard_at: Instant,
}

impl Alive {
    pub(super) fn new(keep_alive_secs: u16) -> Self {
        // Where the server never drops us, we still want to notice that it is gone.
        let secs = if keep_alive_secs == 0 { KEEP_ALIVE_SECS } else { keep_alive_secs };
        let now = Instant::now();
        Self { ping_every: Duration::from_secs(u64::from(secs)) / 2, spoke_at: now, heard_at: now }
    }

    /// Time has passed: adds a PINGREQ to `bytes` if nothing was written. An error if nothing was heard.
    pub(super) fn check(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
        if self.heard_at.elapsed() >= SILENCE_MAX {
            return Err(format!("the server was silent for {} s", SILENCE_MAX.as_secs()));
        }
        if bytes.is_empty() && self.spoke_at.elapsed() >= self.ping_every {
            bytes.extend_from_slice(&codec::pingreq());
        }
        Ok(())
    }
}
