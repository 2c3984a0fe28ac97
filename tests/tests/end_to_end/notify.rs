//! Alerts on their way to receivers that are away, slow, picky or killed, and never in the way of anything else.

mod secrets;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::sleep,
    time::Duration,
};

use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use serde_json::Value;
use tests::{Answer, Child, PATIENCE, Post, Site, Webhook, lake, until};

use crate::sleeping::put_to_sleep;

const OVENS: usize = 20;

/// Somebody asks for alerts of ovens; `more` are keys of the webhook `ops`.
fn topology(site: &Site, more: &str) -> String {
    let webhooks = format!("[{{ name: ops, url: 'http://{}/hook'{more} }}]", site.webhook(0));
    topology_with(&webhooks, "")
}

fn topology_with(webhooks: &str, more: &str) -> String {
    format!(
        "alert: {{ rules: [{{ name: too-hot, metric: heat, above: 80, severity: critical }}] }}\n\
         notify: {{ webhooks: {webhooks}{more} }}\n\
         store: {{ age_secs: 1, age_secs_max: 1 }}\n"
    )
}

fn site(topology: impl FnOnce(&Site) -> String) -> Site {
    let site = Site::new("");
    site.configure(&topology(&site));
    site
}

fn always(status: u16) -> impl Fn(usize, &Value) -> Answer {
    move |_, _| status.into()
}

/// Each oven publishes its heat in the given minute. Returns once all are acknowledged.
fn publish(site: &Site, ovens: std::ops::Range<usize>, minute: u32, heat: f64) {
    let address = site.address();
    let mut options = MqttOptions::new("ovens", address.ip().to_string(), address.port());
    options.set_keep_alive(Duration::from_secs(30));
    let (client, mut connection) = Client::new(options, ovens.len().max(1));
    let count = ovens.len();
    for oven in ovens {
        let payload = format!(
            r#"{{"device_id":"oven-{oven}","ts":"2026-01-01T12:{minute:02}:00Z","metrics":{{"heat":{heat}}}}}"#
        );
        client.publish(format!("devices/oven-{oven}/telemetry"), QoS::AtLeastOnce, false, payload).unwrap();
    }
    let mut acknowledged = 0;
    while acknowledged < count {
        let event = connection.recv_timeout(PATIENCE).expect("in time").expect("connected");
        acknowledged += usize::from(matches!(event, Event::Incoming(Packet::PubAck(_))));
    }
    client.disconnect().unwrap();
}

/// All ovens become too hot, and cool down again: two transitions each.
fn heat_and_cool(site: &Site) {
    publish(site, 0..OVENS, 0, 90.0);
    publish(site, 0..OVENS, 1, 20.0);
}

fn notify(site: &Site) -> Value {
    site.queues()["queues"]["notify"].clone()
}

/// Waits until everything is in the lake, whatever waits for webhooks.
fn until_stored(site: &Site) {
    until("the other queues run dry", || {
        let depths = site.queues();
        let queues = depths["queues"].as_object().expect("an object per queue");
        queues.iter().all(|(name, depth)| name == "notify" || depth["frames"] == 0)
    });
}

/// The transitions in the lake.
fn transitions(site: &Site) -> BTreeSet<(String, String)> {
    let rows = lake::query(&site.lake(), "SELECT alert, state FROM 'alerts/**/*.parquet'");
    let text = |row: &Value, key: &str| row[key].as_str().expect("text").to_owned();
    rows.iter().map(|row| (text(row, "alert"), text(row, "state"))).collect()
}

/// The transitions that were taken, each of which must always have come with the same key and with its own.
fn taken(posts: &[Post]) -> BTreeSet<(String, String)> {
    let mut keys: BTreeMap<(String, String), &str> = BTreeMap::new();
    for post in posts {
        let transition = (post.text("alert").to_owned(), post.text("state").to_owned());
        let key = post.text("key");
        assert_eq!(post.headers["idempotency-key"], key);
        assert_eq!(*keys.entry(transition).or_insert(key), key, "a key of its own for ever");
    }
    assert_eq!(keys.values().collect::<BTreeSet<_>>().len(), keys.len(), "no key twice");
    let taken = posts.iter().filter(|post| post.is_taken());
    taken.map(|post| (post.text("alert").to_owned(), post.text("state").to_owned())).collect()
}

