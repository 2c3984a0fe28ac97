//! One connection to a broker, from its CONNECT to its end.

use std::{
    collections::VecDeque,
    pin::pin,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::{
    Shared,
    link::{Client, Event, Events, Message, connect},
    trouble::{Teller, Trouble},
};
use crate::{
    failpoint::fail_point,
    ingest::{
        Phase, now,
        packer::{Incoming, Sender, Ticket},
        window::Window,
    },
};

/// So many filters go into one SUBSCRIBE: AWS IoT Core takes no more.
const FILTERS_MAX: usize = 8;

/// More messages than this are never unacknowledged. MQTT has packet ids for 65,535; but Mosquitto 2.0.11 sends a whole
/// window more for each PUBACK while it has that many, and then uses ids anew that it waits for.
const OUTSTANDING_MAX: usize = 1 << 20;

/// Why a connection has ended.
pub(super) enum End {
    /// This process stops, and has acknowledged what it has made durable.
    Stopping,
    /// Something that may pass.
    Trouble(Trouble),
}

impl From<Trouble> for End {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

pub(super) struct Session<'a, 'b> {
    shared: &'a Shared,
    teller: &'a mut Teller<'b>,
    /// Whether the broker has a session of ours, as far as we know.
    known: &'a mut bool,
    client: Client,
    events: Option<Events>,
    sender: Sender,
    window: Window,
    /// Messages to be acknowledged, in the order of receipt.
    awaiting: VecDeque<(u16, Ticket)>,
    /// When each message came whose PUBACK is not written yet, in the order of receipt: packet ids are not counted on.
    unacknowledged: VecDeque<Instant>,
    /// How many of the filters have been answered.
    subscribed: usize,
    /// Whether the broker has let us in.
    welcomed: bool,
    /// Whether the last message may be followed by others without end, since nobody acknowledges it.
    unbounded: bool,
    /// Whether no more messages are taken.
    stopping: bool,
    /// Whether goodbye has been said.
    leaving: bool,
    /// How long a connection that works may do nothing.
    silence_max: Duration,
}

impl<'a, 'b> Session<'a, 'b> {
    pub(super) fn new(
        shared: &'a Shared,
        client_id: &str,
        teller: &'a mut Teller<'b>,
        known: &'a mut bool,
    ) -> Self {
        let options = &shared.options;
        let (client, events) = connect(options, client_id);
        Self {
            shared,
            teller,
            known,
            client,
            events: Some(events),
            sender: shared.packer.sender(),
            window: Window::new(options.inflight_max.min(options.receive_maximum).into()),
            awaiting: VecDeque::new(),
            unacknowledged: VecDeque::new(),
            subscribed: 0,
            welcomed: false,
            unbounded: false,
            stopping: false,
            leaving: false,
            silence_max: silence_max(options.keep_alive, options.connect_timeout),
        }
    }

    /// Takes messages and acknowledges them until something ends that.
    pub(super) async fn run(mut self, phase: &mut watch::Receiver<Phase>) -> End {
        let Some(mut events) = self.events.take() else { return End::Stopping };
        let ended = self.converse(&mut events, phase).await;
        if self.welcomed {
            self.shared.counters.disconnected();
        }
        if self.subscribed > 0 && self.subscribed == self.shared.options.filters.len() {
            self.shared.counters.unsubscribed();
        }
        match ended {
            Err(End::Trouble(trouble)) if !self.stopping => End::Trouble(trouble),
            _ => End::Stopping,
        }
    }

    async fn converse(&mut self, events: &mut Events, phase: &mut watch::Receiver<Phase>) -> Result<(), End> {
        self.look_at(phase)?;
        loop {
            self.wait_for_room(phase).await?;
            let mut timer = pin!(tokio::time::sleep(self.silence_max));
            // A poll that has begun is carried through, or what it was about to write would be lost.
            let mut next = pin!(events.next());
            let event = loop {
                tokio::select! {
                    biased;
                    _ = phase.changed() => self.look_at(phase)?,
                    () = self.sender.settled() => self.acknowledge(),
                    event = &mut next => break event?,
                    () = &mut timer => return Err(Trouble::Silent.into()),
                }
            };
            self.handle(event)?;
            // What had no place among the requests before may have one now.
            self.acknowledge();
            if self.stopping {
                self.leave()?;
            }
        }
    }

    /// Does what the phase asks for.
    fn look_at(&mut self, phase: &mut watch::Receiver<Phase>) -> Result<(), End> {
        // Whoever asks has gone: that means the same.
        let gone = phase.has_changed().is_err();
        match &*phase.borrow_and_update() {
            Phase::Serving if !gone => return Ok(()),
            Phase::Stopping => self.stopping = true,
            Phase::Serving | Phase::Failed(_) => return Err(End::Stopping),
        }
        self.sender.hurry();
        self.leave()
    }

    /// Says goodbye once everything is acknowledged.
    fn leave(&mut self) -> Result<(), End> {
        if !self.leaving && self.unacknowledged.is_empty() {
            self.leaving = self.welcomed && self.client.leave();
            if !self.leaving {
                return Err(End::Stopping);
            }
        }
        Ok(())
    }

    /// Waits while there is no room for what the broker might send.
    ///
    /// While its window bounds that, the connection is read on, so that it stays alive: the broker then waits for
    /// acknowledgements. One that goes far beyond the window it was told has none: then, and with QoS 0, the socket is
    /// left alone; if that takes long, the broker hangs up.
    async fn wait_for_room(&mut self, phase: &mut watch::Receiver<Phase>) -> Result<(), End> {
        let packer = &self.shared.packer;
        while !self.stopping && !packer.has_room() {
            let window_max = 2 * usize::from(self.shared.options.receive_maximum);
            let bounded = self.unacknowledged.len() < window_max;
            if bounded && !self.unbounded {
                break;
            }
            tokio::select! {
                biased;
                _ = phase.changed() => self.look_at(phase)?,
                () = packer.room() => {}
            }
        }
        self.unbounded = false;
        Ok(())
    }

    fn handle(&mut self, event: Event) -> Result<(), End> {
        match event {
            Event::Message(message) if !self.stopping => self.take_in(message)?,
            Event::Acknowledged => {
                fail_point!("subscriber_ack_after");
                if let Some(came_at) = self.unacknowledged.pop_front() {
                    self.shared.counters.acknowledged(1, came_at.elapsed());
                }
            }
            Event::Welcome { session_present, keep_alive } => {
                self.welcomed = true;
                self.shared.counters.connected();
                // With 0 the broker takes any silence; ours is still too long at some time.
                if let Some(keep_alive) = keep_alive.filter(|keep_alive| !keep_alive.is_zero()) {
                    self.silence_max = silence_max(keep_alive, self.shared.options.connect_timeout);
                }
                if *self.known && !session_present {
                    self.teller.forgotten();
                }
                self.subscribe()?;
            }
            Event::Answer(answers) => self.answered(answers)?,
            Event::Left => return Err(End::Stopping),
            // The broker will send it again.
            Event::Message(_) | Event::Other => {}
        }
        Ok(())
    }

    /// Asks for the next filters.
    fn subscribe(&self) -> Result<(), Trouble> {
        let filters = self.shared.options.filters.get(self.subscribed..).unwrap_or_default();
        let some = filters.get(..FILTERS_MAX).unwrap_or(filters);
        self.client.subscribe(some, self.shared.options.acknowledged)
    }

    fn answered(&mut self, answers: Vec<Result<bool, String>>) -> Result<(), Trouble> {
        let options = &self.shared.options;
        if self.subscribed >= options.filters.len() {
            // Nothing is open that this could be the answer to.
            return Ok(());
        }
        for answer in answers {
            let Some(filter) = options.filters.get(self.subscribed) else { break };
            match answer {
                Err(reason) => return Err(Trouble::Subscription { filter: filter.clone(), reason }),
                Ok(acknowledged) if options.acknowledged && !acknowledged => self.teller.weakened(filter),
                Ok(_) => {}
            }
            self.subscribed += 1;
        }
        if self.subscribed < options.filters.len() {
            return self.subscribe();
        }
        *self.known = true;
        self.teller.subscribed();
        self.shared.counters.subscribed();
        Ok(())
    }

    fn take_in(&mut self, mut message: Message) -> Result<(), Trouble> {
        let (packet_id, came_at) = (message.packet_id()?, Instant::now());
        if self.unacknowledged.len() >= OUTSTANDING_MAX {
            return Err(Trouble::Flood(OUTSTANDING_MAX));
        }
        let properties = message.take_properties();
        let topic = message.topic();
        let row = Incoming {
            topic: &topic,
            payload: message.payload(),
            received_at: now(),
            // Who has published it, brokers do not tell.
            client_id: "",
            properties: &properties,
        };
        let ticket = self.sender.append(self.shared.packer.slot(&topic), &row);
        match packet_id {
            Some(id) => {
                self.awaiting.push_back((id, ticket));
                self.unacknowledged.push_back(came_at);
                self.window.published(1, came_at);
                if self.window.is_full() {
                    self.sender.hurry();
                }
            }
            None => self.unbounded = true,
        }
        Ok(())
    }

    /// Acknowledges what is durable, up to the first message that is not.
    fn acknowledge(&mut self) {
        let mut count = 0;
        while let Some((packet_id, ticket)) = self.awaiting.front().copied()
            && self.sender.is_durable(ticket)
        {
            fail_point!("subscriber_ack_before");
            if !self.client.acknowledge(packet_id) {
                break;
            }
            self.awaiting.pop_front();
            count += 1;
        }
        if count > 0 {
            self.window.acknowledged(count, Instant::now());
        }
    }
}

/// rumqttc asks for a sign of life once per keep-alive, whatever else happens; where it hangs in writing, it cannot
/// notice that none comes.
fn silence_max(keep_alive: Duration, connect_timeout: Duration) -> Duration {
    keep_alive * 2 + connect_timeout
}
