//! Yardstick 1: how many messages a broker passes on to somebody who does nothing with them.

use std::{
    env,
    net::SocketAddr,
    process::Command,
    time::{Duration, Instant},
};

use rumqttc::{
    NetworkOptions,
    v5::{
        AsyncClient, Event, EventLoop, Incoming, MqttOptions,
        mqttbytes::{QoS, v5::ConnectProperties},
    },
};
use serde_json::json;

use super::{
    figures::Figures,
    measure::{self, micros_for_each},
    options::Plan,
    send::{Load, send},
};
use crate::{Child, Mosquitto};

/// A broker that keeps nothing on disk, drops nothing, and has as many messages in flight as those that publish.
pub(super) fn broker(plan: &Plan) -> Mosquitto {
    let mut broker = Mosquitto::new();
    broker.configure_in_memory(&format!(
        "allow_anonymous true\nmax_inflight_messages {}\nmax_queued_bytes 0\nset_tcp_nodelay true\n",
        plan.inflight
    ));
    broker.start();
    broker
}

/// One round; answers messages/s.
pub(super) fn round(plan: &Plan, figures: &mut Figures) -> f64 {
    let (broker, messages) = (broker(plan), plan.messages_by_broker());
    let mut command = Command::new(env::current_exe().expect("a program"));
    command.args(["count", &broker.address().to_string(), &messages.to_string(), &plan.inflight.to_string()]);
    let counter = Child::start(command);
    counter.says("subscribed");
    let sent = send(Load::of(messages).command(plan, broker.address()));
    let counted = measure::until_ended(counter);
    let report = counted.ended.json();
    assert_eq!(report["messages"], messages, "{report}");
    let rate = messages as f64 / report["seconds"].as_f64().expect("seconds");
    figures.add("broker_floor_msgs_per_sec", rate);
    figures.add("broker_floor_subscriber_cpu_us_per_message", micros_for_each(counted.cpu, messages));
    figures.add("simulator_cpu_us_per_message", micros_for_each(sent.cpu, messages));
    rate
}

/// The subscriber: counts `messages`, and tells how long that took from the first to the last. rumqttc acknowledges.
pub(super) fn count(broker: SocketAddr, messages: u64, inflight: u16) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let seconds = runtime.block_on(async {
        let (client, mut events) = AsyncClient::new(options(broker, inflight), 1 << 16);
        client.subscribe("#", QoS::AtLeastOnce).await.expect("room for a request");
        while !matches!(next(&mut events).await, Event::Incoming(Incoming::SubAck(_))) {}
        eprintln!("subscribed");
        let mut first = None;
        let mut counted = 0;
        while counted < messages {
            if matches!(next(&mut events).await, Event::Incoming(Incoming::Publish(_))) {
                first.get_or_insert_with(Instant::now);
                counted += 1;
            }
        }
        first.map_or(0.0, |first| first.elapsed().as_secs_f64())
    });
    println!("{}", json!({ "messages": messages, "seconds": seconds }));
}

fn options(broker: SocketAddr, inflight: u16) -> MqttOptions {
    let mut options = MqttOptions::new("counter", broker.ip().to_string(), broker.port());
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    options.set_connect_properties(ConnectProperties::new());
    options
        .set_receive_maximum(Some(inflight))
        // Under load without a pause rumqttc ends when its second ping is due.
        .set_keep_alive(Duration::from_secs(u16::MAX.into()))
        .set_manual_acks(false)
        .set_network_options(network);
    options
}

async fn next(events: &mut EventLoop) -> Event {
    events.poll().await.expect("the broker stays")
}
