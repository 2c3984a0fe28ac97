//! Frames as a fleet of a thousand devices fills them: each in its turn, with a message of four metrics every tenth of a second.

use serde_json::json;
use stages::{
    analyze::{Analyze, AnalyzeConfig, AnalyzeState},
    frame::{Frame, FrameId, Header, Kind, Lane, Message, MessagesBuilder},
    plan::{Plan, Port},
    topic::TopicConfig,
    transform::Transform,
    validate::{Schemas, Validate},
};

/// Messages of a frame: with few connections in flight, and with many.
pub(crate) const SIZES: [u64; 2] = [200, 2_000];

const DEVICES: u64 = 1_000;

/// From one message of the fleet to the next.
const STEP_MICROS: u64 = 100;

/// 2024-01-01T00:00:00Z.
const START: u64 = 1_704_067_200_000_000;

pub(crate) fn topics() -> Vec<TopicConfig> {
    let topic = json!({ "pattern": "devices/{device}/telemetry", "schema": "builtin:device_sim" });
    vec![serde_json::from_value(topic).unwrap()]
}

pub(crate) fn validate() -> Validate {
    Validate::new(&topics(), &Schemas::new("/", |path| Err(format!("{path} is not needed")))).unwrap()
}

pub(crate) fn transform() -> Transform {
    Transform::new(&topics(), 1).unwrap()
}

pub(crate) fn analyze() -> Analyze {
    Analyze::new(&AnalyzeConfig::default())
}

/// The payload of a message of the fleet.
pub(crate) fn payload(number: u64) -> String {
    let device = number % DEVICES;
    let micros = START + number * STEP_MICROS;
    let (seconds, millis) = (micros / 1_000_000 % 86_400, micros / 1_000 % 1_000);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let wave = (number as f64 * 0.37).sin();
    format!(
        concat!(
            r#"{{"device_id":"device-{:06}","ts":"2024-01-01T{:02}:{:02}:{:02}.{:03}Z","seq":{},"#,
            r#""metrics":{{"temperature":{:.3},"humidity":{:.2},"pressure":{:.2},"vibration":{:.5}}}}}"#
        ),
        device,
        hour,
        minute,
        second,
        millis,
        number / DEVICES,
        20.0 + wave,
        40.0 + 3.0 * wave,
        1013.25 + wave,
        0.0173 + 0.001 * wave,
    )
}

/// A frame of the messages from `first` on.
pub(crate) fn messages(first: u64, count: u64) -> Frame {
    let mut rows = MessagesBuilder::default();
    for number in first..first + count {
        let device = format!("device-{:06}", number % DEVICES);
        rows.append(&Message {
            message: number,
            topic: &format!("devices/{device}/telemetry"),
            payload: payload(number).as_bytes(),
            received_at: i64::try_from(START + number * STEP_MICROS + 1_500).unwrap(),
            client_id: &device,
            properties: &[],
            replays: 0,
        });
    }
    let id = FrameId::ingested(1, first);
    let header = Header { id, kind: Kind::Messages, lane: Lane(0), created_at: 0, epoch: 1, trace: None };
    rows.finish(header).unwrap()
}

/// What goes on of a plan.
pub(crate) fn next(plan: Plan) -> Frame {
    let mut next = plan.publish.into_iter().filter(|(port, _)| *port == Port::Next);
    next.next().unwrap().1
}

/// The frames of messages as validate passes them on.
pub(crate) fn validated(first: u64, count: u64) -> Frame {
    next(validate().plan(&messages(first, count)).unwrap())
}

/// The readings of those messages.
pub(crate) fn readings(first: u64, count: u64) -> Frame {
    next(transform().plan(&messages(first, count)).unwrap())
}

/// The readings with their scores.
pub(crate) fn scored(first: u64, count: u64) -> Frame {
    next(analyze().plan(&mut AnalyzeState::default(), &readings(first, count)).unwrap())
}
