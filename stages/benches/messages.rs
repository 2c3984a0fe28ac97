//! What validate, transform and analyze cost per message, beside the floor of reading its JSON into a tree.
//! Run it with `cargo bench -p stages`.

#![expect(clippy::disallowed_methods, reason = "a benchmark looks at the clock")]
#![expect(clippy::print_stdout, reason = "its figures are its output")]
#![expect(clippy::unwrap_used, reason = "a benchmark may fail")]

use std::{hint::black_box, time::Instant};

use serde_json::{Value, json};
use stages::{
    analyze::{Analyze, AnalyzeConfig, AnalyzeState},
    frame::{Frame, FrameId, Header, Kind, Lane, Message, MessagesBuilder, Reading, ReadingsBuilder},
    topic::TopicConfig,
    transform::Transform,
    validate::{Schemas, Validate},
};

const MESSAGES: u64 = 1_000;
const ROUNDS: u32 = 300;

fn main() {
    let topic: TopicConfig = serde_json::from_value(
        json!({ "pattern": "devices/{device}/telemetry", "schema": "builtin:device_sim" }),
    )
    .unwrap();
    let bare = TopicConfig { schema: None, ..topic.clone() };
    let files = Schemas::new("/", |path| Err(format!("{path} is not needed")));
    let schema = Validate::new(&[topic], &files).unwrap();
    let json = Validate::new(std::slice::from_ref(&bare), &files).unwrap();
    let transform = Transform::new(&[bare], 4).unwrap();
    let payloads: Vec<String> = (0..MESSAGES).map(payload).collect();
    let frame = frame(&payloads);

    let bytes = payloads.iter().map(String::len).sum::<usize>() / payloads.len();
    println!("{MESSAGES} messages of {bytes} bytes, 5 readings each; ns per message, best of {ROUNDS}");
    let floor = best(|| {
        for payload in &payloads {
            black_box(serde_json::from_str::<Value>(payload).unwrap());
        }
    });
    let report = |name: &str, cost: f64| println!("{name:<26}{cost:>7.0}  {:.2} of the floor", cost / floor);
    report("floor: JSON to a tree", floor);
    report("readings to columns alone", best(|| drop(black_box(readings(&payloads)))));
    report("validate, any JSON", best(|| drop(black_box(json.plan(&frame).unwrap()))));
    report("validate, schema", best(|| drop(black_box(schema.plan(&frame).unwrap()))));
    report("transform", best(|| drop(black_box(transform.plan(&frame).unwrap()))));
    let rows = readings(&payloads);
    for (name, window_secs) in [("analyze, no windows", 0), ("analyze", 60)] {
        let analyze = Analyze::new(&AnalyzeConfig { window_secs, ..AnalyzeConfig::default() });
        let plan = || drop(black_box(analyze.plan(&mut AnalyzeState::default(), &rows).unwrap()));
        report(name, best(plan));
    }
}

fn best(mut work: impl FnMut()) -> f64 {
    let mut least = f64::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        work();
        least = least.min(start.elapsed().as_nanos() as f64 / MESSAGES as f64);
    }
    least
}

fn payload(number: u64) -> String {
    let metrics = json!({
        "temperature": 20.0 + number as f64 * 0.013, "humidity": 40.5, "pressure": 1013.25, "vibration": 0.0173, "on": true,
    });
    let ts = format!("2024-01-01T00:{:02}:{:02}.{:03}Z", number / 60 % 60, number % 60, number % 1000);
    json!({ "device_id": format!("device-{:05}", number % 200), "ts": ts, "seq": number, "metrics": metrics })
        .to_string()
}

/// As many readings as transform makes, from what lies at hand.
fn readings(payloads: &[String]) -> Frame {
    let mut rows = ReadingsBuilder::new(&[]);
    for (message, payload) in (0..).zip(payloads) {
        for metric in ["temperature", "humidity", "pressure", "vibration", "on"] {
            rows.append(&Reading {
                device_id: payload.get(14..26).unwrap(),
                metric,
                ts: 1_704_070_800_000_000,
                value: Some(1.0),
                text: None,
                unit: None,
                seq: Some(message),
                received_at: 1_704_070_800_000_000,
                message,
                tags: &[],
            });
        }
    }
    rows.finish(Header { kind: Kind::Readings, ..header() }).unwrap()
}

fn frame(payloads: &[String]) -> Frame {
    let mut rows = MessagesBuilder::default();
    for (message, payload) in (0..).zip(payloads) {
        let topic = format!("devices/device-{:05}/telemetry", message % 200);
        let received_at = 1_704_070_800_000_000;
        let payload = payload.as_bytes();
        rows.append(&Message {
            message,
            topic: &topic,
            payload,
            received_at,
            client_id: "c",
            properties: &[],
            replays: 0,
        });
    }
    rows.finish(header()).unwrap()
}

fn header() -> Header {
    let id = FrameId::ingested(1, 1);
    Header { id, kind: Kind::Messages, lane: Lane(0), created_at: 0, epoch: 1, trace: None }
}
