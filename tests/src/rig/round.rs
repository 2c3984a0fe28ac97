//! One round: a fresh site, a fleet, processes that are struck, and the books at the end.

use std::{
    ops::AddAssign,
    panic::resume_unwind,
    thread::{self, sleep},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    events::Events,
    life::Victim,
    plan::{Mode, Plan},
    reader::Reader,
};
use crate::{Child, Mosquitto, PATIENCE, Site, Webhook, until};

/// How long the fleet waits for acknowledgements once it has published all.
const FLEET_DRAIN: Duration = Duration::from_secs(60);

/// The default ones but those that are refused. What a broker sends again the fleet knows nothing of, and what is
/// refused has no identity by which it could be known again: it is in the quarantine as often as it came.
const FAULTS_BEHIND_BROKER: &str =
    "repeat=0.005,disorder=0.005,late=0.002,silence=0.0005,spike=0.001,drift=0.0002,stuck=0.0002";

/// What came of a round.
#[derive(Debug, Clone, Copy, Default)]
pub struct Books {
    /// Messages that the fleet published.
    pub messages: u64,
    /// Messages that were acknowledged and are not in the lake.
    pub missing: u64,
    /// Rows that are there once too often.
    pub repeated: u64,
    /// How often the second reader looked at the whole lake.
    pub reads: u64,
}

impl AddAssign for Books {
    fn add_assign(&mut self, other: Self) {
        self.messages += other.messages;
        self.missing += other.missing;
        self.repeated += other.repeated;
        self.reads += other.reads;
    }
}

/// Runs a round in `site`, counting in `events`.
///
/// # Panics
/// When a promise is broken, with what is wrong.
pub(super) fn run(plan: &Plan, site: &Site, events: &Events) -> Books {
    let webhook = Webhook::start(site.webhook(0), |_, _| 200.into());
    let mut broker = (plan.mode == Mode::BehindBroker).then(Mosquitto::new);
    if let Some(broker) = &mut broker {
        broker.start();
    }
    site.configure(&topology(plan, site, broker.as_ref()));
    let victims: Vec<_> =
        plan.processes.iter().map(|process| Victim { site, plan, process, events }).collect();
    let first: Vec<Child> = victims.iter().map(Victim::start).collect();
    let reader = Reader::start(&site.lake());
    let fleet = fleet(plan, site, broker.as_ref());
    let living = strike(plan, &victims, first, &mut broker, events);
    let report = ended_within(fleet, plan.strike_for + FLEET_DRAIN).json();
    assert_eq!(report["published"], report["acknowledged"], "the fleet says {report}");
    if broker.is_some() {
        until("what the broker has comes into the lake", || verify(site)["missing"] == 0);
    }
    drain(plan, site, living);
    check_queues(site);
    let seen = reader.finish();
    let books = verify(site);
    check_books(&books, &report, seen.rows);
    check_alerts(site, &webhook);
    Books {
        messages: number(&report, "published"),
        missing: number(&books, "missing"),
        repeated: number(&books, "duplicated"),
        reads: seen.reads,
    }
}

/// Rolls all the time, of several files each; leases that a nap outlasts. A frame whose holders die a dozen times while
/// they hold nothing else is taken for what kills them, and set aside: here it is the rig, so that takes longer.
fn topology(plan: &Plan, site: &Site, broker: Option<&Mosquitto>) -> String {
    let ingest = broker.map_or(String::new(), |broker| {
        let (url, version) = (broker.url("mqtt"), plan.mqtt);
        format!(
            "ingest: {{ subscriber: {{ broker: '{url}', version: {version}, reconnect_secs_max: 1 }} }}\n"
        )
    });
    let (webhook, lease_secs, partition) = (site.webhook(0), plan.lease.as_secs(), plan.partition);
    format!(
        "{ingest}queues: {{ lease_secs: {lease_secs}, max_attempts: 1000 }}\n\
         analyze: {{ dedupe_secs: 1576800000 }}\n\
         alert: {{ rules: [{{ name: too-hot, metric: temperature, above: 30, severity: critical }}] }}\n\
         notify: {{ webhooks: [{{ name: ops, url: 'http://{webhook}/hook' }}] }}\n\
         store: {{ partition: {partition}, rows_max: 1000, age_secs: 1, age_secs_max: 1 }}\n\
         compact: {{ every_secs: 1, files_min: 3 }}\n"
    )
}

