//! Tells the lanes of analyze how far time has come, so that silence is noticed.

mod flow;
mod progress;
#[cfg(test)]
mod tests;

use std::time::Duration;

use stages::frame::{Frame, FrameError, Lane, Micros};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tracing::{info, warn};

pub use self::flow::Flow;
use self::{
    flow::Passed,
    progress::{Look, Progress},
};
use crate::{
    clock::{micros, now},
    error::Class,
    queue::{EncodedFrame, Publish, QueueError, QueueName, Queues},
};

/// How long a message may take from its receipt into the queue of validate, beside the time that ingest lets
/// messages gather: a commit, and a database that is busy for a moment.
const INGEST: Duration = Duration::from_secs(1);
/// How long a tick may take to be published. One that finds the queue full is left out.
const PUBLISH: Duration = Duration::from_secs(1);
/// After so many instants without a tick the time before the next one was no silence of devices: the process or the
/// database stood still, or nothing was taken in.
const MISSED_MAX: i64 = 4;

/// When ticks are published, and where.
#[derive(Debug, Clone)]
pub struct TickOptions {
    /// How many lanes the queues have.
    pub lanes: u16,
    /// How far the instants of ticks are apart.
    pub every: Duration,
    /// How long devices have to come back before the first one, and before the next one after a standstill.
    pub grace: Duration,
    /// How long ingest lets messages gather.
    pub linger: Duration,
    /// How far time stays behind what comes to analyze, where queues tell no ages.
    pub hold: Duration,
}

impl TickOptions {
    /// How long a message may be on its way before it is durable.
    fn margin(&self) -> Micros {
        micros(INGEST.saturating_add(self.linger))
    }
}

/// Tells an instant such that all messages received before are durable; none while no messages are taken.
type Intake = Box<dyn Fn() -> Option<Micros> + Send + Sync>;

