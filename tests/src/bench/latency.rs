//! Yardstick 6: how long a device waits for its PUBACK, and a webhook for the alert that a message leads to.
//!
//! The simulator makes the load, and measures the PUBACKs. Beside it a few probes become too hot and cool down again; the
//! instant just before a publish is held against the arrival of the POST with the alert that it fires.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, sleep},
    time::{Duration, Instant},
};

use chrono::{SecondsFormat, Utc};
use hdrhistogram::Histogram;
use rumqttc::{Client, MqttOptions, QoS};
use serde_json::Value;

use super::{
    figures::Figures,
    measure,
    options::Plan,
    send::{Load, What, send},
};
use crate::{Child, Site, Webhook};

/// The rate that the issue of performance is measured at: messages/s, of which some are the probes'.
pub(super) const RATE: f64 = 2000.0;
const PROBES: usize = 8;
/// Every second one of them fires an alert.
const PROBES_PER_SEC: u32 = 40;
const TOPOLOGY: &str = "shutdown_secs: 3600\n\
    alert: { rules: [{ name: bench, metric: heat, above: 50, severity: critical }] }\n";
const HOT: f64 = 90.0;
const COLD: f64 = 10.0;

/// How much load, and what its keys end with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) rate: f64,
    pub(super) suffix: &'static str,
}

/// One round.
pub(super) fn round(plan: &Plan, pace: Pace, round: u32, figures: &mut Figures) {
    let site = Site::new("");
    let url = site.webhook(0);
    site.configure(&format!("{TOPOLOGY}notify: {{ webhooks: [{{ name: bench, url: 'http://{url}/' }}] }}\n"));
    let (fired, arrived) = mpsc::channel();
    let receiver = Webhook::start(url, move |_, body| {
        // Nobody listens once the figures are made.
        let _ended = fired.send((Instant::now(), body.clone()));
        200.into()
    });
    let up = Child::start(site.up_command());
    up.says("listening on mqtt://");

    let ended = Arc::new(AtomicBool::new(false));
    let probing = {
        let (ended, address) = (Arc::clone(&ended), site.address());
        thread::spawn(move || probe(address, &ended))
    };
    let rate = pace.rate - f64::from(PROBES_PER_SEC);
    let load = Load { what: What::Paced { rate, secs: plan.latency_secs }, samples: 1 };
    let mut command = load.command(plan, site.address());
    command.args(["--seed", &(round + 1).to_string()]);
    let sent = send(command);
    ended.store(true, Ordering::Relaxed);
    let published = probing.join().expect("probes go on to the end");

    let alerts = times(&published, &arrived);
    up.terminate();
    measure::until_ended(up);
    drop(receiver);
    let suffix = pace.suffix;
    let paced = sent.messages() as f64 / sent.seconds() + f64::from(PROBES_PER_SEC);
    figures.add(&format!("paced_msgs_per_sec{suffix}"), paced);
    for (name, percentile, quantile) in [("p50", "p50", 0.5), ("p99", "p99", 0.99), ("p99_9", "p99_9", 0.999)]
    {
        figures.add(&format!("puback_{name}_ms{suffix}"), sent.latency_ms(percentile));
        let alert = alerts.value_at_quantile(quantile) as f64 / 1000.0;
        figures.add(&format!("alert_{name}_ms{suffix}"), alert);
    }
    figures.add(&format!("alerts{suffix}"), alerts.len() as f64);
}

/// A publish that fires an alert: of which device, with which time.
type Key = (String, String);

/// Lets the probes become hot and cold again, until `ended`; answers when each became hot.
fn probe(address: SocketAddr, ended: &AtomicBool) -> HashMap<Key, Instant> {
    let mut options = MqttOptions::new("probes", address.ip().to_string(), address.port());
    options.set_keep_alive(Duration::from_secs(60));
    let (client, mut connection) = Client::new(options, 1000);
    let polling = thread::spawn(move || connection.iter().take_while(Result::is_ok).for_each(drop));
    let mut published = HashMap::new();
    let period = Duration::from_secs(1) / PROBES_PER_SEC;
    let start = Instant::now();
    for turn in 0.. {
        let (probe, times) = (turn % PROBES, turn / PROBES);
        let heat = if times % 2 == 0 { HOT } else { COLD };
        // They cool down in the end, so that every alert is over.
        if ended.load(Ordering::Relaxed) && heat == HOT && probe == 0 {
            break;
        }
        let due = period * u32::try_from(turn).expect("not for years");
        sleep(due.saturating_sub(start.elapsed()));
        let device = format!("probe-{probe}");
        let ts = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
        let payload = format!(
            r#"{{"device_id":"{device}","ts":"{ts}","seq":{},"metrics":{{"heat":{heat}}}}}"#,
            times + 1
        );
        let topic = format!("devices/{device}/telemetry");
        let now = Instant::now();
        client.publish(topic, QoS::AtLeastOnce, false, payload).expect("the connection stays");
        if heat == HOT {
            published.insert((device, ts), now);
        }
    }
    client.disconnect().expect("the connection stays");
    polling.join().expect("no more than an end");
    published
}

/// Microseconds from each publish to its alert, every one of which arrives.
fn times(published: &HashMap<Key, Instant>, arrived: &mpsc::Receiver<(Instant, Value)>) -> Histogram<u64> {
    let mut times = Histogram::new(3).expect("three digits");
    while times.len() < published.len() as u64 {
        let (at, body) = arrived.recv_timeout(crate::PATIENCE).expect("every alert arrives");
        if body["state"] != "firing" {
            continue;
        }
        let text = |key: &str| body[key].as_str().expect("a text").to_owned();
        let key = (text("device_id"), text("ts"));
        let sent = published.get(&key).unwrap_or_else(|| panic!("nobody sent {body}"));
        let micros = at.duration_since(*sent).as_micros();
        times.record(u64::try_from(micros).expect("less than ages")).expect("any number");
    }
    times
}
