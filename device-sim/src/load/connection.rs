//! One client: its source, its session, and one network connection after the other.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::tcp::WriteHalf,
    sync::watch,
    time::sleep,
};

use super::{Ledger, Shared, Source, alive::Alive, feed::Feed};
use crate::{
    SimError,
    client::{
        codec::{self, Cursor, Decoder, Incoming},
        link::{self, Link, LinkError},
        session::{Output, Session},
    },
};

const READ_BYTES: usize = 16 * 1024;
/// How often the ledger is written.
const FLUSH_EVERY: Duration = Duration::from_secs(1);
const BACKOFF_MIN: Duration = Duration::from_millis(20);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Why a network connection ended.
enum End {
    /// All is sent and settled.
    Finished,
    /// Somebody said stop.
    Stopped,
    /// The connection broke.
    Lost(String),
}

/// A client of the load.
pub(super) struct Connection<S> {
    shared: Arc<Shared>,
    id: String,
    feed: Feed<S>,
    session: Session,
    ledger: Ledger,
    stopped: watch::Receiver<bool>,
    output: Output,
    /// How much of the output's bytes the socket has.
    written: usize,
    flushed_at: Instant,
}

impl<S: Source> Connection<S> {
    pub(super) fn new(
        shared: Arc<Shared>,
        number: u16,
        source: S,
        ledger: Ledger,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        let target = &shared.target;
        Self {
            id: format!("{}-{number}", target.client_prefix),
            session: Session::new(target.mqtt, target.qos, target.inflight),
            shared,
            feed: Feed::new(source),
            ledger,
            stopped,
            output: Output::default(),
            written: 0,
            flushed_at: Instant::now(),
        }
    }

    /// Publishes everything, over as many network connections as it takes.
    pub(super) async fn run(mut self) -> Result<(), SimError> {
        let result = self.keep_connected().await;
        self.shared.tally().left(self.session.unacknowledged().count() as u64);
        let flushed = self.flush_ledger().await;
        result.and(self.feed.into_result()).and(flushed)
    }

    async fn keep_connected(&mut self) -> Result<(), SimError> {
        let mut first = true;
        loop {
            let Some(link) = self.connect(first).await? else { return Ok(()) };
            if !first {
                self.shared.tally().reconnected();
            }
            first = false;
            match self.exchange(link).await? {
                End::Finished | End::Stopped => return Ok(()),
                End::Lost(reason) => self.shared.lost(&reason),
            }
        }
    }