fn fleet(plan: &Plan, site: &Site, broker: Option<&Mosquitto>) -> Child {
    let mut fleet = crate::program("device-sim");
    let address = broker.map_or_else(|| format!("mqtt://{}", site.address()), |broker| broker.url("mqtt"));
    let faults = if broker.is_some() { FAULTS_BEHIND_BROKER } else { "default" };
    fleet.args(["run", "--json", "--faults", faults, "--devices", "50"]);
    fleet.arg("--broker").arg(address).arg("--ledger").arg(site.ledger());
    fleet.args(["--mqtt", plan.mqtt]).arg("--qos").arg(plan.qos.to_string());
    fleet.arg("--rate").arg(plan.rate.to_string());
    fleet.arg("--seconds").arg(plan.strike_for.as_secs().to_string());
    fleet.arg("--drain-secs").arg(FLEET_DRAIN.as_secs().to_string());
    fleet.arg("--seed").arg((plan.seed.wrapping_add(plan.round) % 1_000_000).to_string());
    Child::start(fleet)
}

/// Strikes every process and restarts the broker, each at its own times; returns the processes that live.
fn strike(
    plan: &Plan,
    victims: &[Victim<'_>],
    first: Vec<Child>,
    broker: &mut Option<Mosquitto>,
    events: &Events,
) -> Vec<Child> {
    let until = Instant::now() + plan.strike_for;
    thread::scope(|scope| {
        let processes: Vec<_> = victims
            .iter()
            .zip(first)
            .map(|(victim, first)| scope.spawn(move || victim.strike(first, until)))
            .collect();
        if let Some(broker) = broker {
            for pause in &plan.broker_restarts {
                sleep(*pause);
                broker.stop();
                broker.start();
                events.broker_restarted();
            }
        }
        let joined: Vec<_> = processes.into_iter().map(|process| process.join()).collect();
        joined.into_iter().map(|process| process.unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}

/// Stops everything in order, and leaves nothing in the queues.
fn drain(plan: &Plan, site: &Site, living: Vec<Child>) {
    living.iter().for_each(Child::terminate);
    for child in living {
        child.ended().well();
    }
    // A process of its own finishes what it has in hand, no more.
    if plan.mode == Mode::ProcessPerStage {
        let up = site.up();
        up.terminate();
        up.ended().well();
    }
}

fn check_queues(site: &Site) {
    let all = site.queues();
    for (name, depth) in all["queues"].as_object().expect("an object per queue") {
        assert_eq!(depth["frames"], 0, "queue {name} is not dry: {depth}");
        assert_eq!(depth["dead"], 0, "queue {name} has dead letters: {depth}");
    }
}

/// What `device-sim verify` says, whether or not the books balance.
fn verify(site: &Site) -> Value {
    let mut verify = crate::program("device-sim");
    verify.args(["verify", "--json", "--ledger"]).arg(site.ledger()).arg("--lake").arg(site.lake());
    ended_within(Child::start(verify), PATIENCE).json()
}

fn check_books(books: &Value, report: &Value, seen: u64) {
    for problem in ["missing", "duplicated", "altered", "unexplained"] {
        assert_eq!(books[problem], 0, "{problem}: {books:#}");
    }
    assert_eq!(books["acknowledged"], report["acknowledged"], "{books:#}");
    assert_eq!(books["readings"], seen, "the second reader sees as many rows: {books:#}");
}

/// Each transition in the lake was told, under a key of its own.
fn check_alerts(site: &Site, webhook: &Webhook) {
    let mut told: Vec<_> = webhook.posts().iter().map(|post| post.text("key").to_owned()).collect();
    told.sort();
    told.dedup();
    let stored = super::reader::count(&site.lake().join("alerts"));
    assert_eq!(told.len() as u64, stored, "transitions that the webhook was told of, and those in the lake");
}

fn ended_within(mut child: Child, limit: Duration) -> crate::Ended {
    let deadline = Instant::now() + limit + PATIENCE;
    while child.is_running() && Instant::now() < deadline {
        sleep(Duration::from_millis(20));
    }
    child.ended()
}

fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_else(|| panic!("no number {key} in {value}"))
}
