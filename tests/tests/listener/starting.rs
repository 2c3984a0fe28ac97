//! Where it listens, and where it refuses to.

use std::net::SocketAddr;

use super::server::{Server, Setup, start};

async fn refusal(listen: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let mut setup = Setup::default();
    setup.listener.listen = Some(listen.parse().unwrap());
    let (ingest, _queues) = start(dir.path().join("millstream.db"), &setup).await;
    ingest.err().expect("no intake").to_string()
}

#[tokio::test]
async fn only_this_machine_may_publish_unless_everybody_may() {
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:1883"] {
        let error = refusal(listen).await;
        assert!(error.contains(listen) && error.contains("allow_anonymous: true"), "{error}");
    }
    let mut setup = Setup::default();
    setup.listener.listen = Some(SocketAddr::from(([0, 0, 0, 0], 0)));
    setup.listener.allow_anonymous = true;
    Server::with(setup).await;
}

#[tokio::test]
async fn a_taken_port_is_an_error_with_the_way_out() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let error = refusal(&listen).await;
    assert!(error.contains(&listen) && error.contains("--listen 127.0.0.1:0"), "{error}");
}

#[tokio::test]
async fn message_numbers_never_come_again() {
    use millstream::queue::QueueName;

    use super::raw::{Raw, V3};

    let mut server = Server::start().await;
    let mut numbers = Vec::new();
    for _ in 0..3 {
        let mut client = Raw::enter(server.addr(), V3, "sensor").await;
        client.publish(1, "devices/a/telemetry", b"1").await;
        client.pubacks(1).await;
        numbers.extend(server.drain(QueueName::Validate, 1).await.iter().map(|message| message.number));
        server = server.restart().await;
    }
    let epochs: Vec<u64> = numbers.iter().map(|number| number >> 40).collect();
    assert_eq!(epochs, [epochs[0], epochs[0] + 1, epochs[0] + 2]);
}
