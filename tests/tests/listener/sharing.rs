//! Several intakes on one data file.

use std::time::{Duration, Instant};

use super::{
    raw::{Connect, GOODBYE, PATIENCE, PUBACK, PUBCOMP, PUBREC, Raw, V3, V5, publish_once, release},
    server::{Server, Setup, start},
};

const TOPIC: &str = "devices/a/telemetry";

/// The end of an MQTT 5 session: DISCONNECT, with an expiry of 0.
const FORGET_ME: [u8; 9] = [0xe0, 7, 0, 5, 0x11, 0, 0, 0, 0];

/// The reason for a DISCONNECT: Session taken over.
const TAKEN_OVER: u8 = 0x8e;

/// How long sessions last in `brief`.
const EXPIRY_SECS: u32 = 30;

/// Sessions last for a while after their client has gone.
fn brief() -> Setup {
    let mut setup = Setup::default();
    setup.listener.session_expiry_secs_max = EXPIRY_SECS;
    setup
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The time of sessions that run out is over.
fn outlast(server: &Server) {
    let file = rusqlite::Connection::open(server.file()).unwrap();
    file.busy_timeout(Duration::from_secs(10)).unwrap();
    file.execute("UPDATE session SET expires_at = expires_at - ?1 * 1000000", [EXPIRY_SECS]).unwrap();
}

/// What is not awaited is published when there are two messages.
fn in_pairs() -> Setup {
    let mut setup = Setup::default();
    setup.packer.linger = Duration::from_secs(3600);
    setup.packer.frame_rows_max = 2;
    setup
}

#[tokio::test]
async fn a_session_lasts_while_its_client_is_connected_to_another_process() {
    for version in [V3, V5] {
        let connect = Connect::session(version, "sensor", false);
        let server = Server::with(brief()).await;
        let (client, _) = Raw::connect(server.addr(), &connect).await;
        for _ in 0..2 {
            // Each looks through the sessions when it starts.
            let (other, _queues) = start(server.file(), &brief()).await;
            outlast(&server);
            drop(other.unwrap());
        }
        drop(client);
        let (_client, present) = Raw::connect(server.addr(), &connect).await;
        assert!(present, "version {version}");
    }
}

#[tokio::test]
async fn a_session_of_a_dead_process_ends_also_while_others_live() {
    let server = Server::with(brief()).await;
    let connect = Connect::session(V5, "sensor", false);
    let (dead, queues) = start(server.file(), &brief()).await;
    let dead = dead.unwrap();
    let (_client, _) = Raw::connect(dead.local_addr().unwrap(), &connect).await;
    drop((dead, queues));
    let (next, _queues) = start(server.file(), &brief()).await;
    outlast(&server);
    let (_client, present) = Raw::connect(next.unwrap().local_addr().unwrap(), &connect).await;
    assert!(!present);
}

#[tokio::test]
async fn a_session_goes_with_its_client_to_another_process() {
    for version in [V3, V5] {
        let server = Server::start().await;
        let (other, _queues) = start(server.file(), &Setup::default()).await;
        let other = other.unwrap();
        let there = other.local_addr().unwrap();
        let connect = Connect::session(version, "sensor", false);
        let (mut old, _) = Raw::connect(server.addr(), &connect).await;
        old.send(&publish_once(version, false, 1, TOPIC, b"a")).await;
        assert_eq!(old.answer(PUBREC).await, (1, None));

        let (mut new, present) = Raw::connect(there, &connect).await;
        assert!(present, "version {version}");
        new.send(&publish_once(version, true, 1, TOPIC, b"a")).await;
        assert_eq!(new.answer(PUBREC).await, (1, None));
        assert_eq!(server.payloads(1).await, ["a"], "version {version}");

        // The connection that it has left has no say any more.
        let farewell: &[u8] = if version == V5 { &FORGET_ME } else { &GOODBYE };
        old.send(farewell).await;
        assert_eq!(old.receive().await, None);
        drop(new);
        let (_new, present) = Raw::connect(there, &connect).await;
        assert!(present, "version {version}");
    }
}

#[tokio::test]
async fn a_session_whose_end_could_not_be_written_ends_all_the_same() {
    let mut setup = brief();
    setup.listener.sessions_max = 2;
    let server = Server::with(setup).await;
    let session = |client_id| Connect::session(V5, client_id, false);
    let (first, _) = Raw::connect(server.addr(), &session("one")).await;
    let (_second, _) = Raw::connect(server.addr(), &session("two")).await;
    drop(first);
    let file = rusqlite::Connection::open(server.file()).unwrap();
    file.busy_timeout(Duration::from_secs(10)).unwrap();
    let forget = "UPDATE session SET expires_at = NULL WHERE expires_at IS NOT NULL";
    until("the end is noted", || file.execute(forget, []).unwrap() > 0).await;
    // That there is no room is what makes it look.
    let third = Raw::open(server.addr(), V5).await.knock(&session("three")).await;
    assert_eq!(third[1], 0x97, "quota exceeded");
    let expires = "SELECT count(*) FROM session WHERE expires_at IS NOT NULL";
    until("it expires", || file.query_row(expires, [], |row| row.get::<_, i64>(0)).unwrap() == 1).await;
    outlast(&server);
    let third = Raw::open(server.addr(), V5).await.knock(&session("three")).await;
    assert_eq!(third[1], 0);
    let (_second, present) = Raw::connect(server.addr(), &session("two")).await;
    assert!(present, "whose client was connected");
}

/// A connection that its client has left, with a message that is published only when the client has sent it again, and
/// has gone on, at another process.
#[tokio::test]
async fn what_a_connection_left_behind_had_taken_is_not_remembered() {
    for (version, told) in [(V3, None), (V5, Some(TAKEN_OVER))] {
        let server = Server::with(in_pairs()).await;
        let (other, _queues) = start(server.file(), &Setup::default()).await;
        let other = other.unwrap();
        let there = other.local_addr().unwrap();
        let connect = Connect::session(version, "sensor", false);
        let (mut old, _) = Raw::connect(server.addr(), &connect).await;
        old.send(&publish_once(version, false, 5, TOPIC, b"a")).await;
        old.hears_nothing().await;

        let (mut new, _) = Raw::connect(there, &connect).await;
        new.send(&publish_once(version, true, 5, TOPIC, b"a")).await;
        assert_eq!(new.answer(PUBREC).await, (5, None));
        new.send(&release(5)).await;
        assert_eq!(new.answer(PUBCOMP).await, (5, None));

        let mut neighbour = Raw::enter(server.addr(), version, "neighbour").await;
        neighbour.publish(1, TOPIC, b"n").await;
        assert_eq!(neighbour.answer(PUBACK).await, (1, None));
        assert_eq!(old.end().await, told, "it is not acknowledged there");
        assert_eq!(server.packet_ids(), 0);
        // Also where the client comes back.
        for addr in [there, server.addr(), there] {
            drop(new);
            let present;
            (new, present) = Raw::connect(addr, &connect).await;
            assert!(present, "version {version}");
        }
        new.send(&publish_once(version, false, 5, TOPIC, b"b")).await;
        assert_eq!(new.answer(PUBREC).await, (5, None));
        // What nobody acknowledged is a repeat, for analyze to drop.
        let mut payloads = server.payloads(4).await;
        payloads.sort();
        assert_eq!(payloads, ["a", "a", "b", "n"], "version {version}");
    }
}

/// The client has come back to a process that has a message of it in hand still, from before it was at another one.
#[tokio::test]
async fn what_a_connection_left_behind_has_in_hand_is_none_of_the_next_ones() {
    for version in [V3, V5] {
        let server = Server::with(in_pairs()).await;
        let (other, _queues) = start(server.file(), &Setup::default()).await;
        let other = other.unwrap();
        let connect = Connect::session(version, "sensor", false);
        let (mut old, _) = Raw::connect(server.addr(), &connect).await;
        old.send(&publish_once(version, false, 5, TOPIC, b"a")).await;
        old.hears_nothing().await;
        let (mut there, _) = Raw::connect(other.local_addr().unwrap(), &connect).await;
        there.send(&publish_once(version, true, 5, TOPIC, b"a")).await;
        assert_eq!(there.answer(PUBREC).await, (5, None));
        there.send(&release(5)).await;
        assert_eq!(there.answer(PUBCOMP).await, (5, None));

        let (mut back, present) = Raw::connect(server.addr(), &connect).await;
        assert!(present, "version {version}");
        back.send(&publish_once(version, false, 5, TOPIC, b"b")).await;
        assert_eq!(back.answer(PUBREC).await, (5, None));
        let mut payloads = server.payloads(3).await;
        payloads.sort();
        assert_eq!(payloads, ["a", "a", "b"], "version {version}");
        assert_eq!(server.packet_ids(), 1);
    }
}

#[tokio::test]
async fn a_connection_left_behind_releases_nothing_any_more() {
    for (version, told) in [(V3, None), (V5, Some(TAKEN_OVER))] {
        let server = Server::with(in_pairs()).await;
        let (other, _queues) = start(server.file(), &Setup::default()).await;
        let other = other.unwrap();
        let there = other.local_addr().unwrap();
        let connect = Connect::session(version, "sensor", false);
        let (mut old, _) = Raw::connect(server.addr(), &connect).await;
        let mut neighbour = Raw::enter(server.addr(), version, "neighbour").await;
        old.send(&publish_once(version, false, 5, TOPIC, b"a")).await;
        old.hears_nothing().await;
        neighbour.publish(1, TOPIC, b"n").await;
        assert_eq!(old.answer(PUBREC).await, (5, None));
        old.send(&release(5)).await;
        old.hears_nothing().await;

        let (mut new, present) = Raw::connect(there, &connect).await;
        assert!(present, "version {version}");
        new.send(&release(5)).await;
        assert_eq!(new.answer(PUBCOMP).await, (5, None));
        new.send(&publish_once(version, false, 5, TOPIC, b"b")).await;
        assert_eq!(new.answer(PUBREC).await, (5, None));
        for id in [2, 3] {
            neighbour.publish(id, TOPIC, b"n").await;
        }
        assert_eq!(neighbour.pubacks(3).await, [1, 2, 3]);
        assert_eq!(old.end().await, told);

        drop(new);
        let (mut new, _) = Raw::connect(there, &connect).await;
        new.send(&publish_once(version, true, 5, TOPIC, b"b")).await;
        assert_eq!(new.answer(PUBREC).await, (5, None));
        let mut payloads = server.payloads(5).await;
        payloads.sort();
        assert_eq!(payloads, ["a", "b", "n", "n", "n"], "version {version}");
    }
}
