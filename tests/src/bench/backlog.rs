//! Yardstick 7: messages that pile up before store, which does not run, and how it gets through them when it does.

use super::{
    figures::Figures,
    measure::{self, mib, micros_for_each},
    options::Plan,
    send::{Load, send},
    through::assert_all_is_stored,
};
use crate::{Child, Console, Site};

/// The default topology, with room for everything.
const TOPOLOGY: &str = "shutdown_secs: 3600\nqueues: { queue_bytes_max: 1099511627776 }\n";
const BEFORE_STORE: [&str; 5] = ["ingest", "validate", "transform", "analyze", "alert"];
const QUEUES: [&str; 4] = ["validate", "transform", "analyze", "alert"];
/// How much less the shallow one of the two is.
const SHALLOWER: u64 = 10;

/// One backlog.
struct Backlog {
    /// CPU of both processes.
    cpu_micros: f64,
    front_peak: u64,
    store_peak: u64,
    intake_per_sec: f64,
    drain_per_sec: f64,
}

/// One round: a shallow one and a deep one.
pub(super) fn round(plan: &Plan, figures: &mut Figures) {
    let shallow = pile_up_and_drain(plan, plan.backlog_messages / SHALLOWER);
    let deep = pile_up_and_drain(plan, plan.backlog_messages);
    figures.add("backlog_front_peak_mib", mib(deep.front_peak));
    figures.add("backlog_store_peak_mib", mib(deep.store_peak));
    figures.add("backlog_peak_mib", mib(deep.front_peak.max(deep.store_peak)));
    figures.add("backlog_intake_msgs_per_sec", deep.intake_per_sec);
    figures.add("backlog_drain_msgs_per_sec", deep.drain_per_sec);
    figures.add("backlog_drain_to_intake", deep.drain_per_sec / deep.intake_per_sec);
    figures.add("backlog_cpu_us_per_message", deep.cpu_micros);
    figures.add("backlog_cpu_us_per_message_at_a_tenth", shallow.cpu_micros);
    figures.add("backlog_cost_ratio", deep.cpu_micros / shallow.cpu_micros);
}

fn pile_up_and_drain(plan: &Plan, messages: u64) -> Backlog {
    let site = Site::new(TOPOLOGY);
    let (front, console) = run(&site, &BEFORE_STORE);
    let sent = send(Load::of(messages).command(plan, site.address()));
    // All of it waits for store.
    measure::until("everything is before store", || {
        QUEUES
            .iter()
            .all(|queue| console.metric(&format!("millstream_queue_frames{{queue=\"{queue}\"}}")) == 0.0)
    });
    let intake = sent.started.elapsed();
    front.terminate();
    let front = measure::until_ended(front);

    let started = std::time::Instant::now();
    let (store, console) = run(&site, &["store"]);
    // What is left then is in its hands, and it writes that before it ends.
    measure::until("store has it all", || {
        let metric = |name: &str| console.metric(&format!("millstream_queue_{name}{{queue=\"store\"}}"));
        metric("frames") <= metric("in_flight_frames")
    });
    store.terminate();
    let store = measure::until_ended(store);
    assert_all_is_stored(&site, 4 * messages);
    Backlog {
        cpu_micros: micros_for_each(front.cpu + store.cpu, messages),
        front_peak: front.peak,
        store_peak: store.peak,
        intake_per_sec: messages as f64 / intake.as_secs_f64(),
        drain_per_sec: messages as f64 / (store.at - started).as_secs_f64(),
    }
}

fn run(site: &Site, stages: &[&str]) -> (Child, Console) {
    let mut command = site.millstream("run");
    command.args(stages).arg("--listen").arg(site.address().to_string());
    command.args(["--console", &site.webhook(0).to_string()]);
    let running = Child::start(command);
    let console = Console::of(&running);
    if stages.contains(&"ingest") {
        running.says("listening on mqtt://");
    }
    (running, console)
}
