use std::{
    collections::{BTreeMap, HashSet},
    future::pending,
    path::Path,
    time::Duration,
};

use chrono::DateTime;
use device_sim::{
    Faults, Mqtt, Qos, SimError, Target,
    report::RunReport,
    run::{RunOptions, run, run_until},
    verify::{Way, verify},
};
use tokio::net::TcpSocket;

use super::broker::{Behaviour, Broker, Received};

const EVERY_WAY: [(Mqtt, Qos); 4] = [
    (Mqtt::V3_1_1, Qos::AtLeastOnce),
    (Mqtt::V3_1_1, Qos::ExactlyOnce),
    (Mqtt::V5, Qos::AtLeastOnce),
    (Mqtt::V5, Qos::ExactlyOnce),
];

fn options(target: Target, messages: u64) -> RunOptions {
    let start = DateTime::from_timestamp(1_767_225_600, 0).unwrap();
    let broker = target.broker.clone();
    RunOptions {
        target,
        devices: 7,
        rate: 0.0,
        seconds: None,
        messages: Some(messages),
        ..RunOptions::new(broker, start)
    }
}

/// What a fault-free fleet of these options sends, by asking a server that loses nothing.
async fn sent_by(options: &RunOptions) -> Vec<String> {
    let broker = Broker::start(Behaviour::default()).await;
    let mut options = options.clone();
    options.target.broker = broker.address();
    options.ledger = None;
    run(options, false).await.unwrap();
    broker.payloads()
}

fn counts(report: &RunReport) -> [u64; 4] {
    [report.published, report.acknowledged, report.refused, report.unacknowledged]
}

#[tokio::test]
async fn every_version_and_quality_delivers_all_in_order() {
    for (mqtt, qos) in EVERY_WAY {
        let broker = Broker::start(Behaviour::default()).await;
        let options = options(broker.target(mqtt, qos), 500);
        let report = run(options.clone(), false).await.unwrap();
        assert_eq!(counts(&report), [500, 500, 0, 0], "{mqtt:?} {qos:?}");
        assert_eq!(report.resent + report.stray_acknowledgements + report.reconnects, 0);
        assert!(report.latency_ms.p50 > 0.0 && report.latency_ms.p50 <= report.latency_ms.max);
        assert_eq!(broker.received().len(), 500);
        assert_eq!(broker.payloads(), sent_by(&options).await, "{mqtt:?} {qos:?}");
    }
}

#[tokio::test]
async fn quality_0_is_sent_and_not_acknowledged() {
    for mqtt in [Mqtt::V3_1_1, Mqtt::V5] {
        let broker = Broker::start(Behaviour::default()).await;
        let report = run(options(broker.target(mqtt, Qos::AtMostOnce), 300), false).await.unwrap();
        assert_eq!(counts(&report), [300, 0, 0, 0]);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        while broker.received().len() < 300 && tokio::time::Instant::now() < deadline {
            tokio::task::yield_now().await;
        }
        assert_eq!(broker.received().len(), 300);
    }
}

/// Every packet of a connection after the first that repeats one of an earlier connection.
fn repeated(received: &[Received]) -> Vec<(&Received, &Received)> {
    let mut first = BTreeMap::new();
    let mut repeated = Vec::new();
    for packet in received {
        match first.get(&packet.payload) {
            Some(earlier) => repeated.push((*earlier, packet)),
            None => drop(first.insert(&packet.payload, packet)),
        }
    }
    repeated
}

#[tokio::test]
async fn a_resumed_session_repeats_with_dup_and_the_same_identifiers() {
    for (mqtt, qos) in EVERY_WAY {
        let behaviour = Behaviour { drop_after: vec![25, 1, 40], ..Behaviour::default() };
        let broker = Broker::start(behaviour).await;
        let options = options(broker.target(mqtt, qos), 200);
        let report = run(options.clone(), false).await.unwrap();
        assert_eq!(counts(&report), [200, 200, 0, 0], "{mqtt:?} {qos:?}");
        assert_eq!((report.reconnects, report.stray_acknowledgements), (3, 0));
        assert_eq!(broker.payloads(), sent_by(&options).await, "{mqtt:?} {qos:?}");
        let received = broker.received();
        for (earlier, later) in repeated(&received) {
            assert!(later.dup, "{later:?}");
            assert_eq!(earlier.id, later.id);
        }
        let fresh = received.len() - repeated(&received).len();
        assert_eq!((received.iter().filter(|one| !one.dup).count(), fresh), (200, 200));
        if qos == Qos::AtLeastOnce {
            assert!(!repeated(&received).is_empty());
        } else {
            assert_eq!(received.len(), 200, "a session that knows the identifiers takes nothing twice");
        }
    }
}

