//! What one MQTT session of a publishing client remembers, without IO.
//!
//! `mqtt-protocol-core` keeps such a store too, but it forgets it when the server has lost the session, and does
//! not count what it resends against the server's Receive Maximum. The simulator promises more than that, so the
//! outbox is its own: what is not acknowledged is sent again on the next connection, in the original order.

use std::{collections::VecDeque, time::Instant};

use mqtt_protocol_core::mqtt::result_code::MqttError;

use super::{
    Mqtt, Qos,
    codec::{self, Ack, Limits},
};

/// MQTT 5.0, section 3.4.2.1: reason codes from here on are failures.
const FAILURE: u8 = 0x80;
/// MQTT 5.0, section 2.4: Packet too large.
const PACKET_TOO_LARGE: u8 = 0x95;
/// There are as many packet identifiers: 1 to 65,535.
const IDS: usize = u16::MAX as usize;

/// A publish whose fate is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settled {
    /// Its number, from [`Session::publish`].
    pub(crate) n: u64,
    /// When it was first written.
    pub(crate) sent_at: Instant,
    /// The server's reason code, if it refused it.
    pub(crate) refused: Option<u8>,
}

/// Packets to write and publishes that are settled, for the caller to take.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) bytes: Vec<u8>,
    pub(crate) settled: Vec<Settled>,
    /// Numbers of publishes that went out again.
    pub(crate) resent: Vec<u64>,
    /// Acknowledgements of what is not in flight.
    pub(crate) stray: u64,
}

#[derive(Debug)]
struct Entry {
    n: u64,
    packet: Vec<u8>,
    sent_at: Option<Instant>,
    /// Whether the server's current session may have seen it: then a repetition carries DUP.
    in_session: bool,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Not acknowledged.
    Published,
    /// QoS 2, after PUBREC: the server has it, only PUBREL and PUBCOMP are left.
    Received,
    /// Settled, but something before it is not.
    Done,
}

/// The outbox and the in-flight window of one client, across its connections.
#[derive(Debug)]
pub(crate) struct Session {
    mqtt: Mqtt,
    qos: Qos,
    window: usize,
    limits: Limits,
    /// In the order of publishing. Packet identifiers are consecutive, so that one tells the place.
    outbox: VecDeque<Entry>,
    /// The identifier of `outbox[0]`, less one.
    first: usize,
    /// Entries of the outbox that are not done.
    open: usize,
    /// Entries from the front that this connection has dealt with, and how many of them are not done.
    written: usize,
    in_flight: usize,
}

impl Session {
    /// A session that keeps up to `window` publishes unacknowledged.
    pub(crate) fn new(mqtt: Mqtt, qos: Qos, window: u16) -> Self {
        Self {
            mqtt,
            qos,
            window: usize::from(window.max(1)),
            limits: Limits::NONE,
            outbox: VecDeque::new(),
            first: 0,
            open: 0,
            written: 0,
            in_flight: 0,
        }
    }

    /// Whether another publish fits into the window.
    pub(crate) fn has_room(&self) -> bool {
        self.open < self.window.min(usize::from(self.limits.receive_maximum)) && self.outbox.len() < IDS
    }

    /// Publishes that are not settled.
    pub(crate) fn unsettled(&self) -> usize {
        self.open
    }

    /// Publishes that the server has not acknowledged. PUBREC acknowledges.
    pub(crate) fn unacknowledged(&self) -> impl Iterator<Item = u64> {
        self.outbox.iter().filter(|entry| entry.stage == Stage::Published).map(|entry| entry.n)
    }

    /// Takes publish number `n`; call only if [`Session::has_room`]. QoS 0 is not kept.
    pub(crate) fn publish(
        &mut self,
        n: u64,
        topic: &str,
        payload: &[u8],
        now: Instant,
        out: &mut Output,
    ) -> Result<(), MqttError> {
        let id = self.id_at(self.outbox.len());
        let packet = codec::publish(self.mqtt, self.qos, id, topic, payload)?;
        if self.qos == Qos::AtMostOnce {
            if packet.len() > self.limits.packet_bytes_max {
                out.settled.push(Settled { n, sent_at: now, refused: Some(PACKET_TOO_LARGE) });
            } else {
                out.bytes.extend_from_slice(&packet);
            }
            return Ok(());
        }
        self.outbox.push_back(Entry { n, packet, sent_at: None, in_session: false, stage: Stage::Published });
        self.open += 1;
        self.pump(now, out);
        Ok(())
    }