/// Asserts that no transition of an alert was sent before the one ahead of it was taken.
fn assert_in_order(posts: &[Post]) {
    let mut fired = BTreeSet::new();
    for post in posts {
        let alert = post.text("alert");
        match post.text("state") {
            "firing" if post.is_taken() => {
                fired.insert(alert);
            }
            "firing" => assert!(!fired.contains(alert), "fired already: {post:?}"),
            _ => assert!(fired.contains(alert), "not yet fired: {post:?}"),
        }
    }
}

/// With the waits that users have.
#[test]
fn a_receiver_that_was_away_gets_every_alert_in_order_and_nothing_waits_for_it() {
    let site = site(|site| topology(site, ""));
    let up = site.up();
    heat_and_cool(&site);
    let fleet = site.fleet(["--devices", "50", "--rate", "500", "--messages", "1000"]);
    let report = fleet.ended().well().json();
    assert_eq!(report["published"], report["acknowledged"]);
    until_stored(&site);
    let stored =
        lake::query(&site.lake(), "SELECT count(DISTINCT message) AS n FROM 'readings/**/*.parquet'");
    let sent = report["published"].as_u64().unwrap() + 2 * OVENS as u64;
    assert_eq!(stored[0]["n"], sent, "in the lake while nobody takes alerts");
    assert_eq!(notify(&site)["frames"], 2 * OVENS);
    up.says("a webhook does not take an alert");

    let webhook = Webhook::start(site.webhook(0), |before, _| if before < 10 { 500 } else { 200 }.into());
    webhook.until_taken(2 * OVENS);
    up.says("a webhook takes alerts again");
    site.wait_until_dry();
    let posts = webhook.posts();
    assert_eq!(posts.len(), 10 + 2 * OVENS, "each is taken once");
    assert_eq!(taken(&posts), transitions(&site));
    assert_in_order(&posts);
    assert_eq!(site.queues()["books"]["notify"]["consumed"], 2 * OVENS);

    let post = &posts[0];
    assert_eq!(post.headers["content-type"], "application/json");
    assert!(post.headers["user-agent"].starts_with("millstream/"), "{post:?}");
    let body = &post.body;
    assert_eq!((post.text("rule"), post.text("metric")), ("too-hot", "heat"), "{body}");
    assert_eq!((post.text("severity"), post.text("condition")), ("critical", "heat above 80"), "{body}");
    assert_eq!(post.text("ts"), "2026-01-01T12:00:00.000000Z", "{body}");
    assert_eq!((post.text("since"), body["value"].as_f64()), (post.text("ts"), Some(90.0)), "{body}");
    up.terminate();
    up.ended().well();
}

#[test]
fn kill_9_loses_no_alert_and_changes_no_key() {
    let site = site(|site| topology(site, ", concurrency_max: 2"));
    let slow = Answer { after: Duration::from_millis(50), ..200.into() };
    let webhook = Webhook::start(site.webhook(0), move |_, _| slow);
    let mut up = site.up();
    for minute in 0..4 {
        publish(&site, 0..OVENS, minute, if minute % 2 == 0 { 90.0 } else { 20.0 });
        // In the middle of what this has led to.
        webhook.until_taken(usize::try_from(minute).unwrap() * OVENS + OVENS / 2);
        up.kill();
        up = site.up();
    }
    site.wait_until_dry();
    up.terminate();
    up.ended().well();
    let posts = webhook.posts();
    let transitions = transitions(&site);
    assert_eq!(transitions.len(), 4 * OVENS);
    assert_eq!(taken(&posts), transitions);
    let mut first = BTreeSet::new();
    let firsts: Vec<_> = posts.into_iter().filter(|post| first.insert(post.text("key").to_owned())).collect();
    assert_in_order(&firsts);
}

