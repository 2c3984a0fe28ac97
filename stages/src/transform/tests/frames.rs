//! What one frame leads to goes out in frames that a queue takes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::{Transform, frame, topic};
use crate::{
    frame::{FRAME_BYTES, Frame, Lane, Quarantine, Readings, encode},
    plan::Port,
};

const LANES: u16 = 2;

/// The frames for `port`, which are the same each time, of about [`FRAME_BYTES`] each and with ids of their own.
fn frames(stage: &Transform, messages: &[(&str, &str)], port: Port) -> Vec<Frame> {
    let input = frame(messages);
    let plan = stage.plan(&input).unwrap();
    assert_eq!(plan, stage.plan(&input).unwrap());
    let ids: BTreeSet<_> = plan.publish.iter().map(|(_, frame)| frame.header.id).collect();
    assert_eq!(ids.len(), plan.publish.len(), "each frame has an id of its own");
    let frames = plan.publish.into_iter().filter(|(to, _)| *to == port).map(|(_, frame)| frame);
    let frames: Vec<Frame> = frames.collect();
    for frame in &frames {
        let bytes = encode(frame).unwrap().len();
        assert!(bytes < FRAME_BYTES + FRAME_BYTES / 4, "{bytes} bytes");
    }
    frames
}

fn samples(device: usize) -> String {
    let samples: Vec<String> =
        (0..9_000).map(|ts| format!(r#"{{"ts":{ts},"a":{ts}.5,"text":"abc"}}"#)).collect();
    format!(r#"{{"d":"{device}","samples":[{}]}}"#, samples.join(","))
}

#[test]
fn readings_of_a_lane_are_split_in_order() {
    let transform = json!({ "device": { "pointer": "/d" },
        "samples": { "pointer": "/samples", "time": { "pointer": "/ts", "format": "epoch_s" } } });
    let stage = Transform::new(&[topic("t", transform)], LANES).unwrap();
    let payloads: Vec<String> = (0..8).map(samples).collect();
    let messages: Vec<(&str, &str)> = payloads.iter().map(|payload| ("t", payload.as_str())).collect();
    let (mut lanes, mut count) = (BTreeMap::<Lane, Vec<(u64, i64)>>::new(), 0);
    for frame in frames(&stage, &messages, Port::Next) {
        let rows = Readings::of(&frame).unwrap();
        assert!(!rows.is_empty());
        count += 1;
        for row in 0..rows.len() {
            let device = rows.devices().get(row).unwrap();
            assert_eq!(Lane::of(device, LANES), frame.header.lane);
            lanes.entry(frame.header.lane).or_default().push((rows.message(row), rows.ts(row)));
        }
    }
    assert!(count > usize::from(LANES), "{count} frames");
    assert_eq!(lanes.values().map(Vec::len).sum::<usize>(), 8 * 9_000 * 2);
    assert!(lanes.values().all(|rows| rows.is_sorted()));
}

#[test]
fn refused_messages_are_split_in_order() {
    let stage = Transform::new(&[topic("{device}", json!({ "time": "received" }))], 1).unwrap();
    let payload = format!("no JSON {}", "x".repeat(1_000));
    let messages = vec![("t", payload.as_str()); 3_000];
    let frames = frames(&stage, &messages, Port::Refused);
    assert!(frames.len() > 2, "{} frames", frames.len());
    let rows: Vec<_> = frames.iter().map(|frame| Quarantine::of(frame).unwrap()).collect();
    let numbers = rows.iter().flat_map(|rows| (0..rows.len()).map(|row| rows.message(row)));
    assert!(numbers.eq(10..3_010));
}
