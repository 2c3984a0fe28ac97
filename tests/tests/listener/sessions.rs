//! Whether a client is told the truth about its session.

use std::time::Duration;

use super::{
    raw::{Connect, GOODBYE, Raw, V3, V5},
    server::{Server, Setup},
};

enum Step {
    /// Connects with these flags; the answer says whether there was a session.
    Connect { clean: bool, expiry: Option<u32>, present: bool },
    /// Says goodbye and hangs up.
    Leave,
    /// Leaves with another expiry (MQTT 5).
    LeaveWith(u32),
    /// The process is killed and started again.
    Crash,
}
use Step::{Crash, Leave, LeaveWith};

fn connect(clean: bool, expiry: impl Into<Option<u32>>, present: bool) -> Step {
    Step::Connect { clean, expiry: expiry.into(), present }
}

async fn check(version: u8, case: &str, steps: &[Step]) {
    let mut server = Server::start().await;
    let mut client = None;
    for (index, step) in steps.iter().enumerate() {
        match *step {
            Step::Connect { clean, expiry, present } => {
                let connect = Connect { clean, expiry, ..Connect::new(version, "sensor") };
                let (raw, found) = Raw::connect(server.addr(), &connect).await;
                assert_eq!(found, present, "version {version}, {case}, step {index}");
                client = Some(raw);
            }
            Leave => leave(client.take(), &GOODBYE).await,
            LeaveWith(secs) => {
                let mut bytes = vec![0xe0, 7, 0, 5, 0x11];
                bytes.extend(secs.to_be_bytes());
                leave(client.take(), &bytes).await;
            }
            Crash => {
                server = server.restart().await;
                client = None;
            }
        }
    }
}

async fn leave(client: Option<Raw>, goodbye: &[u8]) {
    let mut client = client.expect("a client that is connected");
    client.send(goodbye).await;
    assert_eq!(client.receive().await, None);
}

#[tokio::test]
async fn session_present_is_true_when_it_is() {
    let keep = |present| connect(false, None, present);
    let clean = |present| connect(true, None, present);
    check(V3, "first time", &[keep(false)]).await;
    check(V3, "again", &[keep(false), Leave, keep(true)]).await;
    check(V3, "cleaned", &[keep(false), Leave, clean(false), Leave, keep(false)]).await;
    check(V3, "clean leaves nothing", &[clean(false), Leave, keep(false)]).await;
    check(V3, "crash while connected", &[keep(false), Crash, keep(true)]).await;
    check(V3, "crash while away", &[keep(false), Leave, Crash, keep(true)]).await;
    check(V3, "clean before a crash", &[keep(false), Leave, clean(false), Crash, keep(false)]).await;

    let keep = |present| connect(false, 3600, present);
    check(V5, "first time", &[keep(false)]).await;
    check(V5, "again", &[keep(false), Leave, keep(true)]).await;
    check(V5, "a clean start begins one", &[connect(true, 3600, false), Leave, keep(true)]).await;
    check(V5, "a clean start forgets one", &[keep(false), Leave, connect(true, 3600, false)]).await;
    check(V5, "ends with the connection", &[connect(false, None, false), Leave, keep(false)]).await;
    check(V5, "taken up, then ends", &[keep(false), Leave, connect(false, None, true), Leave, keep(false)])
        .await;
    check(V5, "given up at the end", &[keep(false), LeaveWith(0), keep(false)]).await;
    check(V5, "crash while connected", &[keep(false), Crash, keep(true)]).await;
    check(V5, "crash, ends with the connection", &[connect(true, None, false), Crash, keep(false)]).await;
}

#[tokio::test]
async fn a_session_expires() {
    let server = Server::start().await;
    let connect = Connect { clean: false, expiry: Some(1), ..Connect::new(V5, "sensor") };
    let (client, _) = Raw::connect(server.addr(), &connect).await;
    leave(Some(client), &GOODBYE).await;
    // The second begins when the end is noted, which may be after the connection was seen to close. Longer does no harm.
    tokio::time::sleep(Duration::from_millis(3000)).await;
    assert!(!Raw::connect(server.addr(), &connect).await.1);
}

#[tokio::test]
async fn an_expiry_over_the_limit_is_granted_up_to_it() {
    let mut setup = Setup::default();
    setup.listener.session_expiry_secs_max = 60;
    let server = Server::with(setup).await;
    let mut client = Raw::open(server.addr(), V5).await;
    let connect = Connect { clean: false, expiry: Some(u32::MAX), ..Connect::new(V5, "sensor") };
    client.send(&connect.bytes()).await;
    let connack = client.receive().await.unwrap();
    assert!(connack.body.windows(5).any(|property| property == [0x11, 0, 0, 0, 60]), "{connack:?}");
}

#[tokio::test]
async fn a_client_that_comes_again_takes_over() {
    for (version, told) in [(V3, None), (V5, Some(0x8e))] {
        let server = Server::start().await;
        let connect = Connect {
            clean: false,
            expiry: (version == V5).then_some(60),
            ..Connect::new(version, "sensor")
        };
        let (mut old, _) = Raw::connect(server.addr(), &connect).await;
        let (mut new, present) = Raw::connect(server.addr(), &connect).await;
        assert!(present);
        assert_eq!(old.end().await, told);
        new.publish(1, "devices/a/telemetry", b"1").await;
        new.pubacks(1).await;
    }
}

#[tokio::test]
async fn a_client_without_a_name_gets_one() {
    let server = Server::start().await;
    let (mut first, _) = Raw::connect(server.addr(), &Connect::new(V3, "")).await;
    let (_second, _) = Raw::connect(server.addr(), &Connect::new(V3, "")).await;
    first.publish(1, "devices/a/telemetry", b"1").await;
    first.pubacks(1).await;

    let mut named = Raw::open(server.addr(), V5).await;
    named.send(&Connect::new(V5, "").bytes()).await;
    let connack = named.receive().await.unwrap();
    assert!(connack.body.contains(&0x12), "an assigned client identifier: {connack:?}");

    let mut refused = Raw::open(server.addr(), V3).await;
    refused.send(&Connect { clean: false, ..Connect::new(V3, "") }.bytes()).await;
    assert_eq!(refused.receive().await.unwrap().body, [0, 2], "identifier rejected");
    assert_eq!(refused.receive().await, None);
}

#[tokio::test]
async fn sessions_have_a_limit_too() {
    let mut setup = Setup::default();
    setup.listener.sessions_max = 1;
    let server = Server::with(setup).await;
    let session = |client_id| Connect { clean: false, expiry: Some(60), ..Connect::new(V5, client_id) };
    let (_first, _) = Raw::connect(server.addr(), &session("one")).await;
    let mut second = Raw::open(server.addr(), V5).await;
    second.send(&session("two").bytes()).await;
    assert_eq!(second.receive().await.unwrap().body[1], 0x97, "quota exceeded");
    let (_clean, _) = Raw::connect(server.addr(), &Connect::new(V5, "two")).await;
}
