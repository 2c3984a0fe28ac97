use std::{fmt, sync::Arc, time::Duration};

use stages::frame::Micros;

use crate::clock;

/// No stage puts a frame off for longer.
pub(crate) const PUT_OFF_MAX: Duration = Duration::from_secs(60);

/// Limits and times of the embedded engine.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// How many lanes there are; fixed when the queues are created.
    pub lanes: u16,
    /// How long a delivery is leased for.
    pub lease: Duration,
    /// The longest for which a frame is put off. What is held for longer than this and a lease was held by a clock
    /// that was ahead.
    pub put_off_max: Duration,
    /// Bytes in a queue above which publishers to it wait.
    pub queue_bytes_max: u64,
    /// Bytes in the queue `notify` above which its oldest frames become dead letters.
    pub notify_bytes_max: u64,
    /// Bytes of dead letters of `notify` above which the oldest are dropped.
    pub notify_dead_bytes_max: u64,
    /// The largest frame that is taken.
    pub frame_bytes_max: usize,
    /// For how long a frame id that is published again adds nothing; zero remembers none.
    pub dedupe_window: Duration,
    /// How many attempts are counted for lost leases before the engine gives a frame up.
    pub max_attempts: u32,
    /// What leases, retries and the dedupe window are measured by.
    pub clock: Clock,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            lanes: 4,
            lease: Duration::from_secs(30),
            put_off_max: PUT_OFF_MAX,
            queue_bytes_max: 4 << 30,
            notify_bytes_max: 64 << 20,
            notify_dead_bytes_max: 64 << 20,
            frame_bytes_max: 8 << 20,
            dedupe_window: Duration::from_secs(300),
            max_attempts: 5,
            clock: Clock::default(),
        }
    }
}

/// Tells the time: the system's, unless a test brings its own.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Micros + Send + Sync>);

impl Clock {
    /// A clock that shows what `now` answers.
    pub fn new(now: impl Fn() -> Micros + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    pub(super) fn now(&self) -> Micros {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new(clock::now)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}