    /// Starts a connection: everything in the outbox goes out again.
    pub(crate) fn connected(&mut self, resumed: bool, limits: Limits, now: Instant, out: &mut Output) {
        self.limits = limits;
        self.written = 0;
        self.in_flight = 0;
        if !resumed {
            for entry in &mut self.outbox {
                entry.in_session = false;
                // The server owns it since PUBREC, and a new session knows no identifier to release.
                if entry.stage == Stage::Received {
                    entry.stage = Stage::Done;
                    self.open -= 1;
                }
            }
            self.forget_done();
        }
        self.pump(now, out);
    }

    /// Takes an acknowledgement.
    pub(crate) fn acknowledged(&mut self, kind: Ack, id: u16, reason: u8, now: Instant, out: &mut Output) {
        let place = (usize::from(id) + IDS - 1 - self.first) % IDS;
        let entry = self.outbox.get_mut(place).filter(|_| place < self.written && id != 0);
        let Some(entry) = entry else {
            out.stray += 1;
            return;
        };
        let refused = (reason >= FAILURE).then_some(reason);
        match (self.qos, kind, entry.stage) {
            (Qos::AtLeastOnce, Ack::Puback, Stage::Published) => entry.stage = Stage::Done,
            (Qos::ExactlyOnce, Ack::Pubrec, Stage::Published) if refused.is_some() => {
                entry.stage = Stage::Done;
            }
            (Qos::ExactlyOnce, Ack::Pubrec, Stage::Published | Stage::Received) => {
                out.bytes.extend_from_slice(&codec::pubrel(id));
                if entry.stage == Stage::Received {
                    return;
                }
                entry.stage = Stage::Received;
                entry.packet = Vec::new();
            }
            (Qos::ExactlyOnce, Ack::Pubcomp, Stage::Received) => {
                entry.stage = Stage::Done;
                self.close_one(now, out);
                return;
            }
            _ => {
                out.stray += 1;
                return;
            }
        }
        out.settled.push(Settled { n: entry.n, sent_at: entry.sent_at.unwrap_or(now), refused });
        if entry.stage == Stage::Done {
            self.close_one(now, out);
        }
    }

    fn close_one(&mut self, now: Instant, out: &mut Output) {
        self.open -= 1;
        self.in_flight -= 1;
        self.forget_done();
        self.pump(now, out);
    }

    fn forget_done(&mut self) {
        while self.outbox.pop_front_if(|entry| entry.stage == Stage::Done).is_some() {
            self.first = (self.first + 1) % IDS;
            self.written = self.written.saturating_sub(1);
        }
    }

    /// Writes as much of the outbox as the server's Receive Maximum allows.
    fn pump(&mut self, now: Instant, out: &mut Output) {
        while self.in_flight < usize::from(self.limits.receive_maximum) {
            let id = self.id_at(self.written);
            let Some(entry) = self.outbox.get_mut(self.written) else { break };
            self.written += 1;
            match entry.stage {
                Stage::Done => continue,
                Stage::Received => out.bytes.extend_from_slice(&codec::pubrel(id)),
                Stage::Published if entry.packet.len() > self.limits.packet_bytes_max => {
                    entry.stage = Stage::Done;
                    self.open -= 1;
                    let sent_at = entry.sent_at.unwrap_or(now);
                    out.settled.push(Settled { n: entry.n, sent_at, refused: Some(PACKET_TOO_LARGE) });
                    continue;
                }
                Stage::Published => {
                    codec::set_dup(&mut entry.packet, entry.in_session);
                    out.bytes.extend_from_slice(&entry.packet);
                    if entry.sent_at.is_some() {
                        out.resent.push(entry.n);
                    }
                    entry.in_session = true;
                    entry.sent_at.get_or_insert(now);
                }
            }
            self.in_flight += 1;
        }
        self.forget_done();
    }

    fn id_at(&self, place: usize) -> u16 {
        // At most 65,535 by the remainder.
        ((self.first + place) % IDS + 1) as u16
    }
}

#[cfg(test)]
mod tests;
