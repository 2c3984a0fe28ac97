//! When the queues are full.

use std::time::{Duration, Instant};

use millstream::queue::QueueName;

use super::{
    raw::{Connect, PATIENCE, Raw, V3, V5, publish},
    server::{Server, Setup, drain},
};

const TOPIC: &str = "devices/a/telemetry";

/// Queues that are full after a frame, and a buffer for a few messages.
fn tight() -> Setup {
    let mut setup = Setup { queue_bytes_max: 1, ..Setup::default() };
    setup.packer.buffer_bytes_max = 20_000;
    setup.packer.frame_bytes_max = 4_000;
    setup
}

#[tokio::test]
async fn full_queues_slow_publishers_down_and_lose_nothing() {
    const MESSAGES: u16 = 400;
    let server = Server::with(tight()).await;
    let mut clients = Vec::new();
    for (version, id) in [(V3, "one"), (V5, "two")] {
        let mut client = Raw::enter(server.addr(), version, id).await;
        clients.push(tokio::spawn(async move {
            let payload = [b'x'; 400];
            for id in 1..=MESSAGES {
                let topic = format!("devices/{}/telemetry", id % 7);
                client.send(&publish(version, id, &topic, &payload)).await;
            }
            client.pubacks(usize::from(MESSAGES)).await
        }));
    }
    // Only what fits into one frame and the buffers is taken, and nothing is read that is not.
    let full = Instant::now() + PATIENCE;
    while server.ingest.stats().buffered_bytes < 20_000 {
        assert!(Instant::now() < full, "the buffer fills: {:?}", server.ingest.stats());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(server.ingest.stats().buffered_bytes < 22_000, "{:?}", server.ingest.stats());
    assert!(!clients.iter().any(|client| client.is_finished()));

    let received = drain(&server.queues, QueueName::Validate, 2 * usize::from(MESSAGES)).await;
    for client in clients {
        assert_eq!(client.await.unwrap(), (1..=MESSAGES).collect::<Vec<u16>>());
    }
    assert_eq!(received.len(), 2 * usize::from(MESSAGES));
    assert_eq!(server.ingest.stats().buffered_bytes, 0);
}

#[tokio::test]
async fn keep_alive_is_not_held_against_who_waits_for_us() {
    let server = Server::with(tight()).await;
    let connect = Connect { keep_alive: 1, ..Connect::new(V3, "sensor") };
    let (mut client, _) = Raw::connect(server.addr(), &connect).await;
    client.publish(1, TOPIC, b"1").await;
    client.pubacks(1).await;
    client.publish(2, TOPIC, b"2").await;
    // It waits, silently, for longer than its keep-alive allows.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(server.ingest.stats().connections, 1);
    let queues = server.queues.clone();
    let draining = tokio::spawn(async move { drain(&queues, QueueName::Validate, 2).await });
    assert_eq!(client.pubacks(1).await, [2]);
    draining.await.unwrap();
}
