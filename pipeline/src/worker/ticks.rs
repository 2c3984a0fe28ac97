//! Tells the lanes of analyze how far time has come, so that silence is noticed.

#[cfg(test)]
mod tests;

use std::{collections::VecDeque, time::Duration};

use chrono::Utc;
use stages::frame::{Frame, FrameError, Lane, Micros};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tracing::{info, warn};

use crate::{
    error::Class,
    queue::{EncodedFrame, Publish, QueueError, QueueName, Queues},
};

/// How long a message may take from its receipt into the queue of validate, beside the time that ingest lets
/// messages gather: a commit, and a database that is busy for a moment.
const INGEST: Duration = Duration::from_secs(1);
/// How long a tick may take to be published. One that finds the queue full is left out.
const PUBLISH: Duration = Duration::from_secs(1);
/// How many looks are remembered while transform has a backlog: an hour at the shortest.
const LOOKS_MAX: usize = 3600;

/// When ticks are published, and where.
#[derive(Debug, Clone)]
pub struct TickOptions {
    /// How many lanes the queues have.
    pub lanes: u16,
    /// How far the instants of ticks are apart.
    pub every: Duration,
    /// How long after the start the first one comes.
    pub grace: Duration,
    /// How long ingest lets messages gather.
    pub linger: Duration,
}

/// Publishes ticks to every lane of the queue of analyze; one per process that runs this stage.
///
/// Instants are whole multiples of `every`, so that several processes make the same frames.
pub struct Ticker {
    queues: Queues,
    options: TickOptions,
    progress: Progress,
    /// The instant of the last tick.
    last: Micros,
    stop: watch::Receiver<bool>,
}

/// Why there was no tick.
#[derive(Debug, thiserror::Error)]
enum TickError {
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    Frame(#[from] FrameError),
}

impl Ticker {
    /// A ticker that works until `stop` turns true.
    pub fn new(queues: Queues, options: TickOptions, stop: watch::Receiver<bool>) -> Self {
        let margin = micros(INGEST.saturating_add(options.linger));
        Self { queues, options, progress: Progress::new(margin), last: Micros::MIN, stop }
    }

    /// Publishes ticks until it is told to stop.
    ///
    /// # Errors
    /// Only what will not work again in this process.
    pub async fn run(mut self) -> Result<(), QueueError> {
        let (mut wait, mut failing) = (self.options.grace, false);
        loop {
            tokio::select! {
                () = sleep(wait) => {}
                // Also when nobody is left who could tell it to stop.
                _ = self.stop.wait_for(|stop| *stop) => return Ok(()),
            }
            wait = self.options.every;
            match self.tick().await {
                Ok(()) if failing => {
                    info!("time is told again");
                    failing = false;
                }
                Ok(()) => {}
                Err(TickError::Queue(error)) if error.class() == Class::Fatal => return Err(error),
                Err(error) if !failing => {
                    warn!(%error, "cannot tell the time: windows of silent devices wait; it is tried again");
                    failing = true;
                }
                Err(_) => {}
            }
        }
    }

    /// Publishes a tick, if time has come on by one and none waits yet.
    async fn tick(&mut self) -> Result<(), TickError> {
        let every = micros(self.options.every).max(1);
        let reached = self.look().await?;
        let instant = reached.div_euclid(every).saturating_mul(every);
        if instant <= self.last || self.lags().await? {
            return Ok(());
        }
        let lanes = (0..self.options.lanes).map(Lane);
        let frames = lanes.map(|lane| EncodedFrame::of(&Frame::tick(lane, instant)));
        let entries = frames.map(|frame| Ok(Publish { queue: QueueName::Analyze, frame: frame? }));
        let entries = entries.collect::<Result<_, FrameError>>()?;
        // While the queue is full this would wait: then the next tick tells more.
        if let Ok(answers) = timeout(PUBLISH, self.queues.publish(entries)).await {
            answers.into_iter().collect::<Result<(), _>>()?;
            self.last = instant;
        }
        Ok(())
    }

    /// Whether what waits for analyze has waited for longer than a tick does: a tick more would tell it nothing, and
    /// would wait as long.
    async fn lags(&self) -> Result<bool, QueueError> {
        let waiting = self.queues.depth(QueueName::Analyze).await?.oldest_age;
        Ok(waiting.is_some_and(|age| age > self.options.every))
    }

    /// Looks how far time has come.
    async fn look(&mut self) -> Result<Micros, QueueError> {
        let began_at = now();
        let validate = self.oldest(QueueName::Validate).await?;
        let seen_at = now();
        let transform = self.oldest(QueueName::Transform).await?;
        Ok(self.progress.look(Look { began_at, validate, seen_at, transform }))
    }

    /// When the oldest frame in a queue was published; rather too early than too late.
    async fn oldest(&self, queue: QueueName) -> Result<Option<Micros>, QueueError> {
        let asked_at = now();
        let age = self.queues.depth(queue).await?.oldest_age;
        Ok(age.map(|age| asked_at.saturating_sub(micros(age))))
    }
}

/// What the queues before analyze hold.
#[derive(Debug, Clone, Copy)]
struct Look {
    /// When the look began.
    began_at: Micros,
    /// When the oldest frame in validate was published there.
    validate: Option<Micros>,
    /// When validate had been looked into.
    seen_at: Micros,
    /// When the oldest frame in transform was published there.
    transform: Option<Micros>,
}

/// How far time has come for analyze: all messages received before then are in its queue or behind it.
///
/// A frame in transform tells when it came there, not when its messages were received. So time comes on in two
/// steps: a look tells what has left validate by now, and once nothing is left in transform that was there at that
/// time, it has left transform too.
#[derive(Debug)]
struct Progress {
    /// How long a message may be on its way into validate.
    margin: Micros,
    /// Of past looks: when, and up to which receipt all had left validate.
    validated: VecDeque<(Micros, Micros)>,
    reached: Micros,
}

impl Progress {
    fn new(margin: Micros) -> Self {
        Self { margin, validated: VecDeque::new(), reached: Micros::MIN }
    }

    /// How far time has come; it never goes back.
    fn look(&mut self, look: Look) -> Micros {
        let oldest = look.validate.map_or(look.began_at, |oldest| oldest.min(look.began_at));
        if self.validated.len() < LOOKS_MAX {
            self.validated.push_back((look.seen_at, oldest.saturating_sub(self.margin)));
        }
        while let Some((seen_at, validated)) = self.validated.front()
            && look.transform.is_none_or(|oldest| *seen_at < oldest)
        {
            self.reached = self.reached.max(*validated);
            self.validated.pop_front();
        }
        self.reached
    }
}

fn now() -> Micros {
    Utc::now().timestamp_micros()
}

fn micros(duration: Duration) -> Micros {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