#[test]
fn a_start_begins_at_once_with_the_oldest() {
    let site = site(|site| topology(site, ", backoff_secs_min: 600, backoff_secs_max: 600"));
    let failing = Webhook::start(site.webhook(0), always(500));
    let up = site.up();
    heat_and_cool(&site);
    until("all that fire are refused", || failing.posts().len() == OVENS);
    up.kill();
    drop(failing);

    let webhook = Webhook::start(site.webhook(0), always(200));
    let up = site.up();
    site.wait_until_dry();
    assert_eq!(taken(&webhook.posts()).len(), 2 * OVENS);
    assert_in_order(&webhook.posts());
    stop(up);
}

#[test]
fn what_is_not_taken_becomes_a_dead_letter_and_holds_nothing_up() {
    let site = site(|site| {
        let short = "attempts_max: 2, backoff_secs_max: 1";
        let (picky, gone, log) = (site.webhook(0), site.webhook(1), site.webhook(2));
        topology_with(
            &format!(
                "[{{ name: picky, url: 'http://{picky}', {short} }},
                  {{ name: gone, url: 'http://{gone}' }},
                  {{ name: log, url: 'http://{log}', states: [resolved], severity_at_least: warning }}]"
            ),
            "",
        )
    });
    let refuse = |_: usize, body: &Value| if body["device_id"] == "oven-0" { 422 } else { 200 }.into();
    let (picky, log) =
        (Webhook::start(site.webhook(0), refuse), Webhook::start(site.webhook(2), always(200)));
    let up = site.up();
    heat_and_cool(&site);
    let said = up.says("it is now a dead letter");
    assert!(said.contains("answered 422") && said.contains("picky"), "{said}");
    until("both transitions of oven-0 are dead", || notify(&site)["dead"] == 2);
    let refused: Vec<_> =
        picky.posts().into_iter().filter(|post| post.text("device_id") == "oven-0").collect();
    let states: Vec<_> = refused.iter().map(|post| post.text("state")).collect();
    assert_eq!(states, ["firing", "firing", "resolved", "resolved"], "each as often as attempts_max says");

    picky.until_taken(2 * (OVENS - 1));
    log.until_taken(OVENS);
    until("only the webhook that is gone has alerts left", || notify(&site)["frames"] == 2 * OVENS);
    assert_eq!(notify(&site)["dead"], 2);
    assert!(log.posts().iter().all(|post| post.text("state") == "resolved"));
    assert_in_order(&picky.posts().into_iter().filter(Post::is_taken).collect::<Vec<_>>());
    up.terminate();
    up.ended().well();
}

#[test]
fn a_full_queue_gives_up_its_oldest_alerts_and_ingest_goes_on() {
    let site = site(|site| {
        let webhook = format!("[{{ name: ops, url: 'http://{}' }}]", site.webhook(0));
        topology_with(&webhook, ", queue_bytes_max: 65536")
    });
    let up = site.up();
    publish(&site, 0..60, 0, 90.0);
    // Another lane may be faster.
    until_stored(&site);
    publish(&site, 60..61, 1, 90.0);
    until_stored(&site);
    let said = up.says("its oldest alerts are now dead letters");
    let depth = notify(&site);
    assert!(depth["bytes"].as_u64().unwrap() <= 65_536, "{depth}");
    assert_eq!(depth["frames"].as_u64().unwrap() + depth["dead"].as_u64().unwrap(), 61, "{depth}\n{said}");

    let webhook = Webhook::start(site.webhook(0), always(200));
    site.wait_until_dry();
    let devices: Vec<_> = webhook.posts().iter().map(|post| post.text("device_id").to_owned()).collect();
    assert!(devices.contains(&"oven-60".to_owned()), "the newest is kept: {devices:?}");
    assert_eq!(devices.len(), depth["frames"].as_u64().unwrap() as usize);
    up.terminate();
    up.ended().well();
}