    /// Tries until it succeeds; `None` if somebody said stop. Backoff doubles from 20 ms to a second.
    async fn connect(&mut self, first: bool) -> Result<Option<Link>, SimError> {
        // Whoever lost a connection has said so already.
        let mut said = !first;
        let mut backoff = BACKOFF_MIN;
        loop {
            let shared = Arc::clone(&self.shared);
            let attempt = async {
                if first {
                    link::open_fresh(&shared.target, &self.id).await
                } else {
                    link::open(&shared.target, &self.id, false).await
                }
            };
            let result = tokio::select! {
                result = attempt => result,
                () = said_stop(&mut self.stopped) => return Ok(None),
            };
            match result {
                Ok(link) => {
                    if said {
                        self.shared.regained();
                    }
                    return Ok(Some(link));
                }
                Err(LinkError::Never(error)) => return Err(error),
                Err(LinkError::Again(reason)) if !said => {
                    self.shared.lost(&reason);
                    said = true;
                }
                Err(LinkError::Again(_)) => {}
            }
            self.flush_ledger().await?;
            tokio::select! {
                () = sleep(backoff) => {}
                () = said_stop(&mut self.stopped) => return Ok(None),
            }
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// Sends and receives on one network connection until it ends.
    async fn exchange(&mut self, link: Link) -> Result<End, SimError> {
        let Link { mut stream, mut decoder, session_present, limits } = link;
        // Bytes that the last connection did not take are in the outbox as well.
        self.output.bytes.clear();
        self.written = 0;
        self.session.connected(session_present, limits, Instant::now(), &mut self.output);
        let mut alive = Alive::new(limits.keep_alive_secs);
        let (mut reader, mut writer) = stream.split();
        let mut input = vec![0; READ_BYTES];
        loop {
            self.feed.fill(&mut self.session, &mut self.ledger, &self.shared, &mut self.output);
            self.record_answers(Instant::now());
            if self.flush_is_due() {
                self.flush_ledger().await?;
            }
            if self.is_finished() {
                // The server learns it from the closed socket anyway.
                let farewell = codec::farewell(self.shared.target.mqtt).unwrap_or_default();
                let _ = writer.write_all(&farewell).await;
                let _ = writer.shutdown().await;
                return Ok(End::Finished);
            }
            let wake = self.wake_in(&alive);
            let happened = tokio::select! {
                read = reader.read(&mut input) => self.received(read, &input, &mut decoder, &mut alive)?,
                sent = write(&mut writer, &self.output.bytes, self.written),
                    if self.written < self.output.bytes.len() => self.sent(sent, &mut alive),
                () = sleep(wake) => alive.check(&mut self.output.bytes).err().map(End::Lost),
                () = said_stop(&mut self.stopped) => Some(End::Stopped),
            };
            if let Some(end) = happened {
                return Ok(end);
            }
        }
    }

    fn received(
        &mut self,
        read: std::io::Result<usize>,
        input: &[u8],
        decoder: &mut Decoder,
        alive: &mut Alive,
    ) -> Result<Option<End>, SimError> {
        let bytes = match read {
            Ok(0) => return Ok(Some(End::Lost("the server closed it".into()))),
            Ok(length) => input.get(..length).unwrap_or_default(),
            Err(error) => return Ok(Some(End::Lost(error.to_string()))),
        };
        let now = Instant::now();
        alive.heard_at = now;
        let mut bytes = Cursor::new(bytes);
        loop {
            match decoder.next(&mut bytes) {
                Ok(None) => return Ok(None),
                Ok(Some(Incoming::Ack { kind, id, reason })) => {
                    self.session.acknowledged(kind, id, reason, now, &mut self.output);
                }
                Ok(Some(Incoming::Disconnect { taken_over: true, .. })) => {
                    return Err(SimError::Broker {
                        broker: self.shared.target.broker.to_string(),
                        client: self.id.clone(),
                        reason:
                            "another client connected under the same identifier: give each its own --seed"
                                .into(),
                    });
                }
                Ok(Some(Incoming::Disconnect { reason, .. })) => {
                    return Ok(Some(End::Lost(format!("the server closed it: {reason}"))));
                }
                Ok(Some(_)) => {}
                Err(error) => return Ok(Some(End::Lost(format!("the server sent no valid MQTT: {error}")))),
            }
        }
    }

    fn sent(&mut self, sent: std::io::Result<usize>, alive: &mut Alive) -> Option<End> {
        match sent {
            Ok(length) => {
                alive.spoke_at = Instant::now();
                self.written += length;
                if self.written >= self.output.bytes.len() {
                    self.output.bytes.clear();
                    self.written = 0;
                }
                None
            }
            Err(error) => Some(End::Lost(error.to_string())),
        }
    }

    /// Hands what the session has settled to the ledger and the counters.
    fn record_answers(&mut self, now: Instant) {
        let output = &mut self.output;
        if output.settled.is_empty() && output.resent.is_empty() && output.stray == 0 {
            return;
        }
        if let Some(ledger) = &mut self.ledger {
            output.resent.iter().for_each(|n| ledger.resent(*n));
            output.settled.iter().for_each(|settled| ledger.settled(settled));
        }
        self.shared.tally().answered(output, now);
        output.settled.clear();
        output.resent.clear();
        output.stray = 0;
    }

    fn is_finished(&self) -> bool {
        self.feed.is_exhausted() && self.session.unsettled() == 0 && self.output.bytes.is_empty()
    }

    fn flush_is_due(&self) -> bool {
        self.ledger
            .as_ref()
            .is_some_and(|ledger| ledger.is_full() || self.flushed_at.elapsed() >= FLUSH_EVERY)
    }

    async fn flush_ledger(&mut self) -> Result<(), SimError> {
        self.record_answers(Instant::now());
        self.flushed_at = Instant::now();
        match &mut self.ledger {
            Some(ledger) => ledger.flush().await,
            None => Ok(()),
        }
    }

    /// How long nothing needs doing unless the socket wants something.
    fn wake_in(&self, alive: &Alive) -> Duration {
        let elapsed = self.shared.started.elapsed();
        let due = self.feed.due().filter(|_| self.session.has_room()).map(|due| due.saturating_sub(elapsed));
        FLUSH_EVERY.min(alive.ping_every).min(due.unwrap_or(FLUSH_EVERY))
    }
}

async fn said_stop(stopped: &mut watch::Receiver<bool>) {
    // Without a sender the load is gone, which says the same.
    let _ = stopped.wait_for(|stop| *stop).await;
}

async fn write(writer: &mut WriteHalf<'_>, bytes: &[u8], from: usize) -> std::io::Result<usize> {
    writer.write(bytes.get(from..).unwrap_or_default()).await
}