/// Publishes ticks to every lane of the queue of analyze; one per process that runs this stage.
///
/// Instants are whole multiples of `every`, so that several processes make the same frames.
pub struct Ticker {
    queues: Queues,
    options: TickOptions,
    ingest: Option<Intake>,
    flow: Flow,
    progress: Progress,
    passed: Passed,
    /// When the clock was last looked at.
    turned_at: Micros,
    /// The instant of the last tick.
    last: Micros,
    /// When time was last told, or would have been but for the grace.
    went_at: Micros,
    /// Until when devices may come back.
    grace_until: Micros,
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
        Self {
            queues,
            ingest: None,
            flow: Flow::default(),
            progress: Progress::new(options.margin()),
            passed: Passed::new(micros(options.hold)),
            options,
            turned_at: Micros::MIN,
            last: Micros::MIN,
            went_at: Micros::MIN,
            grace_until: Micros::MIN,
            stop,
        }
    }

    /// Has it ask the intake of this process: an instant such that all messages received before are durable; none while
    /// no messages are taken. Of an intake in another process it knows only what that has published.
    #[must_use]
    pub fn behind(self, ingest: impl Fn() -> Option<Micros> + Send + Sync + 'static) -> Self {
        Self { ingest: Some(Box::new(ingest)), ..self }
    }

    /// Has it go by the frames that come to the workers of analyze in this process, where queues tell no ages.
    #[must_use]
    pub fn hearing(self, flow: Flow) -> Self {
        Self { flow, ..self }
    }

    /// Publishes ticks until it is told to stop.
    ///
    /// # Errors
    /// Only what will not work again in this process.
    pub async fn run(mut self) -> Result<(), QueueError> {
        let (mut wait, mut failing) = (Duration::ZERO, false);
        loop {
            tokio::select! {
                biased;
                // Also when nobody is left who could tell it to stop.
                _ = self.stop.wait_for(|stop| *stop) => return Ok(()),
                () = sleep(wait) => {}
            }
            match self.turn(now()).await {
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
            wait = self.pause(now());
        }
    }

    /// How long to wait before the next turn: to the next instant, or to the end of the grace if that comes first.
    fn pause(&self, now: Micros) -> Duration {
        let grace = u64::try_from(self.grace_until.saturating_sub(now)).unwrap_or_default();
        match Duration::from_micros(grace) {
            Duration::ZERO => self.options.every,
            grace => grace.min(self.options.every),
        }
    }

    /// Publishes a tick, if there is one to be told and devices have had the time to come back.
    async fn turn(&mut self, now: Micros) -> Result<(), TickError> {
        if now < self.turned_at.saturating_sub(micros(self.options.every)) {
            self.begin_anew();
        }
        self.turned_at = now;
        let Some(instant) = self.due().await? else { return Ok(()) };
        if now.saturating_sub(self.went_at) > self.missed_max() {
            self.grace_until = now.saturating_add(micros(self.options.grace));
        }
        if now < self.grace_until || self.tell(instant).await? {
            self.went_at = now;
        }
        Ok(())
    }

    /// After how long without a tick it was no silence of devices.
    fn missed_max(&self) -> Micros {
        let missed = micros(self.options.every).saturating_mul(MISSED_MAX);
        // Elsewhere time may stand still for want of counts, and its instants are as long ago as devices have to come back.
        let hold = if self.tells_ages() { 0 } else { micros(self.options.hold) };
        missed.saturating_add(hold)
    }

    fn tells_ages(&self) -> bool {
        self.queues.capabilities().tells_ages
    }

    /// The clock was put back: what was seen and told by it is no measure any more, or nothing would be told until
    /// it comes there again. Devices that were heard meanwhile have that in their state.
    fn begin_anew(&mut self) {
        warn!("the clock was put back: silent devices are looked for anew");
        self.progress = Progress::new(self.options.margin());
        self.passed = Passed::new(micros(self.options.hold));
        self.flow.take();
        (self.last, self.went_at, self.grace_until) = (Micros::MIN, Micros::MIN, Micros::MIN);
    }

    /// The instant of the next tick, if time has come on by one and none waits yet.
    async fn due(&mut self) -> Result<Option<Micros>, TickError> {
        let Some(reached) = self.look().await? else {
            // What devices sent meanwhile is still to come.
            self.went_at = Micros::MIN;
            return Ok(None);
        };
        let every = micros(self.options.every).max(1);
        let instant = reached.div_euclid(every).saturating_mul(every);
        let due = instant > self.last && !self.lags().await?;
        Ok(due.then_some(instant))
    }

    /// Publishes a tick; false if there is no room for it.
    async fn tell(&mut self, instant: Micros) -> Result<bool, TickError> {
        let lanes = (0..self.options.lanes).map(Lane);
        let frames = lanes.map(|lane| EncodedFrame::of(&Frame::tick(lane, instant)));
        let entries = frames.map(|frame| Ok(Publish { queue: QueueName::Analyze, frame: frame? }));
        let entries = entries.collect::<Result<_, FrameError>>()?;
        // While the queue is full this would wait: then the next tick tells more.
        let Ok(answers) = timeout(PUBLISH, self.queues.publish(entries)).await else { return Ok(false) };
        answers.into_iter().collect::<Result<(), _>>()?;
        self.last = instant;
        Ok(true)
    }

    /// Whether what waits for analyze has waited for longer than a tick does: a tick more would tell it nothing, and
    /// would wait as long. Where queues tell no ages nothing is left out: the lag of frames has more in it than this queue, and a
    /// tick costs there what it always does.
    async fn lags(&self) -> Result<bool, QueueError> {
        if !self.tells_ages() {
            return Ok(false);
        }
        let waiting = self.queues.depth(QueueName::Analyze).await?.oldest_age;
        Ok(waiting.is_some_and(|age| age > self.options.every))
    }

    /// Looks how far time has come; none while no messages are taken.
    async fn look(&mut self) -> Result<Option<Micros>, QueueError> {
        let began_at = now();
        let durable = self.ingest.as_ref().map_or(Some(began_at), |ingest| ingest());
        let ingested_at = now();
        if !self.tells_ages() {
            return self.hear(durable, ingested_at).await;
        }
        let validate = self.oldest(QueueName::Validate).await?;
        let validated_at = now();
        let transform = self.oldest(QueueName::Transform).await?;
        let Some(durable) = durable else { return Ok(None) };
        Ok(Some(self.progress.look(Look { durable, ingested_at, validate, validated_at, transform })))
    }

    /// When the oldest frame in a queue was published; rather too early than too late.
    async fn oldest(&self, queue: QueueName) -> Result<Option<Micros>, QueueError> {
        let asked_at = now();
        let age = self.queues.depth(queue).await?.oldest_age;
        Ok(age.map(|age| asked_at.saturating_sub(micros(age))))
    }

    /// The same as [`Ticker::look`] where queues tell no ages: by what comes to analyze, and in silence by counts, which are paid
    /// for.
    async fn hear(
        &mut self,
        durable: Option<Micros>,
        looked_at: Micros,
    ) -> Result<Option<Micros>, QueueError> {
        self.passed.hear(looked_at, self.flow.take());
        let Some(durable) = durable else { return Ok(None) };
        let dry = if self.passed.flows(looked_at) { None } else { Some(self.is_dry().await?) };
        let passed = self.passed.until(looked_at, dry);
        Ok(Some(self.progress.pass(durable, looked_at, passed)))
    }

    /// Whether nothing is on its way to analyze, as far as counts tell.
    async fn is_dry(&self) -> Result<bool, QueueError> {
        for queue in [QueueName::Validate, QueueName::Transform] {
            if self.queues.depth(queue).await?.frames > 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
