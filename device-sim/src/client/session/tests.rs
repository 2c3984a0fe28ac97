use std::time::{Duration, Instant};

use super::{Ack, Limits, Mqtt, Output, PACKET_TOO_LARGE, Qos, Session};

const QUOTA_EXCEEDED: u8 = 0x97;

struct Client {
    session: Session,
    out: Output,
    now: Instant,
    published: u64,
}

impl Client {
    fn connected(qos: Qos, window: u16, limits: Limits) -> Self {
        let mut client = Self {
            session: Session::new(Mqtt::V5, qos, window),
            out: Output::default(),
            now: Instant::now(),
            published: 0,
        };
        client.session.connected(false, limits, client.now, &mut client.out);
        client
    }

    /// Publishes what fits, up to `count`.
    fn publish(&mut self, count: u64) -> &mut Self {
        for _ in 0..count {
            if self.session.has_room() {
                self.published += 1;
                let payload = self.published.to_string();
                self.session
                    .publish(self.published, "t", payload.as_bytes(), self.now, &mut self.out)
                    .unwrap();
            }
        }
        self
    }

    fn ack(&mut self, kind: Ack, id: u16, reason: u8) -> &mut Self {
        self.session.acknowledged(kind, id, reason, self.now, &mut self.out);
        self
    }

    fn reconnect(&mut self, resumed: bool, limits: Limits) -> &mut Self {
        self.out.bytes.clear();
        self.session.connected(resumed, limits, self.now, &mut self.out);
        self
    }

    /// What was written since the last look: `PUBLISH` as `payload#id`, with `!` if it carries DUP, `PUBREL` as `>id`.
    fn written(&mut self) -> String {
        let mut words = Vec::new();
        let mut bytes = std::mem::take(&mut self.out.bytes).into_iter();
        while let (Some(header), Some(length)) = (bytes.next(), bytes.next()) {
            let body: Vec<u8> = bytes.by_ref().take(usize::from(length)).collect();
            words.push(if header >> 4 == 3 {
                // Topic length and topic, identifier, no properties, payload.
                let id = u16::from_be_bytes([body[3], body[4]]);
                let dup = if header & 0x08 != 0 { "!" } else { "" };
                format!("{}#{id}{dup}", String::from_utf8_lossy(&body[6..]))
            } else {
                format!(">{}", u16::from_be_bytes([body[0], body[1]]))
            });
        }
        words.join(" ")
    }

    fn settled(&mut self) -> Vec<(u64, Option<u8>)> {
        self.out.settled.drain(..).map(|settled| (settled.n, settled.refused)).collect()
    }
}

fn receive_maximum(receive_maximum: u16) -> Limits {
    Limits { receive_maximum, ..Limits::NONE }
}

#[test]
fn the_window_bounds_what_is_in_flight() {
    let mut client = Client::connected(Qos::AtLeastOnce, 3, Limits::NONE);
    assert_eq!(client.publish(5).written(), "1#1 2#2 3#3");
    assert_eq!(client.ack(Ack::Puback, 1, 0).publish(5).written(), "4#4");
    assert_eq!(client.settled(), [(1, None)]);
    let mut client = Client::connected(Qos::AtLeastOnce, 3, receive_maximum(2));
    assert_eq!(client.publish(5).written(), "1#1 2#2");
}

#[test]
fn acknowledgements_may_come_in_any_order() {
    let mut client = Client::connected(Qos::AtLeastOnce, 3, Limits::NONE);
    client.publish(3).ack(Ack::Puback, 3, 0).ack(Ack::Puback, 2, 0);
    assert_eq!(client.settled(), [(3, None), (2, None)]);
    assert_eq!(client.session.unacknowledged().collect::<Vec<_>>(), [1]);
    client.written();
    assert_eq!(client.publish(5).written(), "4#4 5#5");
    client.ack(Ack::Puback, 1, 0).ack(Ack::Puback, 5, 0).ack(Ack::Puback, 4, 0);
    assert_eq!((client.session.unsettled(), client.out.stray), (0, 0));
}

#[test]
fn a_resumed_session_repeats_in_order_with_dup() {
    let mut client = Client::connected(Qos::AtLeastOnce, 4, Limits::NONE);
    client.publish(4).ack(Ack::Puback, 2, 0);
    assert_eq!(client.reconnect(true, Limits::NONE).written(), "1#1! 3#3! 4#4!");
    assert_eq!(client.out.resent, [1, 3, 4]);
    assert_eq!(client.ack(Ack::Puback, 1, 0).publish(1).written(), "5#5");
}

#[test]
fn a_lost_session_is_published_anew_in_order() {
    let mut client = Client::connected(Qos::AtLeastOnce, 4, Limits::NONE);
    client.publish(4).ack(Ack::Puback, 2, 0);
    assert_eq!(client.reconnect(false, Limits::NONE).written(), "1#1 3#3 4#4");
    // Now the new session has seen them.
    assert_eq!(client.reconnect(true, Limits::NONE).written(), "1#1! 3#3! 4#4!");
}

