//! What a client is told of its messages, and when.

use std::time::Instant;

use mqtt_protocol_core::mqtt::{
    Version,
    packet::{v3_1_1, v5_0},
    result_code::{DisconnectReasonCode, PubcompReasonCode},
};

use super::{Connection, End};
use crate::{failpoint::fail_point, ingest::packer::Ticket};

/// An answer to a packet, not sent before what its ticket is for is durable.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    kind: Kind,
    packet_id: u16,
    ticket: Option<Ticket>,
    /// The state machine does not know of the packet.
    plain: bool,
    /// When what it answers was read.
    read_at: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A message of QoS 1 is taken.
    Puback,
    /// A message of QoS 2 is taken, and its packet id remembered.
    Pubrec,
    /// The packet id is forgotten.
    Pubcomp,
    /// The packet id was not remembered.
    PubcompUnknown,
}

impl Kind {
    /// An answer is about to be made ready.
    fn before(self) {
        match self {
            Self::Puback => {
                fail_point!("puback_before");
            }
            Self::Pubrec => {
                fail_point!("pubrec_before");
            }
            Self::Pubcomp | Self::PubcompUnknown => {
                fail_point!("pubcomp_before");
            }
        }
    }

    /// An answer has been written.
    fn after(self) {
        match self {
            Self::Puback => {
                fail_point!("puback_after");
            }
            Self::Pubrec => {
                fail_point!("pubrec_after");
            }
            Self::Pubcomp | Self::PubcompUnknown => {
                fail_point!("pubcomp_after");
            }
        }
    }
}

impl Connection {
    /// A message of QoS 1 waits to be durable.
    pub(super) fn await_puback(&mut self, packet_id: u16, ticket: Ticket, plain: bool) {
        self.quota.outstanding += 1;
        self.awaiting.push_back(Answer {
            kind: Kind::Puback,
            packet_id,
            ticket: Some(ticket),
            plain,
            read_at: self.read_at,
        });
        self.window.published(1, self.read_at);
    }

    /// A message of QoS 2 waits to be durable.
    pub(super) fn await_pubrec(&mut self, packet_id: u16, ticket: Ticket) {
        self.session.unreleased.insert(packet_id, Some(ticket));
        self.quota.outstanding += 1;
        self.awaiting.push_back(Answer {
            kind: Kind::Pubrec,
            packet_id,
            ticket: Some(ticket),
            plain: false,
            read_at: self.read_at,
        });
        self.window.published(1, self.read_at);
    }

    /// Whether a message with this packet id was taken before and is not released: then it is only
    /// acknowledged again (MQTT 5.0 and 3.1.1, 4.3.3).
    pub(super) fn is_repeated(&mut self, packet_id: u16) -> bool {
        let Some(&ticket) = self.session.unreleased.get(&packet_id) else { return false };
        let (kind, read_at) = (Kind::Pubrec, self.read_at);
        self.awaiting.push_back(Answer { kind, packet_id, ticket, plain: false, read_at });
        true
    }

    /// The client has seen the PUBREC, and may use the packet id again once it has seen the PUBCOMP. Were
    /// that sent before the packet id is durably forgotten, a crash could make us take the next message for
    /// a repeat.
    ///
    /// # Errors
    /// When it cannot have seen the PUBREC.
    pub(super) fn release(&mut self, packet_id: u16) -> Result<(), End> {
        let (kind, ticket) = match self.session.unreleased.get(&packet_id) {
            Some(Some(ticket)) if !self.sender.is_durable(*ticket) => {
                return Err(End::Refused(DisconnectReasonCode::ProtocolError));
            }
            Some(_) => {
                self.session.unreleased.remove(&packet_id);
                let remembered = self.session.packet(packet_id);
                (Kind::Pubcomp, remembered.map(|packet| self.sender.release(packet)))
            }
            None => (Kind::PubcompUnknown, None),
        };
        self.awaiting.push_back(Answer { kind, packet_id, ticket, plain: false, read_at: self.read_at });
        Ok(())
    }

