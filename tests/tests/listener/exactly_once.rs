//! QoS 2: what is taken once, whatever is sent again.

use millstream::queue::QueueName;

use super::{
    raw::{Connect, PUBACK, PUBCOMP, PUBREC, Raw, V3, V5, publish, publish_once, release},
    server::{Server, Setup},
};

const TOPIC: &str = "devices/a/telemetry";

/// PUBCOMP, Packet Identifier not found (MQTT 5.0, 3.7.2.1).
const NOT_FOUND: u8 = 0x92;

#[derive(Debug, Clone, Copy)]
enum Step {
    /// Sends a PUBLISH, which is a first one or says that it is not.
    First(u16, &'static str),
    Again(u16, &'static str),
    /// Receives a PUBREC.
    Received(u16),
    /// Sends a PUBREL.
    Release(u16),
    /// Receives a PUBCOMP, for a packet id that is known or not.
    Complete(u16),
    Unknown(u16),
    /// Hangs up without a word.
    Cut,
    /// The process is killed and started again.
    Crash,
    /// Connects to a session that is there, or begins one.
    Resume,
    Begin,
    /// Begins or resumes one that ends with the connection.
    BeginBriefly,
    ResumeBriefly,
}
use Step::{
    Again, Begin, BeginBriefly, Complete, Crash, Cut, First, Received, Release, Resume, ResumeBriefly,
    Unknown,
};

fn connect(version: u8, step: &Step) -> Connect {
    match step {
        Begin if version == V3 => Connect::session(version, "sensor", false),
        Begin => Connect::session(version, "sensor", true),
        Resume => Connect::session(version, "sensor", false),
        ResumeBriefly => Connect { clean: false, ..Connect::new(version, "sensor") },
        _ => Connect::new(version, "sensor"),
    }
}

/// Runs the steps on a fresh server; then exactly these messages are in the queue.
async fn check(version: u8, case: &str, steps: &[Step], messages: &[&str]) {
    let mut server = Server::start().await;
    let mut client = None;
    for (index, step) in steps.iter().enumerate() {
        let at = format!("version {version}, {case}, step {index}");
        match step {
            Cut => client = None,
            Crash => {
                server = server.restart().await;
                client = None;
            }
            Begin | Resume | BeginBriefly | ResumeBriefly => {
                let (raw, present) = Raw::connect(server.addr(), &connect(version, step)).await;
                assert_eq!(present, matches!(step, Resume | ResumeBriefly), "{at}");
                client = Some(raw);
            }
            _ => talk(client.as_mut().expect("a client that is connected"), version, step, &at).await,
        }
    }
    assert_eq!(server.payloads(messages.len()).await, messages, "version {version}, {case}");
}

async fn talk(client: &mut Raw, version: u8, step: &Step, at: &str) {
    match *step {
        First(id, payload) | Again(id, payload) => {
            let again = matches!(step, Again(..));
            client.send(&publish_once(version, again, id, TOPIC, payload.as_bytes())).await;
        }
        Release(id) => client.send(&release(id)).await,
        Received(id) => assert_eq!(client.answer(PUBREC).await, (id, None), "{at}"),
        Complete(id) => assert_eq!(client.answer(PUBCOMP).await, (id, None), "{at}"),
        Unknown(id) => {
            let reason = (version == V5).then_some(NOT_FOUND);
            assert_eq!(client.answer(PUBCOMP).await, (id, reason), "{at}");
        }
        _ => unreachable!("{at}"),
    }
}

#[tokio::test]
async fn a_message_is_taken_once() {
    for version in [V3, V5] {
        let all = async |case, steps: &[Step], messages: &[&str]| check(version, case, steps, messages).await;
        let whole = [Begin, First(5, "a"), Received(5), Release(5), Complete(5)];
        all("sent once", &whole, &["a"]).await;
        let steps = [Begin, First(5, "a"), Received(5), Again(5, "a"), Received(5), Release(5), Complete(5)];
        all("sent again", &steps, &["a"]).await;
        let steps = [Begin, First(5, "a"), Received(5), First(5, "a"), Received(5)];
        all("sent again, but it does not say so", &steps, &["a"]).await;
        let steps = [Begin, First(5, "a"), Received(5), Release(5), Complete(5), First(5, "b"), Received(5)];
        all("the packet id of another", &steps, &["a", "b"]).await;
        let steps = [Begin, Release(5), Unknown(5), First(5, "a"), Received(5)];
        all("released, but never sent", &steps, &["a"]).await;
        let steps = [Begin, First(5, "a"), Received(5), Release(5), Complete(5), Release(5), Unknown(5)];
        all("released twice", &steps, &["a"]).await;
        let steps = [BeginBriefly, First(5, "a"), Received(5), Again(5, "a"), Received(5), Release(5)];
        all("a session that is not kept", &steps, &["a"]).await;
    }
}

#[tokio::test]
async fn a_session_knows_its_packet_ids_after_a_cut_and_after_a_crash() {
    for version in [V3, V5] {
        for gone in [Cut, Crash] {
            let all = async |case: &str, steps: &[Step], messages: &[&str]| {
                check(version, &format!("{case}, {gone:?}"), steps, messages).await;
            };
            let steps = [
                Begin,
                First(5, "a"),
                Received(5),
                gone,
                Resume,
                Again(5, "a"),
                Received(5),
                Release(5),
                Complete(5),
            ];
            all("PUBREC was lost", &steps, &["a"]).await;
            let steps = [
                Begin,
                First(5, "a"),
                Received(5),
                gone,
                Resume,
                Release(5),
                Complete(5),
                First(5, "b"),
                Received(5),
            ];
            all("PUBREL was lost", &steps, &["a", "b"]).await;
            let steps = [
                Begin,
                First(5, "a"),
                Received(5),
                Release(5),
                Complete(5),
                gone,
                Resume,
                Release(5),
                Unknown(5),
            ];
            all("PUBCOMP was lost", &steps, &["a"]).await;
            let steps = [
                Begin,
                First(5, "a"),
                Received(5),
                Release(5),
                Complete(5),
                gone,
                Resume,
                First(5, "b"),
                Received(5),
            ];
            all("the packet id of another", &steps, &["a", "b"]).await;
        }
    }
}

#[tokio::test]
async fn packet_ids_end_with_their_session() {
    for version in [V3, V5] {
        let all = async |case, steps: &[Step], messages: &[&str]| check(version, case, steps, messages).await;
        let steps = [BeginBriefly, First(5, "a"), Received(5), Cut, Begin, First(5, "b"), Received(5)];
        all("a session that is not kept", &steps, &["a", "b"]).await;
        let steps = [Begin, First(5, "a"), Received(5), Cut, BeginBriefly, First(5, "b"), Received(5)];
        all("a clean start", &steps, &["a", "b"]).await;
    }
    let steps = [
        Begin,
        First(5, "a"),
        Received(5),
        Cut,
        Begin,
        First(5, "b"),
        Received(5),
        Crash,
        Resume,
        Again(5, "b"),
    ];
    check(V5, "a clean start of a session", &steps, &["a", "b"]).await;
    let steps = [Begin, First(5, "a"), Received(5), Cut, ResumeBriefly, Again(5, "a"), Received(5)];
    check(V5, "resumed until the connection ends", &steps, &["a"]).await;
}

#[tokio::test]
async fn answers_leave_in_the_order_of_receipt_whatever_the_qos() {
    let server = Server::start().await;
    for version in [V3, V5] {
        let (mut client, _) = Raw::connect(server.addr(), &Connect::session(version, "sensor", false)).await;
        let ids: Vec<u16> = (1..=800).map(|index| index * 31 % 4001 + 1).collect();
        let (mut publishes, mut releases) = (Vec::new(), Vec::new());
        for id in &ids {
            let topic = format!("devices/{}/telemetry", id % 50);
            publishes.extend(match id % 3 {
                0 => publish(version, *id, &topic, &id.to_be_bytes()),
                _ => publish_once(version, false, *id, &topic, &id.to_be_bytes()),
            });
            if id % 3 != 0 {
                releases.extend(release(*id));
            }
        }
        client.send(&publishes).await;
        for id in &ids {
            let kind = if id % 3 == 0 { PUBACK } else { PUBREC };
            assert_eq!(client.answer(kind).await, (*id, None));
        }
        client.send(&releases).await;
        for id in ids.iter().filter(|id| *id % 3 != 0) {
            assert_eq!(client.answer(PUBCOMP).await, (*id, None));
        }
        let received = server.drain(QueueName::Validate, ids.len()).await;
        let mut payloads: Vec<Vec<u8>> = received.into_iter().map(|message| message.payload).collect();
        payloads.sort_unstable();
        let mut sent: Vec<Vec<u8>> = ids.iter().map(|id| id.to_be_bytes().to_vec()).collect();
        sent.sort_unstable();
        assert_eq!(payloads, sent);
    }
}

#[tokio::test]
async fn a_message_counts_as_outstanding_until_it_is_complete() {
    let mut setup = Setup::default();
    setup.listener.receive_maximum = 2;
    let server = Server::with(setup).await;
    let mut client = Raw::enter(server.addr(), V5, "sensor").await;
    for id in [1, 2] {
        client.send(&publish_once(V5, false, id, TOPIC, b"a")).await;
        assert_eq!(client.answer(PUBREC).await, (id, None));
    }
    client.send(&release(1)).await;
    assert_eq!(client.answer(PUBCOMP).await, (1, None));
    client.send(&publish_once(V5, false, 3, TOPIC, b"a")).await;
    assert_eq!(client.answer(PUBREC).await, (3, None));
    client.send(&publish_once(V5, false, 4, TOPIC, b"a")).await;
    assert_eq!(client.end().await, Some(0x93), "receive maximum exceeded");
}

#[tokio::test]
async fn the_file_forgets_packet_ids_with_their_message_and_with_their_session() {
    let server = Server::start().await;
    let (mut client, _) = Raw::connect(server.addr(), &Connect::session(V5, "sensor", true)).await;
    for id in [1, 2] {
        client.send(&publish_once(V5, false, id, TOPIC, b"a")).await;
        client.answer(PUBREC).await;
    }
    assert_eq!(server.packet_ids(), 2);
    client.send(&release(1)).await;
    client.answer(PUBCOMP).await;
    assert_eq!(server.packet_ids(), 1);
    // DISCONNECT, with a session expiry of 0.
    client.send(&[0xe0, 7, 0, 5, 0x11, 0, 0, 0, 0]).await;
    assert_eq!(client.receive().await, None);
    let (_client, present) = Raw::connect(server.addr(), &Connect::session(V5, "sensor", false)).await;
    assert!(!present);
    assert_eq!(server.packet_ids(), 0);
}
