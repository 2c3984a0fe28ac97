//! One MQTT connection, from its CONNECT to its end.

mod answers;
mod end;
mod greeting;
mod packets;

use std::{
    collections::{HashMap, VecDeque},
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use mqtt_protocol_core::mqtt::{Version, packet::v5_0};
use stages::frame::Micros;
use tokio::{io::Ready, sync::watch};

use self::{answers::Answer, end::End};
use super::{
    Phase,
    hello::Hello,
    listener::Shared,
    now,
    packer::{Sender, Slot},
    sessions::Session,
    window::Window,
    wire::{Read, Wire},
};

/// As many messages as packet ids can be outstanding; MQTT 3.1.1 knows no other limit.
const OUTSTANDING_MAX: usize = 65_535;

/// For connections without a keep-alive: long enough never to matter.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Serves the client behind `wire` until either side ends it.
pub(super) async fn serve(
    shared: Arc<Shared>,
    mut wire: Wire,
    peer: SocketAddr,
    mut phase: watch::Receiver<Phase>,
) {
    if let Some((hello, session)) = greeting::greet(&mut wire, &shared, peer, &mut phase).await {
        let connection = Connection::new(shared, wire, hello, session, peer);
        connection.run(&mut phase).await;
    } else {
        wire.close().await;
    }
}

/// What the client has outstanding of what it may: the state machine does not know of the plain packets.
#[derive(Default)]
struct Quota {
    outstanding: usize,
    /// A PUBACK has left by the state machine, which knows whether the client takes packets of that size.
    tried: bool,
}

struct Connection {
    shared: Arc<Shared>,
    wire: Wire,
    hello: Hello,
    session: Session,
    peer: SocketAddr,
    sender: Sender,
    window: Window,
    /// What is to be answered, in the order of receipt.
    awaiting: VecDeque<Answer>,
    quota: Quota,
    slots: HashMap<String, Slot>,
    /// When the socket was last read: once per read, since clocks cost.
    read_at: Instant,
    received_at: Micros,
    /// Whether the last read left nothing behind in the socket.
    drained: bool,
}

impl Connection {
    fn new(shared: Arc<Shared>, wire: Wire, hello: Hello, session: Session, peer: SocketAddr) -> Self {
        let told = match wire.version() {
            Version::V5_0 => usize::from(shared.options.receive_maximum),
            Version::V3_1_1 | Version::Undetermined => OUTSTANDING_MAX,
        };
        let mut sender = shared.packer.sender();
        for ticket in session.unreleased.values().flatten() {
            sender.follow(*ticket);
        }
        Self {
            sender,
            window: Window::new(told),
            awaiting: VecDeque::new(),
            quota: Quota::default(),
            slots: HashMap::new(),
            read_at: Instant::now(),
            received_at: now(),
            drained: true,
            shared,
            wire,
            hello,
            session,
            peer,
        }
    }

    async fn run(mut self, phase: &mut watch::Receiver<Phase>) {
        let end = self.converse(phase).await;
        self.report(&end);
        if let Some(code) = end.farewell()
            && self.wire.version() == Version::V5_0
            && let Ok(farewell) = v5_0::Disconnect::builder().reason_code(code).build()
        {
            // It cannot be sent twice, nor when the client takes only smaller packets; then it is just closed.
            let _said_or_too_large = self.wire.send(farewell);
        }
        // Before the session is written: nobody has to wait for that. What fails here fails in `close`.
        let _later = self.wire.flush();
        if end.publishes_will() {
            self.publish_will();
        }
        let expiry_secs = match end {
            End::Left { expiry_secs, .. } => expiry_secs,
            _ => None,
        };
        self.session.end(expiry_secs).await;
        self.wire.close().await;
    }

    /// Takes messages and acknowledges them until something ends that.
    async fn converse(&mut self, phase: &mut watch::Receiver<Phase>) -> End {
        let silence_max = self.hello.silence_max.unwrap_or(FOREVER);
        let mut heard_at = Instant::now();
        let timer = tokio::time::sleep(silence_max);
        tokio::pin!(timer);
        loop {
            let stopping = match &*phase.borrow_and_update() {
                Phase::Serving => false,
                Phase::Stopping => true,
                Phase::Failed(_) => return End::Stopping,
            };
            if let Err(end) = self.step(stopping) {
                return end;
            }
            let takes = !stopping && self.takes_more();
            let has_room = self.shared.packer.has_room();
            let reads = takes && has_room && !self.wire.has_unparsed();
            tokio::select! {
                biased;
                changed = phase.changed() => if changed.is_err() { return End::Stopping },
                () = self.session.taken_over() => return End::TakenOver,
                () = self.sender.settled() => if let Err(end) = self.answer() { return end },
                ready = self.wire.ready(reads), if reads || self.wire.has_unsent() => {
                    if let Err(end) = self.read(ready, reads) {
                        return end;
                    }
                }
                () = self.shared.packer.room(), if takes && !reads => {}
                () = &mut timer => {
                    // Who waits for us is not silent.
                    if !reads || !self.awaiting.is_empty() {
                        heard_at = Instant::now();
                    } else if heard_at.elapsed() >= silence_max {
                        return End::Silent;
                    }
                    timer.as_mut().reset((heard_at + silence_max).into());
                    continue;
                }
            }
            heard_at = Instant::now();
        }
    }

    /// Does everything that can be done without waiting.
    fn step(&mut self, stopping: bool) -> Result<(), End> {
        if stopping {
            self.sender.hurry();
            if self.awaiting.is_empty() {
                return Err(End::Stopping);
            }
        } else {
            self.take_in()?;
            self.answer()?;
        }
        self.wire.flush()?;
        Ok(())
    }

    /// Whether the client may have more outstanding, as far as this connection goes.
    fn takes_more(&self) -> bool {
        self.awaiting.len() < OUTSTANDING_MAX && !self.wire.is_congested()
    }

    fn read(&mut self, ready: io::Result<Ready>, reads: bool) -> Result<(), End> {
        if !reads || !ready?.is_readable() {
            return Ok(());
        }
        match self.wire.read()? {
            Read::Bytes { more } => {
                self.drained = !more;
                self.read_at = Instant::now();
                self.received_at = now();
                Ok(())
            }
            Read::Nothing => Ok(()),
            Read::End => Err(End::Lost(None)),
        }
    }

    /// Takes messages as they lie in what has been read, up to the first packet that is no plain one.
    fn take_plain(&mut self) -> Result<(), End> {
        if !self.quota.tried {
            return Ok(());
        }
        let (lent, mut taken) = (self.wire.lend(), Ok(()));
        while taken.is_ok()
            && self.takes_more()
            && self.shared.packer.has_room()
            && let Some(packet) = self.wire.next_plain(&lent)
        {
            taken = self.publish_plain(&packet);
        }
        self.wire.give_back(lent);
        taken
    }

    /// Handles the packets that have been read, as long as there is room for messages.
    fn take_in(&mut self) -> Result<(), End> {
        let mut taken = Ok(());
        loop {
            taken = taken.and_then(|()| self.take_plain());
            if taken.is_err() || !self.takes_more() || !self.shared.packer.has_room() {
                break;
            }
            taken = match self.wire.next() {
                Ok(Some(packet)) => self.handle(&packet),
                Ok(None) => break,
                Err(error) => Err(error.into()),
            };
        }
        if self.drained && !self.wire.has_unparsed() && self.window.is_full() {
            self.sender.hurry();
        }
        taken
    }
}
