//! What SQS is paid for, counted where requests are made.

#![allow(clippy::print_stdout, reason = "the figures of the documentation")]

use std::{
    fs,
    thread::sleep,
    time::{Duration, Instant},
};

use tests::{Child, Console, Ministack, Site};

/// The most that a million readings may take from one queue to the next, where frames are full and a stage has them at hand.
const REQUESTS_MAX: f64 = 60.0;
/// Readings of a run: enough for several frames in each lane.
const READINGS: u64 = 1_000_000;
/// Metrics of each sample.
const METRICS: u64 = 4;
/// Messages that wait for their acknowledgement on each of four connections: more than the frames of all lanes hold.
const IN_FLIGHT: u64 = 60_000;
/// As long as nobody has to be told that a frame is still held.
const LEASE_SECS: u32 = 600;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(900);

const HOPS: [&str; 5] = ["validate", "transform", "analyze", "alert", "store"];
/// What goes by readings; leases go by time, and so do looks that find nothing.
const KINDS: [&str; 3] = ["send", "receive", "delete"];

/// Full frames: nothing closes one but its size, and the end.
const PACKING: &str = "ingest: { linger_ms: 60000, listener: { receive_maximum: 65535 } }\n";
/// Time is told by rows alone, so that only readings are counted.
const TOPOLOGY: &str = "analyze: { tick_secs: 3600 }
shutdown_secs: 600
";
const SAMPLES_TOPICS: &str = include_str!("../../data/bench/samples.yaml");
const SAMPLES_SCHEMA: &str = include_str!("../../data/bench/samples.json");

/// Requests, and what is paid for, by hop and kind.
#[derive(Default)]
struct Count([[(f64, f64); KINDS.len()]; HOPS.len()]);

/// What a load of messages with so many samples takes: packed by a process of ingest, and then taken by one stage after the
/// other, each with all that is to be taken in its queue.
fn count(samples: u64) -> (u64, Count) {
    let services = Ministack::start();
    let site = Site::on_aws(&services, "");
    fs::write(site.path("samples.json"), SAMPLES_SCHEMA).unwrap();
    let topics = if samples > 1 { SAMPLES_TOPICS } else { "" };
    let sqs = format!("sqs: {{ endpoint: '{}' }}", services.endpoint());
    let topology = format!("queues: {{ engine: sqs, lease_secs: {LEASE_SECS}, {sqs} }}\n{TOPOLOGY}{topics}");
    let messages = READINGS / METRICS / samples;
    let mut count = Count::default();
    site.configure(&format!("{topology}{PACKING}"));
    let (ingest, packed) = start(&site, "ingest");
    let load = [("--devices", 1000), ("--messages", messages), ("--samples", samples), ("--rate", 0)];
    let load = load.iter().chain(&[("--inflight", IN_FLIGHT)]);
    let fleet = site.fleet(load.flat_map(|(option, number)| [(*option).to_owned(), number.to_string()]));
    wait("all messages are received", || {
        packed.metric("millstream_ingest_received_total") >= messages as f64
    });
    let frames = packed.metric("millstream_ingest_frames_total");
    count.add(&packed);
    // What fills no frame goes at the end: a frame of each lane at the most.
    count.0[0][0].0 += 4.0;
    count.0[0][0].1 += 4.0 * 16.0;
    println!("{frames} full frames of ingest");
    ingest.terminate();
    ingest.ended_within(PATIENCE).well();
    // And what the fleet sends again, whose acknowledgements were lost on the way.
    site.configure(&topology);
    let (ingest, again) = start(&site, "ingest");
    fleet.ended_within(PATIENCE).well();
    count.add(&again);
    ingest.terminate();
    ingest.ended_within(PATIENCE).well();
    for hop in HOPS {
        let (stage, console) = start(&site, hop);
        wait(hop, || site.queues()["queues"][hop]["frames"] == 0);
        count.add(&console);
        stage.terminate();
        stage.ended_within(PATIENCE).well();
    }
    (messages * samples * METRICS, count)
}

fn start(site: &Site, stage: &str) -> (Child, Console) {
    let mut started = site.millstream("run");
    started.args([stage, "--listen", &site.address().to_string(), "--console", "127.0.0.1:0"]);
    let child = Child::start(started);
    let console = Console::of(&child);
    child.says(if stage == "ingest" { "listening on mqtt://" } else { "running" });
    (child, console)
}

impl Count {
    /// Adds what a process has asked for so far.
    fn add(&mut self, console: &Console) {
        for (hop, kinds) in HOPS.iter().zip(&mut self.0) {
            for (kind, (calls, chunks)) in KINDS.iter().zip(kinds) {
                let (more_calls, more_chunks) = of(console, hop, kind);
                *calls += more_calls;
                *chunks += more_chunks;
            }
        }
    }
}

/// Requests, and what is paid for.
fn of(console: &Console, hop: &str, kind: &str) -> (f64, f64) {
    let of = |metric: &str| {
        console.metric(&format!("millstream_sqs_{metric}_total{{queue=\"{hop}\",kind=\"{kind}\"}}"))
    };
    (of("requests"), of("chunks"))
}

/// Large frames take their time in a build that is not for use.
fn wait(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        sleep(Duration::from_millis(200));
    }
}

#[test]
fn sqs_full_frames_take_at_most_60_requests_per_million_readings() {
    let mut over = Vec::new();
    for samples in [1, 20] {
        let (readings, Count(counts)) = count(samples);
        println!("{readings} readings, {samples} samples in a message; for each million:");
        println!("| hop | send | receive | delete | requests | paid for |");
        for (hop, kinds) in HOPS.iter().zip(counts) {
            let each = |number: f64| number * 1e6 / readings as f64;
            let all: f64 = kinds.iter().map(|(calls, _)| each(*calls)).sum();
            let paid: f64 = kinds.iter().map(|(_, chunks)| each(*chunks)).sum();
            let [send, receive, delete] = kinds.map(|(calls, _)| each(calls));
            println!("| {hop} | {send:.1} | {receive:.1} | {delete:.1} | {all:.1} | {paid:.0} |");
            if all > REQUESTS_MAX {
                over.push(format!("{hop}, {samples} samples in a message: {all:.1}"));
            }
        }
    }
    assert!(over.is_empty(), "too many requests for each million readings: {over:?}");
}
