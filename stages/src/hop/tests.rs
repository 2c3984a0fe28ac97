use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::{
    alert::Alert,
    analyze::{Analyze, AnalyzeConfig},
    frame::{FrameId, Header, Kind, Lane, Message, MessagesBuilder, Reading, ReadingsBuilder},
    topic::TopicConfig,
    transform::Transform,
    validate::{Schemas, Validate},
};

fn header(kind: Kind, lane: u16) -> Header {
    let id = FrameId::ingested(1, 1);
    Header { id, kind, lane: Lane(lane), created_at: 0, epoch: 1, trace: None }
}

fn topics() -> Vec<TopicConfig> {
    let topic = json!({ "pattern": "devices/{device}", "transform": { "preset": "device_sim" } });
    vec![serde_json::from_value(topic).unwrap()]
}

fn validate() -> Stage {
    let files = Schemas::new("/", |_| Err("there are no files".to_owned()));
    Stage::Validate(Arc::new(Validate::new(&topics(), &files).unwrap()))
}

fn transform(lanes: u16) -> Stage {
    Stage::Transform(Arc::new(Transform::new(&topics(), lanes).unwrap()))
}

fn analyze() -> Stage {
    Stage::Analyze(Arc::new(Analyze::new(&AnalyzeConfig::default())))
}

fn alert() -> Stage {
    let rules = json!({ "rules": [{ "name": "warm", "metric": "temperature", "above": 20 }] });
    Stage::Alert(Arc::new(Alert::new(&serde_json::from_value(rules).unwrap()).unwrap()))
}

fn messages(payloads: &[&str]) -> Frame {
    let mut builder = MessagesBuilder::default();
    for (message, payload) in (1..).zip(payloads) {
        builder.append(&Message {
            message,
            topic: "devices/a",
            payload: payload.as_bytes(),
            received_at: 1_767_225_600_000_000,
            client_id: "a",
            properties: &[],
            replays: 0,
        });
    }
    builder.finish(header(Kind::Messages, 0)).unwrap()
}

fn readings() -> Frame {
    let mut builder = ReadingsBuilder::new(&[]);
    for (seq, value) in [(1, 19.0), (2, 21.0), (2, 21.0)] {
        let seq = Some(seq);
        let reading =
            Reading { device_id: "a", metric: "temperature", value: Some(value), seq, ..Reading::default() };
        builder.append(&reading);
    }
    builder.finish(header(Kind::Readings, 0)).unwrap()
}

fn planned(hop: &Hop, frame: &Frame) -> Result<Vec<Part>, String> {
    let mut states: Vec<LaneState> = hop.stages().map(Stage::empty_state).collect();
    plan(hop, &mut states, frame).map_err(|error| error.to_string())
}

#[test]
fn what_a_stage_sends_on_goes_to_the_next_and_all_else_out() {
    let good = r#"{"device_id":"a","ts":"2026-01-01T00:00:00Z","seq":1,"metrics":{"t":1,"u":2}}"#;
    let hop = Hop::of(validate()).then(transform(1));
    let parts = planned(&hop, &messages(&[good, "no JSON", r#"{"device_id":"a"}"#])).unwrap();
    let [first, second] = parts.as_slice() else { panic!("{parts:?}") };
    assert_eq!((first.rows, first.counts.consumed, first.counts.quarantined), (3, 2, 1));
    assert_eq!((second.rows, second.counts.consumed, second.counts.quarantined), (2, 1, 1));
    let ports = |part: &Part| part.publish.iter().map(|(port, _)| *port).collect::<Vec<_>>();
    assert_eq!((ports(first), ports(second)), (vec![Port::Refused], vec![Port::Next, Port::Refused]));
}

#[test]
fn ids_and_changes_are_those_of_the_stages_alone() {
    let (analyze, alert) = (analyze(), alert());
    let (mut analyzed, mut alerted) = (analyze.empty_state(), alert.empty_state());
    let one = stage::plan(&analyze, &mut analyzed, &readings()).unwrap();
    let other = stage::plan(&alert, &mut alerted, &one.publish[0].1).unwrap();
    let parts = planned(&Hop::of(analyze).then(alert), &readings()).unwrap();
    assert_eq!((parts[0].counts, &parts[0].deltas), (one.counts, &vec![one.delta]));
    assert_eq!((parts[1].counts, &parts[1].deltas), (other.counts, &vec![other.delta]));
    assert_eq!((parts[0].publish.len(), &parts[1].publish), (0, &other.publish));
}

#[test]
fn a_tick_goes_through() {
    let parts = planned(&Hop::of(analyze()).then(alert()), &Frame::tick(Lane(0), 5_000_000)).unwrap();
    assert_eq!(parts.iter().map(|part| part.rows).sum::<u64>(), 0);
    assert!(parts.iter().all(|part| part.publish.is_empty() && part.deltas.is_empty()), "{parts:?}");
}

#[test]
fn an_error_names_the_stage_where_there_are_several() {
    let alone = planned(&Hop::of(validate()), &readings()).unwrap_err();
    assert_eq!(alone, "frame header kind cannot be \"readings\"");
    let first = planned(&Hop::of(validate()).then(transform(1)), &readings()).unwrap_err();
    assert_eq!(first, format!("validate: {alone}"));
    // No scores, as analyze would add them: what alert reads is not what validate sends on.
    let second = planned(&Hop::of(validate()).then(alert()), &messages(&["{}"])).unwrap_err();
    assert!(second.starts_with("alert: "), "{second}");
}

#[test]
fn a_state_is_of_one_lane() {
    let good = r#"{"device_id":"a","ts":"2026-01-01T00:00:00Z","seq":1,"metrics":{"t":1}}"#;
    let hop = |lanes| Hop::of(validate()).then(transform(lanes)).then(analyze());
    planned(&hop(1), &messages(&[good])).unwrap();
    let lanes = (2..).find(|lanes| Lane::of("a", *lanes) != Lane(0)).unwrap();
    let said = planned(&hop(lanes), &messages(&[good])).unwrap_err();
    assert!(said.contains("analyze was sent a frame of another lane"), "{said}");
}
