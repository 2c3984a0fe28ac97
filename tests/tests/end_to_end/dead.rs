//! A message that cannot be dealt with is set aside alone, and comes back when somebody wants it to.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use serde_json::Value;
use tests::{Child, Ended, Site, lake, until};

use crate::quarantine::publish;

const TOPIC: &str = "devices/pump/telemetry";
/// Metrics of a message whose readings are more than one frame holds.
const MANY: usize = 9000;
/// Letters of a text that no frame holds, once it is not gzip any more.
const LETTERS: usize = 360_000;
/// What such a message takes as it comes, and no frame is larger.
const PACKET_BYTES_MAX: usize = 200 << 10;

/// Messages of pump, as few bytes as possible; readings in frames of at most so many bytes.
fn topology(packet_bytes_max: usize, frame_bytes_max: usize) -> String {
    format!(
        "ingest: {{ linger_ms: 300, frame_bytes_max: 32768, listener: {{ packet_bytes_max: {packet_bytes_max} }} }}
queues: {{ frame_bytes_max: {frame_bytes_max}, max_attempts: 2 }}
store: {{ age_secs: 1, age_secs_max: 1 }}
topics:
  - pattern: devices/{{device}}/telemetry
    payload: {{ encoding: gzip }}
    transform: {{ preset: device_sim }}
"
    )
}

fn message(second: usize, metrics: usize) -> Vec<u8> {
    let metrics = (0..metrics).map(|metric| format!("\"m{metric}\":{}.3", metric % 40));
    gzip(second, &metrics.collect::<Vec<_>>())
}

/// A message with a text that LZ4 makes little of: each letter is half a byte of noise.
fn message_with_text(second: usize) -> Vec<u8> {
    let next = |state: &u64| Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    let noise = std::iter::successors(Some(1), next).map(|state| format!("{:08x}", state >> 32));
    let text: String = noise.take(LETTERS / 8).collect();
    gzip(second, &["\"m0\":1.5".to_owned(), format!("\"m1\":\"{text}\""), "\"m2\":2.5".to_owned()])
}

fn gzip(second: usize, metrics: &[String]) -> Vec<u8> {
    let text = format!(
        "{{\"device_id\":\"pump\",\"ts\":\"2026-01-01T00:00:{second:02}Z\",\"seq\":{second},\"metrics\":{{{}}}}}",
        metrics.join(",")
    );
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

fn dead(site: &Site, arguments: &[&str]) -> Ended {
    let mut command = site.millstream("dead");
    command.args(arguments);
    Child::start(command).ended()
}

/// How many readings there are of which second, and how many of these are different.
fn readings(site: &Site) -> Vec<(u64, u64, u64)> {
    let rows = lake::query(
        &site.lake(),
        "SELECT seq, count(*) AS rows, count(DISTINCT metric) AS metrics FROM 'readings/**/*.parquet' GROUP BY seq
         ORDER BY seq",
    );
    let count = |row: &Value, column: &str| row[column].as_u64().unwrap();
    rows.iter().map(|row| (count(row, "seq"), count(row, "rows"), count(row, "metrics"))).collect()
}

fn assert_balanced(site: &Site) {
    let mut command = site.millstream("queues");
    command.args(["--check", "--json"]);
    let told = Child::start(command).ended().well().json();
    assert_eq!(told["balance"]["balanced"], true, "{told}");
}

#[test]
fn a_message_that_fails_is_set_aside_alone_and_comes_back_once() {
    set_aside_and_back("", "transform");
}

/// It comes back through the whole hop.
#[test]
fn so_is_one_that_fails_within_a_hop() {
    set_aside_and_back("groups: [[validate, transform]]\n", "validate");
}

#[test]
fn a_message_with_more_readings_than_one_frame_holds_goes_on_in_several() {
    let site = Site::new(&topology(32_768, 32_768));
    let up = site.up();
    publish(&site, &[(TOPIC, message(0, 3)), (TOPIC, message(1, MANY)), (TOPIC, message(2, 3))]);
    site.wait_until_dry();
    let all = (1, MANY as u64, MANY as u64);
    assert_eq!(readings(&site), [(0, 3, 3), all, (2, 3, 3)], "each row once");
    assert_balanced(&site);
    let said = dead(&site, &["list"]).well().out;
    assert_eq!(said, ["there are no such dead letters"]);
    up.terminate();
    up.ended().well();
}

/// Its letter is one of `queue`; what fails is always transform.
fn set_aside_and_back(groups: &str, queue: &str) {
    let topology = |frame_bytes_max| format!("{groups}{}", topology(PACKET_BYTES_MAX, frame_bytes_max));
    let site = Site::new(&topology(PACKET_BYTES_MAX));
    let up = site.up();
    let large = message_with_text(2);
    assert!(large.len() < PACKET_BYTES_MAX - 1000, "{}", large.len());
    let messages =
        [(TOPIC, message(0, 3)), (TOPIC, message(1, 3)), (TOPIC, large.clone()), (TOPIC, message(3, 3))];
    publish(&site, &messages);
    until("a message is dead", || site.queues()["queues"][queue]["dead"] == 1);
    site.wait_until_dry();
    assert_eq!(readings(&site), [(0, 3, 3), (1, 3, 3), (3, 3, 3)], "the good ones went on");
    assert_balanced(&site);
    let told = dead(&site, &["list", "--json"]).well().json();
    let group = &told["groups"][0];
    assert_eq!((&group["queue"], &group["rows"]), (&queue.into(), &1.into()), "{told}");
    let letter = group["letter"].to_string();
    let shown = dead(&site, &["show", &letter, "--json"]).well().json();
    let reason = shown["reason"].as_str().unwrap();
    assert!(reason.contains("frame_bytes_max"), "{shown}");
    assert_eq!(reason.starts_with("transform: "), queue != "transform", "{shown}");
    assert_eq!(shown["content"]["kind"], "messages");
    assert_eq!(shown["content"]["rows"][0]["topic"], TOPIC, "{shown}");

    // As long as nothing has changed it fails again.
    let said = dead(&site, &["requeue", "--all", "--queue", queue]).well().out;
    assert_eq!(said, [format!("requeued 1 dead letter with 1 row: {queue} 1")]);
    until("it is dead again", || {
        let depth = &site.queues()["queues"][queue];
        depth["dead"] == 1 && depth["frames"] == 0
    });
    assert_balanced(&site);
    let said = dead(&site, &["show", &letter]).with(1).err.join("\n");
    assert!(said.contains(&format!("there is no dead letter {letter}")), "it is another letter now: {said}");
    up.terminate();
    up.ended().well();

    site.configure(&topology(1 << 20));
    let up = site.up();
    dead(&site, &["requeue", "--all"]).well();
    until("the message is in the lake", || {
        site.wait_until_dry();
        readings(&site).len() == 4
    });
    assert_eq!(readings(&site), [(0, 3, 3), (1, 3, 3), (2, 3, 3), (3, 3, 3)], "each row once");
    assert_eq!(dead(&site, &["requeue", "--all"]).well().out, ["requeued 0 dead letters with 0 rows"]);
    assert_balanced(&site);
    up.terminate();
    up.ended().well();
}
