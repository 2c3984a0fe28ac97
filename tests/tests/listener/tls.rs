//! Who gets through TLS, and who does not.

use std::{net::SocketAddr, time::Duration};

use millstream::{ingest::Scheme, queue::QueueName};
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, QoS, TlsConfiguration, Transport};
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

use super::{
    certificates::{Authority, Identity},
    raw::{Connect, PATIENCE, Raw, V3},
    server::{Server, Setup, start},
};

const TOPIC: &str = "devices/a/telemetry";

fn setup(authority: &Authority, asks: bool) -> Setup {
    let mut setup = Setup::default();
    setup.listener.listen_tls = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    setup.listener.tls = Some(authority.options(asks));
    setup
}

/// A client library that others use, and what it connects with.
fn client(server: &Server, trusts: &Authority, identity: Option<&Identity>) -> (AsyncClient, EventLoop) {
    let mut options = MqttOptions::new("sensor", "localhost", server.door(Scheme::Mqtts).port());
    let client_auth =
        identity.map(|identity| (identity.cert_pem.clone().into(), identity.key.serialize_pem().into()));
    let tls = TlsConfiguration::Simple { ca: trusts.pem().into(), alpn: None, client_auth };
    options.set_transport(Transport::Tls(tls));
    AsyncClient::new(options, 10)
}

/// Publishes until all is acknowledged, or tells why it cannot.
async fn publish(client: AsyncClient, mut events: EventLoop, count: usize) -> Result<(), String> {
    let publishing = async move {
        for index in 0..count {
            client.publish(TOPIC, QoS::AtLeastOnce, false, index.to_string()).await.unwrap();
        }
        client
    };
    let publishing = tokio::spawn(publishing);
    let mut acknowledged = 0;
    while acknowledged < count {
        let event = timeout(PATIENCE, events.poll()).await.expect("an event in time");
        if let Event::Incoming(Packet::PubAck(_)) = event.map_err(|error| error.to_string())? {
            acknowledged += 1;
        }
    }
    publishing.await.unwrap();
    Ok(())
}

#[tokio::test]
async fn messages_of_rumqttc_arrive_by_tls() {
    let authority = Authority::new();
    let server = Server::with(setup(&authority, false)).await;
    let (client, events) = client(&server, &authority, None);
    publish(client, events, 300).await.unwrap();
    let received = server.drain(QueueName::Validate, 300).await;
    let payloads: Vec<_> = received.into_iter().map(|message| message.payload).collect();
    let sent: Vec<_> = (0..300).map(|index: usize| index.to_string().into_bytes()).collect();
    assert_eq!(payloads, sent);
}

#[tokio::test]
async fn a_client_must_show_a_certificate_where_one_is_asked_for() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = Server::with(setup(&authority, true)).await;
    for (identity, fate) in [
        (None, Err("CertificateRequired")),
        (Some(other.sign(&["sensor"])), Err("UnknownCA")),
        (Some(authority.sign(&["sensor"])), Ok(())),
    ] {
        let (client, events) = client(&server, &authority, identity.as_ref());
        let published = publish(client, events, 1).await;
        match fate {
            Ok(()) => assert_eq!(published, Ok(())),
            // By TLS 1.3 a client may find out only after its first words, and then has lost the reason.
            Err(reason) => {
                let error = published.unwrap_err();
                let lost =
                    ["reset", "Broken pipe", "closed by peer"].into_iter().any(|lost| error.contains(lost));
                assert!(error.contains(reason) || lost, "{error}, not {reason}");
            }
        }
    }
    assert_eq!(server.rows(QueueName::Validate).await, 1);
}

#[tokio::test]
async fn a_client_that_trusts_another_ca_leaves() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = Server::with(setup(&authority, false)).await;
    let (stranger, events) = client(&server, &other, None);
    let error = publish(stranger, events, 1).await.unwrap_err();
    assert!(error.contains("UnknownIssuer"), "{error}");
    // The others do not notice.
    let (client, events) = client(&server, &authority, None);
    publish(client, events, 1).await.unwrap();
}

