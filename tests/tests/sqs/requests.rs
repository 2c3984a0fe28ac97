//! What SQS is paid for, counted where requests are made.

use std::fs;

use tests::{Child, Console, Ministack, Site};

/// The most that a million readings may take from one queue to the next, where frames are full: sent, received, deleted and held.
const REQUESTS_MAX: f64 = 60.0;
/// Readings of a run: enough for several frames in each lane.
const READINGS: u64 = if cfg!(debug_assertions) { 1_200_000 } else { 4_000_000 };
/// Metrics of each sample.
const METRICS: u64 = 4;
/// Messages that wait for their acknowledgement on each of four connections: more than the frames of all lanes hold.
const IN_FLIGHT: u16 = 30_000;

const HOPS: [&str; 5] = ["validate", "transform", "analyze", "alert", "store"];
const KINDS: [&str; 4] = ["send", "receive", "delete", "change_visibility"];

/// Full frames: nothing closes one but its size, and the end. Time is told by rows alone, so that only readings are counted.
const TOPOLOGY: &str = "ingest: { linger_ms: 10000, listener: { receive_maximum: 65535 } }
analyze: { tick_secs: 3600 }
shutdown_secs: 600
";
const SAMPLES_TOPICS: &str = include_str!("../../data/bench/samples.yaml");
const SAMPLES_SCHEMA: &str = include_str!("../../data/bench/samples.json");

/// Requests, and what is paid for, by hop and kind.
struct Count([[(f64, f64); KINDS.len()]; HOPS.len()]);

/// What a load of messages with so many samples takes.
fn count(samples: u64) -> (u64, Count) {
    let services = Ministack::start();
    let topics = if samples > 1 { SAMPLES_TOPICS } else { "" };
    // Leases are those of a topology that says nothing of them.
    let (site, queues) = (
        Site::on_aws(&services, ""),
        format!("queues: {{ engine: sqs, sqs: {{ endpoint: '{}' }} }}\n", services.endpoint()),
    );
    fs::write(site.path("samples.json"), SAMPLES_SCHEMA).unwrap();
    site.configure(&format!("{queues}{TOPOLOGY}{topics}"));
    let mut command = site.up_command();
    command.args(["--console", "127.0.0.1:0"]);
    let up = Child::start(command);
    let console = Console::of(&up);
    up.says("listening on mqtt://");
    let messages = READINGS / METRICS / samples;
    let load = [
        ("--devices", 1000),
        ("--messages", messages),
        ("--samples", samples),
        ("--rate", 0),
        ("--inflight", IN_FLIGHT.into()),
    ];
    site.fleet(load.iter().flat_map(|(option, number)| [(*option).to_owned(), number.to_string()]))
        .ended_within(10 * tests::PATIENCE)
        .well();
    site.wait_until_dry();
    let of = |metric: &str, hop: &str, kind: &str| {
        console.metric(&format!("millstream_sqs_{metric}_total{{queue=\"{hop}\",kind=\"{kind}\"}}"))
    };
    let counts = HOPS.map(|hop| KINDS.map(|kind| (of("requests", hop, kind), of("chunks", hop, kind))));
    for hop in HOPS {
        println!("{hop}: {} empty receives", of("requests", hop, "empty_receive"));
    }
    println!("{} frames of ingest", console.metric("millstream_ingest_frames_total"));
    up.terminate();
    up.ended().well();
    (messages * samples * METRICS, Count(counts))
}

#[test]
fn sqs_full_frames_take_at_most_60_requests_per_million_readings() {
    let mut over = Vec::new();
    for samples in [1, 20] {
        let (readings, Count(counts)) = count(samples);
        println!("{readings} readings, {samples} samples in a message; for each million:");
        println!("| hop | send | receive | delete | held | requests | paid for |");
        for (hop, kinds) in HOPS.iter().zip(counts) {
            let each = |number: f64| number * 1e6 / readings as f64;
            let all: f64 = kinds.iter().map(|(calls, _)| each(*calls)).sum();
            let paid: f64 = kinds.iter().map(|(_, chunks)| each(*chunks)).sum();
            let [send, receive, delete, held] = kinds.map(|(calls, _)| each(calls));
            println!("| {hop} | {send:.1} | {receive:.1} | {delete:.1} | {held:.1} | {all:.1} | {paid:.0} |");
            if all > REQUESTS_MAX {
                over.push(format!("{hop}, {samples} samples in a message: {all:.1}"));
            }
        }
    }
    assert!(over.is_empty(), "over {REQUESTS_MAX} requests for each million readings: {over:?}");
}