#[tokio::test]
async fn a_lost_session_is_sent_anew_in_order() {
    for (mqtt, qos) in EVERY_WAY {
        let behaviour = Behaviour { drop_after: vec![25, 1, 40], forgetful: true, ..Behaviour::default() };
        let broker = Broker::start(behaviour).await;
        let options = options(broker.target(mqtt, qos), 200);
        let report = run(options.clone(), false).await.unwrap();
        assert_eq!(counts(&report), [200, 200, 0, 0], "{mqtt:?} {qos:?}");
        let received = broker.received();
        assert_eq!(broker.payloads(), sent_by(&options).await, "{mqtt:?} {qos:?}");
        assert!(received.iter().all(|packet| !packet.dup), "the server's new session has seen none of them");
        assert_eq!(report.resent, repeated(&received).len() as u64);
        for connection in 0..4 {
            let payloads = received.iter().filter(|one| one.connection == connection).map(|one| &one.payload);
            let order: Vec<_> = payloads.map(|payload| position(&broker.payloads(), payload)).collect();
            assert!(order.is_sorted(), "{mqtt:?} {qos:?} connection {connection}: {order:?}");
        }
    }
}

fn position(payloads: &[String], payload: &String) -> usize {
    payloads.iter().position(|one| one == payload).unwrap()
}

#[tokio::test]
async fn receive_maximum_holds_also_for_what_is_sent_again() {
    let behaviour = Behaviour { receive_maximum: Some(3), drop_after: vec![30], ..Behaviour::default() };
    let broker = Broker::start(behaviour).await;
    for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
        let report = run(options(broker.target(Mqtt::V5, qos), 200), false).await.unwrap();
        // A server of this kind ends the connection that sends one more.
        assert!(report.reconnects <= 1, "{report:?}");
        assert_eq!(counts(&report), [200, 200, 0, 0]);
    }
}

#[tokio::test]
async fn a_refusal_is_counted_written_down_and_not_repeated() {
    let broker = Broker::start(Behaviour { refused: Some("dev-000003"), ..Behaviour::default() }).await;
    let directory = tempfile::tempdir().unwrap();
    let ledger = directory.path().join("ledger");
    let options =
        RunOptions { ledger: Some(ledger.clone()), ..options(broker.target(Mqtt::V5, Qos::AtLeastOnce), 70) };
    let report = run(options, false).await.unwrap();
    assert_eq!(counts(&report), [70, 60, 10, 0]);
    assert!(!report.is_complete());
    assert_eq!(broker.received().len(), 70);
    let lines = std::fs::read_to_string(ledger).unwrap();
    assert_eq!(lines.matches(r#""reason":151"#).count(), 10, "{lines}");
}

#[tokio::test]
async fn what_the_server_calls_too_large_is_not_sent() {
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
        let broker = Broker::start(Behaviour { packet_bytes_max: Some(100), ..Behaviour::default() }).await;
        let report = run(options(broker.target(Mqtt::V5, qos), 20), false).await.unwrap();
        assert_eq!(counts(&report), [20, 0, 20, 0], "{qos:?}");
        assert_eq!(broker.received(), []);
    }
}

#[tokio::test]
async fn a_device_stays_on_its_connection() {
    let broker = Broker::start(Behaviour::default()).await;
    let target = Target { connections: 20, ..broker.target(Mqtt::V5, Qos::AtLeastOnce) };
    let report = run(options(target, 100), false).await.unwrap();
    assert_eq!(report.published, 100);
    let received = broker.received();
    let pairs: HashSet<_> = received.iter().map(|one| (&one.topic, &one.client)).collect();
    let clients: HashSet<_> = received.iter().map(|one| &one.client).collect();
    assert_eq!((pairs.len(), clients.len()), (7, 7), "one connection for each of the 7 devices");
}

#[tokio::test]
async fn a_leftover_session_is_discarded() {
    let broker = Broker::start(Behaviour::default()).await;
    for mqtt in [Mqtt::V3_1_1, Mqtt::V5] {
        for _ in 0..2 {
            // Its identifiers begin anew: with the old session the server would take them for repetitions.
            let stopped = options(broker.target(mqtt, Qos::ExactlyOnce), u64::MAX);
            let before = broker.received().len();
            let enough = async {
                while broker.received().len() < before + 100 {
                    tokio::task::yield_now().await;
                }
            };
            run_until(stopped, false, enough).await.unwrap();
            while broker.is_connected() {
                tokio::task::yield_now().await;
            }
        }
        let before = broker.received().len();
        let report = run(options(broker.target(mqtt, Qos::ExactlyOnce), 100), false).await.unwrap();
        assert_eq!((report.acknowledged, broker.received().len() - before), (100, 100), "{mqtt:?}");
    }
}

#[tokio::test]
async fn a_finished_client_of_mqtt_5_leaves_no_session() {
    let broker = Broker::start(Behaviour::default()).await;
    run(options(broker.target(Mqtt::V5, Qos::AtLeastOnce), 10), false).await.unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while broker.sessions() > 0 && tokio::time::Instant::now() < deadline {
        tokio::task::yield_now().await;
    }
    assert_eq!(broker.sessions(), 0);
}

#[tokio::test]
async fn a_server_that_lets_nobody_in_is_an_error_with_the_way_out() {
    for mqtt in [Mqtt::V3_1_1, Mqtt::V5] {
        let broker = Broker::start(Behaviour { closed: true, ..Behaviour::default() }).await;
        let error = run(options(broker.target(mqtt, Qos::AtLeastOnce), 1), false).await.unwrap_err();
        assert_eq!(error.exit_code(), 1);
        let text = error.to_string();
        assert!(text.contains("NotAuthorized") && text.contains("mqtt://user:password@"), "{text}");
        assert!(text.contains("test-0"), "{text}");
    }
}

#[tokio::test]
async fn a_server_that_comes_later_is_waited_for() {
    // Bound but not listening: the port is ours, and refuses connections.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let target = Target {
        broker: device_sim::Address::new("127.0.0.1", address.port()),
        mqtt: Mqtt::V5,
        qos: Qos::AtLeastOnce,
        connections: 1,
        inflight: 10,
        client_prefix: "early".into(),
    };
    let running = tokio::spawn(run(options(target, 10), false));
    // Time for a first attempt in vain; nothing depends on it.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let broker = Broker::serve(socket.listen(16).unwrap(), Behaviour::default());
    assert_eq!(running.await.unwrap().unwrap().acknowledged, 10);
    assert_eq!(broker.received().len(), 10);
}