#[tokio::test]
async fn plain_words_at_the_door_for_tls_end_the_connection() {
    let authority = Authority::new();
    let server = Server::with(setup(&authority, false)).await;
    let mut socket = TcpStream::connect(server.door(Scheme::Mqtts)).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut socket, &Connect::new(V3, "sensor").bytes()).await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, socket.read_to_end(&mut answer)).await.expect("hung up").unwrap();
    assert_eq!(answer[0], 0x15, "an alert of TLS: {answer:?}");

    // And TLS at the other door.
    let socket = TcpStream::connect(server.addr()).await.unwrap();
    assert!(timeout(PATIENCE, authority.dial(socket, None)).await.expect("hung up").is_err());
    Raw::enter(server.addr(), V3, "sensor").await;
}

#[tokio::test]
async fn a_handshake_takes_no_longer_than_a_connection_may() {
    let authority = Authority::new();
    let mut setup = setup(&authority, false);
    // Long enough for a handshake on a busy machine.
    setup.listener.connect_timeout = Duration::from_secs(4);
    let server = Server::with(setup).await;
    // Neither of them keeps others waiting.
    let mut silent = TcpStream::connect(server.door(Scheme::Mqtts)).await.unwrap();
    let mut slow = TcpStream::connect(server.door(Scheme::Mqtts)).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut slow, &[0x16, 3, 1]).await.unwrap();
    let socket = TcpStream::connect(server.door(Scheme::Mqtts)).await.unwrap();
    let mut client = Raw::on(authority.dial(socket, None).await.unwrap(), V3);
    client.begin(&Connect::new(V3, "sensor")).await;
    for socket in [&mut silent, &mut slow] {
        let mut answer = Vec::new();
        let ended = timeout(PATIENCE, socket.read_to_end(&mut answer)).await;
        ended.expect("hung up").unwrap();
    }
    client.publish(1, TOPIC, b"1").await;
    assert_eq!(client.pubacks(1).await, [1]);
}

#[tokio::test]
async fn a_listener_without_good_certificates_does_not_start() {
    let (authority, other) = (Authority::new(), Authority::new());
    let refusal = async |change: &dyn Fn(&mut Setup)| {
        let dir = tempfile::tempdir().unwrap();
        let mut setup = setup(&authority, false);
        change(&mut setup);
        let (ingest, _queues) = start(dir.path().join("millstream.db"), &setup).await;
        ingest.err().expect("no intake").to_string()
    };
    let error = refusal(&|setup| setup.listener.tls = None).await;
    assert!(error.contains("tls.cert_file"), "{error}");
    let error = refusal(&|setup| {
        setup.listener.tls.as_mut().unwrap().key_file = other.path("server.key");
    })
    .await;
    assert!(error.contains("is not the private key of") && error.contains("server.pem"), "{error}");
    let error = refusal(&|setup| {
        setup.listener.tls.as_mut().unwrap().key_file = authority.path("gone.key");
    })
    .await;
    assert!(error.contains("cannot read") && error.contains("gone.key"), "{error}");
    let error = refusal(&|setup| {
        setup.listener.tls.as_mut().unwrap().key_file = authority.path("server.pem");
    })
    .await;
    assert!(error.contains("server.pem has no private key"), "{error}");
}

#[tokio::test]
async fn other_machines_may_publish_with_a_certificate() {
    let authority = Authority::new();
    for (asks, starts) in [(true, true), (false, false)] {
        let dir = tempfile::tempdir().unwrap();
        let mut setup = setup(&authority, asks);
        setup.listener.listen_tls = Some(SocketAddr::from(([0, 0, 0, 0], 0)));
        let (ingest, _queues) = start(dir.path().join("millstream.db"), &setup).await;
        assert_eq!(ingest.is_ok(), starts, "{:?}", ingest.err());
    }
}
