use std::path::Path;

use stages::frame::{AlertsBuilder, FrameId, Header, Kind};

use super::*;
use crate::{
    database::Database,
    notify::{NotifyConfig, Recipients, WebhookConfig, transition},
    queue::{SqliteOptions, SqliteQueues},
};

#[tokio::test]
async fn what_waits_for_the_one_before_it_has_made_no_attempt() {
    let (queues, mut worker, _held) = with_a_fired_and_resolved_alert(3).await;
    for attempts in 0..3 {
        let received = receive(&queues, &worker).await;
        let seen: Vec<_> = received.iter().map(|delivery| delivery.attempts).collect();
        assert_eq!(seen, [attempts, 0], "nobody is there to take what fired");
        worker.round(received).await.unwrap();
    }
    assert_eq!(queues.depth(QueueName::Notify).await.unwrap().dead, 1, "what fired is given up");
    let left = receive(&queues, &worker).await;
    assert_eq!((left.len(), left[0].attempts), (1, 0), "what resolved it still has all its attempts");
}

#[tokio::test]
async fn waiting_for_a_turn_is_no_attempt() {
    let (queues, mut worker, _held) = with_a_fired_and_resolved_alert(3).await;
    let received = receive(&queues, &worker).await;
    let alert = Letter::of(&received[0]).unwrap().alert;
    // For less than nothing but the grace, which the queue waits out.
    worker.turns.put_off(&alert, received[0].receipt.frame(), Duration::ZERO, Instant::now());
    let mut received = received.into_iter();
    let (fired, resolved) = (received.next().unwrap(), received.next().unwrap());
    queues.settle(vec![(fired.receipt, Verdict::Done)]).await.remove(0).unwrap();
    worker.round(vec![resolved]).await.unwrap();
    let limits = ReceiveLimits { frames: 9, bytes: 1 << 20, wait: Duration::from_secs(20) };
    let again =
        queues.receive_lane(QueueName::Notify, worker.webhook.lane, queues.holder(), limits).await.unwrap();
    assert_eq!(again[0].attempts, 0);
}

async fn receive(queues: &Queues, worker: &Worker) -> Vec<Delivery> {
    let limits = ReceiveLimits { frames: 9, bytes: 1 << 20, wait: Duration::ZERO };
    queues.receive_lane(QueueName::Notify, worker.webhook.lane, worker.holder, limits).await.unwrap()
}

/// What a worker needs as long as it is there.
type Held = (tempfile::TempDir, tokio::net::TcpSocket);

/// A worker for a webhook that is not there, and two transitions of one alert in its lane.
async fn with_a_fired_and_resolved_alert(attempts_max: u32) -> (Queues, Worker, Held) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(&directory.path().join("millstream.db")).unwrap();
    let engine = SqliteQueues::open(database, SqliteOptions::default()).await.unwrap();
    let queues = Queues::Sqlite(engine);
    // Bound but not listening: the port is ours, so that nobody else's test listens there, and refuses connections.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    let config =
        format!(r#"{{"name": "a", "url": "http://127.0.0.1:{port}", "attempts_max": {attempts_max}}}"#);
    let config: WebhookConfig = serde_json::from_str(&config).unwrap();
    let webhook = Webhook::open(&config, Path::new(".")).unwrap();
    let mut builder = AlertsBuilder::default();
    for state in ["firing", "resolved"] {
        builder.append(&transition("one", "a", state, "critical"));
    }
    let id = FrameId::ingested(1, 1);
    let header =
        Header { id, kind: Kind::Alerts, lane: stages::frame::Lane(0), created_at: 0, epoch: 1, trace: None };
    let recipients = Recipients::of(&NotifyConfig { webhooks: vec![config], ..NotifyConfig::default() });
    let entries = recipients.publish(&builder.finish(header).unwrap()).unwrap();
    assert!(queues.publish(entries).await.iter().all(Result::is_ok));
    let worker = Worker::new(
        webhook,
        queues.clone(),
        QueueTrouble::new(STAGE),
        watch::Sender::new(Mode::Deliver).subscribe(),
    );
    (queues, worker, (directory, socket))
}