#[tokio::test]
async fn stop_and_the_limit_leave_what_is_not_acknowledged() {
    let broker = Broker::start(Behaviour { mute: true, ..Behaviour::default() }).await;
    let target = broker.target(Mqtt::V5, Qos::AtLeastOnce);
    let all_in_flight = async {
        while broker.received().len() < 10 {
            tokio::task::yield_now().await;
        }
    };
    let report = run_until(options(target.clone(), 100), false, all_in_flight).await.unwrap();
    assert_eq!(counts(&report), [10, 0, 0, 10]);

    // Long enough to connect and to fill the window, also on a busy machine.
    let limited = RunOptions { seconds: Some(3.0), drain_secs: 0, ..options(target, 100) };
    assert_eq!(counts(&run_until(limited, false, pending()).await.unwrap()), [10, 0, 0, 10]);
}

#[tokio::test]
async fn a_rate_is_kept() {
    let broker = Broker::start(Behaviour::default()).await;
    let target = broker.target(Mqtt::V5, Qos::AtLeastOnce);
    let options = RunOptions { rate: 400.0, seconds: Some(0.5), messages: None, ..options(target, 0) };
    let report = run(options, false).await.unwrap();
    assert_eq!(report.published, 200);
    // The last is due 2.5 ms before the half second is over.
    assert!(report.seconds >= 0.497, "{report:?}");
}

#[tokio::test]
async fn options_out_of_range_are_named() {
    let broker = Broker::start(Behaviour::default()).await;
    let fine = options(broker.target(Mqtt::V5, Qos::AtLeastOnce), 1);
    for (options, part) in [
        (RunOptions { devices: 0, ..fine.clone() }, "devices"),
        (RunOptions { rate: -1.0, ..fine.clone() }, "rate -1"),
        (RunOptions { rate: f64::NAN, ..fine.clone() }, "rate NaN"),
        (RunOptions { seconds: Some(0.0), ..fine.clone() }, "seconds 0"),
        (RunOptions { messages: None, ..fine.clone() }, "no end"),
        (RunOptions { ledger: Some("/nonexistent/ledger".into()), ..fine.clone() }, "/nonexistent/ledger"),
    ] {
        let error = run(options, false).await.unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
        assert_eq!(error.exit_code(), 2);
    }
    assert!(matches!(refuse_foreign_file(&fine).await, SimError::File { .. }));
}

/// A ledger is appended to, so it must be one.
async fn refuse_foreign_file(options: &RunOptions) -> SimError {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("precious.csv");
    std::fs::write(&path, "time,value\n1,2").unwrap();
    let options = RunOptions { ledger: Some(path.clone()), ..options.clone() };
    let error = run(options, false).await.unwrap_err();
    assert_eq!(read(&path), "time,value\n1,2");
    error
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn the_ledger_has_every_publish_and_every_acknowledgement() {
    let broker = Broker::start(Behaviour { drop_after: vec![50], ..Behaviour::default() }).await;
    let directory = tempfile::tempdir().unwrap();
    let ledger = directory.path().join("ledger");
    let faults: Faults = "malformed=0.1,schema=0.1,repeat=0.2,late=0.1,spike=0.1".parse().unwrap();
    let options = RunOptions {
        ledger: Some(ledger.clone()),
        faults,
        ..options(broker.target(Mqtt::V5, Qos::AtLeastOnce), 300)
    };
    let report = run(options, false).await.unwrap();
    let lake = directory.path().join("lake");
    std::fs::create_dir_all(lake.join("readings")).unwrap();
    let verification = verify(&ledger, &lake, Way::Direct).unwrap();
    assert_eq!(verification.published, report.published);
    assert_eq!(verification.acknowledged, report.published);
    assert_eq!(verification.missing, report.published, "the lake is empty");
    assert!(report.published > 300 && report.faults["repeat"] == report.published - 300, "{report:?}");
    let labels = read(&ledger);
    for fault in ["\"malformed\"", "\"schema\"", "\"repeat\"", "\"late\"", "\"spike:", "\"resent\""] {
        assert!(labels.contains(fault), "{fault}");
    }
}