    /// Answers what is durable, up to the first packet where it is not.
    pub(super) fn answer(&mut self) -> Result<(), End> {
        let now = Instant::now();
        let (mut done, mut last) = (0, None);
        // What was read at once is measured at once.
        let (mut alike, mut read_at) = (0, now);
        while let Some(&answer) = self.awaiting.front()
            && answer.ticket.is_none_or(|ticket| self.sender.is_durable(ticket))
        {
            // Nothing is remembered of it: the client has to ask where its session is now.
            if answer.ticket.is_some() && answer.kind != Kind::Puback && self.session.is_lost() {
                return Err(End::TakenOver);
            }
            self.awaiting.pop_front();
            answer.kind.before();
            self.send(answer)?;
            last = Some(answer.kind);
            if matches!(answer.kind, Kind::Puback | Kind::Pubrec) {
                if answer.read_at != read_at {
                    self.shared.counters.acknowledged(alike, now.duration_since(read_at));
                    (alike, read_at) = (0, answer.read_at);
                }
                alike += 1;
            }
            done += usize::from(matches!(answer.kind, Kind::Puback | Kind::Pubcomp));
        }
        if alike > 0 {
            self.shared.counters.acknowledged(alike, now.duration_since(read_at));
        }
        if done > 0 {
            self.window.acknowledged(done, now);
        }
        // Otherwise it is written together with what else there is to say.
        if cfg!(feature = "failpoints")
            && let Some(last) = last
        {
            self.wire.flush()?;
            if !self.wire.has_unsent() {
                last.after();
            }
        }
        Ok(())
    }

    fn send(&mut self, answer: Answer) -> Result<(), End> {
        let (wire, id) = (&mut self.wire, answer.packet_id);
        if matches!(answer.kind, Kind::Puback | Kind::Pubcomp) {
            // The PUBREL may be for a message of an earlier connection (MQTT 5.0, 4.9).
            self.quota.outstanding = self.quota.outstanding.saturating_sub(1);
        }
        if answer.plain {
            wire.send_puback(id);
            return Ok(());
        }
        match (wire.version(), answer.kind) {
            (Version::V5_0, Kind::Puback) => wire.send(v5_0::Puback::builder().packet_id(id).build()?)?,
            (Version::V5_0, Kind::Pubrec) => wire.send(v5_0::Pubrec::builder().packet_id(id).build()?)?,
            (Version::V5_0, Kind::Pubcomp) => wire.send(v5_0::Pubcomp::builder().packet_id(id).build()?)?,
            (Version::V5_0, Kind::PubcompUnknown) => {
                let reason = PubcompReasonCode::PacketIdentifierNotFound;
                wire.send(v5_0::Pubcomp::builder().packet_id(id).reason_code(reason).build()?)?;
            }
            (_, Kind::Puback) => wire.send(v3_1_1::Puback::builder().packet_id(id).build()?)?,
            (_, Kind::Pubrec) => wire.send(v3_1_1::Pubrec::builder().packet_id(id).build()?)?,
            // MQTT 3.1.1 does not tell them apart.
            (_, Kind::Pubcomp | Kind::PubcompUnknown) => {
                wire.send(v3_1_1::Pubcomp::builder().packet_id(id).build()?)?;
            }
        }
        self.quota.tried |= answer.kind == Kind::Puback;
        Ok(())
    }

    /// Whether the client may have one more message outstanding.
    ///
    /// # Errors
    /// When it may not (MQTT 5.0, 3.3.4). MQTT 3.1.1 knows no limit.
    pub(super) fn check_quota(&self) -> Result<(), End> {
        if self.wire.version() == Version::V5_0 && self.quota.outstanding >= self.window.told() {
            return Err(End::Refused(DisconnectReasonCode::ReceiveMaximumExceeded));
        }
        Ok(())
    }
}
