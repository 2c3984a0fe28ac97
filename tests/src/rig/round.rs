//! One round: a fresh site, a fleet, processes that are struck, and the books at the end.

use std::{
    fmt,
    ops::AddAssign,
    panic::resume_unwind,
    path::Path,
    process::Command,
    thread::{self, sleep},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    books,
    events::Events,
    life::Victim,
    plan::{Mode, Plan},
    reader::{Reader, count},
    world::World,
};
use crate::{Child, Mosquitto, PATIENCE, Site, Webhook, until};

/// How long the fleet waits for acknowledgements once it has published all.
const FLEET_DRAIN: Duration = Duration::from_secs(60);

/// Why an innocent frame becomes a dead letter: those who held it alone were killed, again and again.
const BY_THE_RIG: &str = "lost # times by a holder that held nothing else";

/// What came of a round.
#[derive(Debug, Clone, Copy, Default)]
pub struct Books {
    /// Messages that the fleet published.
    pub messages: u64,
    /// Those of them that were refused, and are in the quarantine.
    pub quarantined: u64,
    /// Dead letters that were put back.
    pub requeued: u64,
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
        self.quarantined += other.quarantined;
        self.requeued += other.requeued;
        self.missing += other.missing;
        self.repeated += other.repeated;
        self.reads += other.reads;
    }
}

/// `messages 7124, quarantined 21, requeued 2, missing 0, repeated 0; the second reader looked 134 times`.
impl fmt::Display for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { messages, quarantined, requeued, missing, repeated, reads } = self;
        write!(f, "messages {messages}, quarantined {quarantined}, requeued {requeued}, ")?;
        write!(f, "missing {missing}, repeated {repeated}; the second reader looked {reads} times")
    }
}

/// Runs a round in `site`, counting in `events`.
///
/// # Panics
/// When a promise is broken, with what is wrong.
pub(super) fn run(plan: &Plan, site: &Site, events: &Events) -> Books {
    let webhook = Webhook::start(site.webhook(0), |_, _| 200.into());
    let mut world = World::start(plan);
    site.configure(&world.topology(plan, site));
    if plan.mode.is_on_aws() {
        site.create_queues();
    }
    let lake = world.lake(site);
    let victims: Vec<_> =
        plan.processes.iter().map(|process| Victim { site, plan, process, events }).collect();
    let first: Vec<Child> = victims.iter().map(Victim::start).collect();
    let reader = Reader::start(&lake);
    let fleet = fleet(plan, site, world.broker.as_ref());
    let living = strike(plan, &victims, first, &mut world.broker, events);
    let report = fleet.ended_within(plan.strike_for + FLEET_DRAIN + 2 * PATIENCE).json();
    assert_eq!(report["published"], report["acknowledged"], "the fleet says {report}");
    let mut requeued = recover(site);
    if world.broker.is_some() {
        until("what the broker has comes into the lake", || {
            requeued += recover(site);
            verify(plan, site, &lake)["missing"] == 0
        });
    }
    drain(plan, site, living);
    check_queues(plan, site);
    world.finish_merges(site);
    let seen = reader.finish();
    let verified = verify(plan, site, &lake);
    check_books(&verified, &report, seen.rows);
    if plan.mode.is_on_aws() {
        books::check(site, &lake);
    }
    check_alerts(&lake, &webhook);
    Books {
        messages: number(&report, "published"),
        quarantined: number(&verified, "quarantined"),
        requeued,
        missing: number(&verified, "missing"),
        repeated: number(&verified, "duplicated"),
        reads: seen.reads,
    }
}

fn fleet(plan: &Plan, site: &Site, broker: Option<&Mosquitto>) -> Child {
    let mut fleet = crate::program("device-sim");
    let address = broker.map_or_else(|| format!("mqtt://{}", site.address()), |broker| broker.url("mqtt"));
    fleet.args(["run", "--json", "--faults", "default", "--devices", "50"]);
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
    if plan.processes.len() > 1 {
        let up = site.up();
        up.terminate();
        up.ended().well();
    }
}

/// What an operator does once nobody is killed any more: waits until the queues run dry, and puts back what was given
/// up meanwhile, until there is nothing of it. Answers how many dead letters that were.
fn recover(site: &Site) -> u64 {
    let mut requeued = 0;
    loop {
        site.wait_until_dry();
        match dead_letters(site) {
            0 => return requeued,
            letters => requeued += letters,
        }
        Child::start(dead(site, &["requeue", "--all"])).ended().well();
    }
}

/// How many there are.
fn dead_letters(site: &Site) -> u64 {
    let listed = Child::start(dead(site, &["list", "--json"])).ended().well().json();
    let groups = listed["groups"].as_array().expect("a list of groups");
    for group in groups {
        let reason = group["reason"].as_str().unwrap_or_default();
        assert!(reason.starts_with(BY_THE_RIG), "dead letters that the rig did not cause: {group}");
    }
    groups.iter().map(|group| number(group, "letters")).sum()
}

fn dead(site: &Site, action: &[&str]) -> Command {
    let mut dead = site.millstream("dead");
    dead.args(action);
    dead
}

/// Nothing is left, and the books of the stages balance where there is an account to hold them against; elsewhere they are
/// held against the lake (`books`).
fn check_queues(plan: &Plan, site: &Site) {
    let mut check = site.millstream("queues");
    check.arg("--json");
    if !plan.mode.is_on_aws() {
        check.arg("--check");
    }
    let all = Child::start(check).ended().well().json();
    for (name, depth) in all["queues"].as_object().expect("an object per queue") {
        assert_eq!(depth["frames"], 0, "queue {name} is not dry: {depth}");
        assert_eq!(depth["dead"], 0, "queue {name} has dead letters: {depth}");
    }
}

/// What `device-sim verify` says, whether or not the books balance.
fn verify(plan: &Plan, site: &Site, lake: &Path) -> Value {
    let mut verify = crate::program("device-sim");
    verify.args(["verify", "--json", "--ledger"]).arg(site.ledger()).arg("--lake").arg(lake);
    if plan.mode == Mode::BehindBroker {
        verify.arg("--through-broker");
    }
    Child::start(verify).ended_within(5 * PATIENCE).json()
}

fn check_books(books: &Value, report: &Value, seen: u64) {
    for problem in ["missing", "duplicated", "altered", "unexplained"] {
        assert_eq!(books[problem], 0, "{problem}: {books:#}");
    }
    assert_eq!(books["acknowledged"], report["acknowledged"], "{books:#}");
    assert_eq!(books["readings"], seen, "the second reader sees as many rows: {books:#}");
}

/// Each transition in the lake was told, under a key of its own.
fn check_alerts(lake: &Path, webhook: &Webhook) {
    let mut told: Vec<_> = webhook.posts().iter().map(|post| post.text("key").to_owned()).collect();
    told.sort();
    told.dedup();
    let stored = count(&lake.join("alerts"));
    assert_eq!(told.len() as u64, stored, "transitions that the webhook was told of, and those in the lake");
}

pub(super) fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_else(|| panic!("no number {key} in {value}"))
}