#[test]
fn a_stop_delivers_what_is_taken_and_waits_for_nobody_else() {
    // Who waited for that long would not end in time, however busy the machine is.
    let site = site(|site| topology(site, ", concurrency_max: 1") + "shutdown_secs: 600\n");
    let slow = Answer { after: Duration::from_millis(50), ..200.into() };
    let webhook = Webhook::start(site.webhook(0), move |_, _| slow);
    let up = site.up();
    heat_and_cool(&site);
    stop(up);
    assert_eq!(taken(&webhook.posts()), transitions(&site));

    drop(webhook);
    let up = site.up();
    publish(&site, 0..OVENS, 2, 90.0);
    up.says("a webhook does not take an alert");
    let ended = stop(up);
    assert!(ended.iter().any(|line| line.contains("stay queued for the next start")), "{ended:?}");

    let webhook = Webhook::start(site.webhook(0), always(200));
    let [rest, notify] = [&["ingest", "validate", "transform", "analyze", "alert", "store"][..], &["notify"]]
        .map(|stages| site.run(stages));
    webhook.until_taken(OVENS);
    publish(&site, 0..OVENS, 3, 20.0);
    webhook.until_taken(2 * OVENS);
    site.wait_until_dry();
    for process in [rest, notify] {
        stop(process);
    }
    assert_eq!(transitions(&site).len(), 4 * OVENS);
}

fn stop(process: Child) -> Vec<String> {
    process.terminate();
    process.ended().well().err
}

#[test]
fn a_receiver_that_asks_for_time_gets_it() {
    let site = site(|site| topology(site, ", concurrency_max: 1, backoff_secs_max: 1"));
    let busy = Answer { retry_after_secs: Some(3), ..429.into() };
    let webhook =
        Webhook::start(site.webhook(0), move |before, _| if before == 0 { busy } else { 200.into() });
    let up = site.up();
    publish(&site, 0..2, 0, 90.0);
    webhook.until_taken(2);
    let posts = webhook.posts();
    let waited = posts[1].received_at - posts[0].answered_at;
    assert!(waited > Duration::from_secs(2), "{waited:?}");
    stop(up);
}

#[test]
fn notify_alone_says_that_nobody_is_to_be_told() {
    let site = Site::new("");
    let mut command = site.millstream("run");
    command.arg("notify");
    let ended = Child::start(command).ended().with(1);
    assert!(ended.err.iter().any(|line| line.contains("name a webhook under notify.webhooks")), "{ended:?}");
}

#[test]
fn a_notify_that_slept_through_its_lease_loses_no_alert() {
    let site = site(|site| topology(site, ", concurrency_max: 1") + "queues: { lease_secs: 1 }\n");
    let slow = Answer { after: Duration::from_millis(20), ..200.into() };
    let asleep = Arc::new(AtomicBool::new(false));
    let falls_asleep = Arc::clone(&asleep);
    let webhook = Webhook::start(site.webhook(0), move |before, _| {
        // However fast it is: it waits for an answer, with alerts in its hands, until it sleeps.
        while before >= OVENS / 4 && !falls_asleep.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(5));
        }
        slow
    });
    let rest = site.run(&["ingest", "validate", "transform", "analyze", "alert", "store"]);
    let mut sleeper = site.run(&["notify"]);
    publish(&site, 0..OVENS, 0, 90.0);
    webhook.until_taken(OVENS / 4);
    put_to_sleep(&site, &mut sleeper, Some("notify"));
    asleep.store(true, Ordering::Relaxed);
    let other = site.run(&["notify"]);
    publish(&site, 0..OVENS, 1, 20.0);
    // Those that the sleeper holds are among them, once its leases have ended.
    until("the other one delivers all", || taken(&webhook.posts()).len() == 2 * OVENS);
    sleeper.go_on();
    stop(other);
    publish(&site, 0..OVENS, 2, 90.0);
    site.wait_until_dry();
    for process in [rest, sleeper] {
        stop(process);
    }
    let transitions = transitions(&site);
    assert_eq!(transitions.len(), 3 * OVENS);
    assert_eq!(taken(&webhook.posts()), transitions);
}
