//! How an intake ends.

use std::time::Duration;

use millstream::queue::QueueName;

use super::{
    raw::{DISCONNECT, PUBACK, Raw, V3, V5, publish},
    server::{Server, Setup},
};

#[tokio::test]
async fn stopping_acknowledges_what_was_received_then_says_so_and_hangs_up() {
    let mut setup = Setup::default();
    setup.packer.linger = Duration::from_secs(3600);
    let server = Server::with(setup).await;
    let mut clients = Vec::new();
    for version in [V3, V5] {
        let mut client = Raw::enter(server.addr(), version, if version == V3 { "old" } else { "new" }).await;
        let publishes: Vec<u8> =
            (1..=100).flat_map(|id| publish(version, id, "devices/a/telemetry", b"1")).collect();
        client.send(&publishes).await;
        clients.push((version, client));
    }
    let Server { ingest, queues, .. } = server;
    while ingest.stats().buffered_bytes < 200 * 60 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let stopping = tokio::spawn(ingest.stop());
    for (version, client) in &mut clients {
        assert_eq!(client.pubacks(100).await, (1..=100).collect::<Vec<u16>>());
        assert_eq!(client.end().await, (*version == V5).then_some(0x8b), "server shutting down");
    }
    stopping.await.unwrap().unwrap();
    assert_eq!(queues.depth(QueueName::Validate).await.unwrap().rows, 200);
}

#[tokio::test]
async fn stopping_ends_clients_that_wait_for_nothing() {
    let server = Server::start().await;
    let mut idle = Raw::enter(server.addr(), V5, "idle").await;
    let mut unknown = Raw::open(server.addr(), V5).await;
    let stopping = tokio::spawn(server.ingest.stop());
    let told = idle.receive().await.unwrap();
    assert_eq!((told.kind, told.body[0]), (DISCONNECT, 0x8b));
    assert_ne!(told.kind, PUBACK);
    assert_eq!(unknown.receive().await, None);
    drop((idle, unknown));
    stopping.await.unwrap().unwrap();
}