#[test]
fn what_is_sent_again_keeps_to_a_lower_receive_maximum() {
    let mut client = Client::connected(Qos::AtLeastOnce, 5, Limits::NONE);
    client.publish(5);
    assert_eq!(client.reconnect(true, receive_maximum(2)).written(), "1#1! 2#2!");
    assert_eq!(client.ack(Ack::Puback, 2, 0).written(), "3#3!");
    assert!(!client.session.has_room());
    // What this connection never carried had been seen by the session all the same.
    assert_eq!(client.ack(Ack::Puback, 1, 0).ack(Ack::Puback, 3, 0).written(), "4#4! 5#5!");
}

#[test]
fn latency_counts_from_the_first_write() {
    let mut client = Client::connected(Qos::AtLeastOnce, 1, Limits::NONE);
    let first = client.now;
    client.publish(1);
    client.now += Duration::from_secs(5);
    client.reconnect(false, Limits::NONE).ack(Ack::Puback, 1, 0);
    assert_eq!(client.out.settled[0].sent_at, first);
}

#[test]
fn quality_2_is_acknowledged_by_pubrec_and_released() {
    let mut client = Client::connected(Qos::ExactlyOnce, 3, Limits::NONE);
    assert_eq!(client.publish(3).written(), "1#1 2#2 3#3");
    assert_eq!(client.ack(Ack::Pubrec, 1, 0).written(), ">1");
    assert_eq!(client.settled(), [(1, None)]);
    assert!(!client.session.has_room(), "an identifier is in use until PUBCOMP");
    // Resumed: first things first, the released one is not published again.
    assert_eq!(client.reconnect(true, Limits::NONE).written(), ">1 2#2! 3#3!");
    assert_eq!(client.ack(Ack::Pubcomp, 1, 0).publish(1).written(), "4#4");
    // Lost: the server has owned 2 since PUBREC.
    assert_eq!(client.ack(Ack::Pubrec, 2, 0).written(), ">2");
    assert_eq!(client.reconnect(false, Limits::NONE).written(), "3#3 4#4");
    assert_eq!((client.settled(), client.out.stray), (vec![(2, None)], 0));
}

#[test]
fn refusals_are_settled_and_not_repeated() {
    for (qos, kind) in [(Qos::AtLeastOnce, Ack::Puback), (Qos::ExactlyOnce, Ack::Pubrec)] {
        let mut client = Client::connected(qos, 2, Limits::NONE);
        client.publish(2).ack(kind, 1, QUOTA_EXCEEDED);
        assert_eq!(client.settled(), [(1, Some(QUOTA_EXCEEDED))]);
        assert_eq!(client.reconnect(true, Limits::NONE).written(), "2#2!");
    }
    // 0x10, no matching subscribers, is a success.
    let mut client = Client::connected(Qos::AtLeastOnce, 2, Limits::NONE);
    assert_eq!(client.publish(1).ack(Ack::Puback, 1, 0x10).settled(), [(1, None)]);
}

#[test]
fn what_is_too_large_for_the_server_is_refused_at_once() {
    let mut client = Client::connected(Qos::AtLeastOnce, 9, Limits::NONE);
    client.publish(1);
    let tiny = Limits { packet_bytes_max: 5, ..Limits::NONE };
    assert_eq!(client.reconnect(true, tiny).publish(1).written(), "");
    assert_eq!(client.settled(), [(1, Some(PACKET_TOO_LARGE)), (2, Some(PACKET_TOO_LARGE))]);
    assert_eq!(client.session.unsettled(), 0);
}

#[test]
fn acknowledgements_of_nothing_are_counted() {
    let mut client = Client::connected(Qos::AtLeastOnce, 2, Limits::NONE);
    client.publish(2);
    for (kind, id) in
        [(Ack::Puback, 3), (Ack::Puback, 0), (Ack::Pubrec, 1), (Ack::Pubcomp, 1), (Ack::Puback, 9)]
    {
        client.ack(kind, id, 0);
    }
    assert_eq!(client.out.stray, 5);
    client.ack(Ack::Puback, 2, 0).ack(Ack::Puback, 2, 0);
    assert_eq!((client.out.stray, client.settled()), (6, vec![(2, None)]));
}

#[test]
fn identifiers_go_round() {
    let mut client = Client::connected(Qos::AtLeastOnce, 1, Limits::NONE);
    for n in 0..65_535 * 2 {
        let id = u16::try_from(n % 65_535 + 1).unwrap();
        client.publish(1).ack(Ack::Puback, id, 0);
    }
    assert_eq!((client.settled().len(), client.out.stray), (65_535 * 2, 0));
    client.written();
    assert_eq!(client.publish(1).written(), "131071#1");
}
