//! What holds at every door: in the clear and by TLS, with and without a WebSocket.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use millstream::{ingest::Scheme, queue::QueueName};
use tokio::{
    net::{TcpSocket, TcpStream},
    task::JoinSet,
};

use super::{
    certificates::Authority,
    raw::{Connect, PATIENCE, PINGREQ, PINGRESP, Raw, V3, V5, packet, publish},
    server::{Server, Setup, drain},
    websocket_client,
};

const TOPIC: &str = "devices/a/telemetry";
const SCHEMES: [Scheme; 4] = [Scheme::Mqtt, Scheme::Mqtts, Scheme::Ws, Scheme::Wss];

/// All four, on free ports.
pub(crate) fn all(authority: &Authority) -> Setup {
    let mut setup = Setup::default();
    let free = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    setup.listener.listen_tls = free;
    setup.listener.listen_websocket = free;
    setup.listener.listen_websocket_tls = free;
    setup.listener.tls = Some(authority.options(false));
    // Four doors at once on a busy machine take their time to let everybody in.
    setup.listener.connect_timeout = PATIENCE;
    setup
}

/// A connection through one of them that has said nothing yet; WebSocket messages are of `piece` bytes.
async fn enter(server: &Server, authority: &Authority, scheme: Scheme, version: u8, piece: usize) -> Raw {
    let socket = TcpStream::connect(server.door(scheme)).await.unwrap();
    enter_by(socket, authority, scheme, version, piece).await
}

async fn enter_by(
    socket: TcpStream,
    authority: &Authority,
    scheme: Scheme,
    version: u8,
    piece: usize,
) -> Raw {
    socket.set_nodelay(true).unwrap();
    match scheme {
        Scheme::Mqtt => Raw::on(socket, version),
        Scheme::Mqtts => Raw::on(authority.dial(socket, None).await.unwrap(), version),
        Scheme::Ws => Raw::on(websocket_client::bytes(socket, piece).await, version),
        Scheme::Wss => {
            let socket = authority.dial(socket, None).await.unwrap();
            Raw::on(websocket_client::bytes(socket, piece).await, version)
        }
    }
}

#[tokio::test]
async fn messages_of_any_size_in_any_pieces_are_taken_at_every_door() {
    let authority = Authority::new();
    let server = Server::with(all(&authority)).await;
    for scheme in SCHEMES {
        for (version, piece) in [(V3, 1), (V5, 7), (V3, 30_000)] {
            let mut client = enter(&server, &authority, scheme, version, piece).await;
            client.begin(&Connect::new(version, "sensor")).await;
            // Pieces of a byte make many frames.
            let large = if piece == 1 { 2_000 } else { 200_000 };
            let payloads = [0, 10, large, 1, 20_000.min(large)].map(|size| vec![b'x'; size]);
            for (id, payload) in (1..).zip(&payloads) {
                client.publish(id, TOPIC, payload).await;
            }
            assert_eq!(client.pubacks(payloads.len()).await, [1, 2, 3, 4, 5], "{scheme:?}, {piece} bytes");
            client.send(&PINGREQ).await;
            assert_eq!(client.receive().await.unwrap().kind, PINGRESP);
            let received = server.drain(QueueName::Validate, payloads.len()).await;
            let received: Vec<_> = received.into_iter().map(|message| message.payload).collect();
            assert_eq!(received, payloads, "{scheme:?}, {piece} bytes");
        }
    }
}

#[tokio::test]
async fn full_queues_are_felt_at_every_door() {
    let doors = SCHEMES.map(full_queues_are_felt);
    all_of(doors).await;
}

