//! A broker that goes away and comes back, and a Millstream that does.

use rumqttc::{Client, Event, Incoming, MqttOptions, QoS};
use tests::{Child, Mosquitto, PATIENCE, Site, until};

use crate::{READINGS, another, holds_exactly, paced_replay, readings, series, topology, up};

#[test]
fn a_broker_that_is_not_there_yet_is_waited_for_and_that_is_said_once() {
    let mut broker = Mosquitto::new();
    let site = Site::new(&topology(&broker.url("mqtt"), ""));
    let series = series(&site);
    let mut command = site.millstream("up");
    command.env("MILLSTREAM_LOG", "info,millstream::ingest=debug");
    let up = Child::start(command);
    up.says("Connection refused");
    up.says("tries=3");
    broker.start();
    up.says("subscribed to devices/+/telemetry on mqtt://");
    broker.replay(&series).ended().well();
    until("the readings come", || readings(&site) >= READINGS);
    up.terminate();
    let said = up.ended().well().err;
    let about = |text: &str| said.iter().filter(|line| line.contains(text)).count();
    assert_eq!((about("it is tried again until it works"), about("subscribed to ")), (1, 1), "{said:#?}");
    assert_eq!(tests::lake::holds_exactly(&site.lake(), &series), READINGS);
}

#[test]
fn a_broker_that_restarts_in_the_middle_costs_nothing() {
    let mut broker = Mosquitto::new();
    broker.start();
    let site = Site::new(&topology(&broker.url("mqtt"), ""));
    let series = series(&site);
    let up = up(&site);
    let mut replay = paced_replay(&broker, &series);
    let mut seen = 0;
    for _ in 0..3 {
        until("messages flow", || readings(&site) > seen);
        assert!(replay.is_running(), "the replay was done before the broker was stopped");
        broker.stop();
        broker.start();
        seen = readings(&site);
    }
    replay.ended().well();
    holds_exactly(&site, &series, [up]);
}

#[test]
fn kill_9_in_the_middle_loses_nothing_and_repeats_nothing() {
    let mut broker = Mosquitto::new();
    broker.start();
    let site = Site::new(&topology(&broker.url("mqtt"), "group: shared"));
    let series = series(&site);
    let (mut first, mut second) = (up(&site), another(&site, "2"));
    let mut replay = paced_replay(&broker, &series);
    let mut seen = 0;
    for _ in 0..3 {
        until("messages flow", || readings(&site) > seen);
        assert!(replay.is_running(), "the replay was done before the kill");
        first.kill();
        second.kill();
        (first, second) = (up(&site), another(&site, "2"));
        seen = readings(&site);
    }
    replay.ended().well();
    holds_exactly(&site, &series, [second, first]);
}

#[test]
fn what_is_published_while_nobody_is_there_comes_afterwards() {
    let mut broker = Mosquitto::new();
    broker.start();
    let site = Site::new(&topology(&broker.url("mqtt"), ""));
    let series = series(&site);
    let before = up(&site);
    before.terminate();
    before.ended().well();
    broker.replay(&series).ended().well();
    broker.stop();
    broker.start();
    holds_exactly(&site, &series, [up(&site)]);
}

/// A session that a stop leaves behind has nothing in it that was taken.
#[test]
fn a_stop_acknowledges_what_it_has_taken() {
    let mut broker = Mosquitto::new();
    broker.start();
    let subscriber = "version: '3.1.1', client_id: taker";
    let site = Site::new(&topology(&broker.url("mqtt"), subscriber));
    let series = series(&site);
    let up = up(&site);
    broker.replay(&series).ended().well();
    holds_exactly(&site, &series, [up]);

    let address = broker.address();
    let mut options = MqttOptions::new("taker", address.ip().to_string(), address.port());
    options.set_clean_session(false);
    let (client, mut connection) = Client::new(options, 10);
    client.subscribe("end", QoS::AtLeastOnce).unwrap();
    client.publish("end", QoS::AtLeastOnce, false, "").unwrap();
    loop {
        let event = connection.recv_timeout(PATIENCE).expect("in time").expect("connected");
        match event {
            Event::Incoming(Incoming::ConnAck(welcome)) => assert!(welcome.session_present),
            Event::Incoming(Incoming::Publish(publish)) => {
                assert_eq!(publish.topic, "end", "the first in the session");
                break;
            }
            _ => {}
        }
    }
}
