//! ingest: takes messages one after the other, packs them into frames by lane, and dies now and then.

use std::collections::{BTreeMap, VecDeque};

use rand::RngExt;
use stages::frame::{self, Frame, FrameId, Header, Kind, Lane, Message, MessagesBuilder, Micros};

use crate::{
    Rng, chance,
    input::{Input, START},
    queue::Outgoing,
};

/// A message that was taken, with the number that ingest gave it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    pub(crate) message: u64,
    /// Which of the inputs it is.
    pub(crate) input: usize,
    pub(crate) received_at: Micros,
}

/// The listener and its devices.
pub(crate) struct Ingest {
    lanes: u16,
    epoch: u64,
    messages: u64,
    frames: u64,
    pub(crate) now: Micros,
    /// What devices have not sent, or were not told is durable.
    waiting: VecDeque<usize>,
    open: BTreeMap<Lane, Vec<Taken>>,
    /// Of the frame that was published last: durable, but perhaps its devices do not know.
    unheard: Vec<usize>,
}

impl Ingest {
    pub(crate) fn new(inputs: usize, lanes: u16) -> Self {
        Self {
            lanes,
            epoch: 1,
            messages: 0,
            frames: 0,
            now: START,
            waiting: (0..inputs).collect(),
            open: BTreeMap::new(),
            unheard: Vec::new(),
        }
    }

    /// Which of the inputs comes next.
    pub(crate) fn next(&self) -> Option<usize> {
        self.waiting.front().copied()
    }

    /// Takes the next message into the open frame of its lane.
    pub(crate) fn take(&mut self, inputs: &[Input]) {
        let Some(input) = self.waiting.pop_front() else { return };
        self.now += inputs[input].pause;
        self.messages += 1;
        let taken = Taken { message: (self.epoch << 40) + self.messages, input, received_at: self.now };
        let lane = lane(&inputs[input].topic, self.lanes);
        self.open.entry(lane).or_default().push(taken);
    }

    /// Closes one of the open frames: what is to be published, and its messages, which are then durable.
    pub(crate) fn close(&mut self, rng: &mut Rng, inputs: &[Input]) -> Option<(Outgoing, Vec<Taken>)> {
        if self.open.is_empty() {
            return None;
        }
        let lane = *self.open.keys().nth(rng.random_range(0..self.open.len()))?;
        let taken = self.open.remove(&lane)?;
        self.frames += 1;
        let id = FrameId::ingested(self.epoch, self.frames);
        let frame = messages(Header { id, lane, created_at: self.now, ..header(self.epoch) }, &taken, inputs);
        let bytes = frame::encode(&frame).unwrap().into();
        self.unheard = taken.iter().map(|taken| taken.input).collect();
        let oldest = taken.first()?.received_at;
        Some((Outgoing { lane, id, bytes, oldest }, taken))
    }

    /// The process ends and starts again. Devices send again what they were not told is durable.
    pub(crate) fn crash(&mut self, rng: &mut Rng) {
        let mut again: Vec<usize> =
            std::mem::take(&mut self.open).into_values().flatten().map(|taken| taken.input).collect();
        let unheard = std::mem::take(&mut self.unheard);
        if chance(rng, 50) {
            again.extend(unheard);
        }
        // Each device in its order.
        again.sort_unstable_by(|one, other| other.cmp(one));
        again.into_iter().for_each(|input| self.waiting.push_front(input));
        self.epoch += 1;
        self.messages = 0;
        self.frames = 0;
    }

    pub(crate) fn has_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// When the first message was received that is not durable.
    pub(crate) fn oldest(&self) -> Micros {
        let first = self.open.values().flatten().map(|taken| taken.received_at);
        first.min().unwrap_or(Micros::MAX)
    }
}

/// By the device of the topic where the pattern has it, by the topic otherwise.
fn lane(topic: &str, lanes: u16) -> Lane {
    let device = topic.strip_prefix("plant/").and_then(|rest| rest.split_once('/')).map(|(_, device)| device);
    let device = device.or(topic.strip_prefix("batch/")).or(topic.strip_prefix("counter/"));
    Lane::of(device.unwrap_or(topic), lanes)
}

/// A header for frames of messages, but for what names them.
pub(crate) fn header(epoch: u64) -> Header {
    Header { id: FrameId([0; 16]), kind: Kind::Messages, lane: Lane(0), created_at: 0, epoch, trace: None }
}

/// A frame of messages.
pub(crate) fn messages(header: Header, taken: &[Taken], inputs: &[Input]) -> Frame {
    let mut rows = MessagesBuilder::default();
    for taken in taken {
        let Input { topic, payload, .. } = &inputs[taken.input];
        let properties = [("content".to_owned(), inputs[taken.input].content.to_string())];
        let client_id = topic.rsplit('/').next().unwrap_or_default();
        let (message, received_at) = (taken.message, taken.received_at);
        rows.append(&Message {
            message,
            topic,
            payload,
            received_at,
            client_id,
            properties: &properties,
            replays: 0,
        });
    }
    rows.finish(header).unwrap()
}