async fn full_queues_are_felt(scheme: Scheme) {
    const MESSAGES: u16 = 400;
    let authority = Authority::new();
    let mut setup = Setup { queue_bytes_max: 1, ..all(&authority) };
    setup.packer.buffer_bytes_max = 20_000;
    setup.packer.frame_bytes_max = 4_000;
    let server = Server::with(setup).await;
    let mut client = enter(&server, &authority, scheme, V3, 4_000).await;
    client.begin(&Connect { keep_alive: 1, ..Connect::new(V3, "sensor") }).await;
    let publishing = tokio::spawn(async move {
        for id in 1..=MESSAGES {
            client.send(&publish(V3, id, TOPIC, &[b'x'; 400])).await;
        }
        client.pubacks(usize::from(MESSAGES)).await
    });
    let full = Instant::now() + PATIENCE;
    while server.ingest.stats().buffered_bytes < 20_000 {
        assert!(Instant::now() < full, "the buffer fills: {:?}", server.ingest.stats());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Longer than the client may be silent.
    tokio::time::sleep(Duration::from_millis(1800)).await;
    assert!(server.ingest.stats().buffered_bytes < 22_000, "{scheme:?}: {:?}", server.ingest.stats());
    let received = drain(&server.queues, QueueName::Validate, usize::from(MESSAGES)).await;
    assert_eq!(publishing.await.unwrap(), (1..=MESSAGES).collect::<Vec<u16>>(), "{scheme:?}");
    assert_eq!(received.len(), usize::from(MESSAGES));
}

#[tokio::test]
async fn who_reads_nothing_is_not_read_at_any_door() {
    let doors = SCHEMES.map(who_reads_nothing_is_not_read);
    all_of(doors).await;
}

async fn who_reads_nothing_is_not_read(scheme: Scheme) {
    let authority = Authority::new();
    let server = Server::with(all(&authority)).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let socket = socket.connect(server.door(scheme)).await.unwrap();
    let mut client = enter_by(socket, &authority, scheme, V5, 16_000).await;
    client.begin(&Connect::new(V5, "deaf")).await;
    // Each is refused at length: soon nobody's buffers have room any more.
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let subscribes = packet(0x82, &[0, 9, 0, 0, 1, b'a', 1]).repeat(1_000);
    let sending = tokio::spawn(async move {
        loop {
            client.send(&subscribes).await;
            count.fetch_add(subscribes.len(), Ordering::Relaxed);
        }
    });
    let deadline = Instant::now() + PATIENCE;
    let mut before = 0;
    // Not before anything was sent: that may take its time, too.
    while before == 0 || before != sent.load(Ordering::Relaxed) {
        assert!(Instant::now() < deadline, "{scheme:?}: it goes on and on");
        before = sent.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    sending.abort();
}

async fn all_of(doors: [impl Future<Output = ()> + Send + 'static; 4]) {
    let mut doors: JoinSet<()> = doors.into_iter().collect();
    while let Some(ended) = doors.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test]
async fn stopping_is_told_at_every_door() {
    let authority = Authority::new();
    let server = Server::with(all(&authority)).await;
    let mut clients = Vec::new();
    for scheme in SCHEMES {
        let mut client = enter(&server, &authority, scheme, V5, 100).await;
        client.begin(&Connect { client_id: "", ..Connect::new(V5, "") }).await;
        client.publish(1, TOPIC, b"1").await;
        client.pubacks(1).await;
        clients.push((scheme, client));
        // Some have not even begun.
        clients.push((scheme, enter(&server, &authority, scheme, V5, 100).await));
    }
    let stopping = tokio::spawn(server.ingest.stop());
    for (index, (scheme, mut client)) in clients.into_iter().enumerate() {
        assert_eq!(client.end().await, (index % 2 == 0).then_some(0x8b), "{scheme:?}: server shutting down");
    }
    tokio::time::timeout(PATIENCE, stopping).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn the_plain_door_can_be_closed() {
    let authority = Authority::new();
    let mut setup = all(&authority);
    setup.listener.listen = None;
    let server = Server::with(setup).await;
    assert_eq!(server.ingest.local_addr(), None);
    let schemes: Vec<_> = server.ingest.doors().iter().map(|door| door.scheme).collect();
    assert_eq!(schemes, SCHEMES[1..]);
    let mut client = enter(&server, &authority, Scheme::Mqtts, V3, 0).await;
    client.begin(&Connect::new(V3, "sensor")).await;
}
