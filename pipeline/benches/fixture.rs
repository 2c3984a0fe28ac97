//! Frames as a fleet leads to them: four metrics in each message, one message of each device in turn.

use stages::frame::{Frame, FrameId, Header, Kind, Lane, Reading, ReadingsBuilder};

/// Readings of a message.
pub(crate) const METRICS: [&str; 4] = ["temperature", "humidity", "pressure", "vibration"];
/// 2024-01-01T00:00:00Z.
const START: i64 = 1_704_067_200_000_000;
const DEVICES: u64 = 1_000;

/// The readings of `count` messages from the `first` on.
pub(crate) fn readings(first: u64, count: u64, lane: u16) -> Frame {
    let mut rows = ReadingsBuilder::new(&[]);
    for message in first..first + count {
        let ts = START + i64::try_from(message).unwrap() * 1_000;
        let wave = wave(message);
        let row = Reading {
            device_id: &format!("device-{:06}", message % DEVICES),
            ts,
            seq: Some(message / DEVICES),
            received_at: ts + 1_500,
            message,
            ..Reading::default()
        };
        let values = [20.0 + wave, 40.0 + 3.0 * wave, 1013.25 + wave, 0.0173 + 0.001 * wave];
        for (metric, value) in METRICS.into_iter().zip(values) {
            rows.append(&Reading { metric, value: Some((value * 1e3).round() / 1e3), ..row });
        }
    }
    let id = FrameId::ingested(1, first);
    let lane = Lane(lane);
    rows.finish(Header { id, kind: Kind::Readings, lane, created_at: START, epoch: 1, trace: None }).unwrap()
}

/// How far the values of a message are off, from -1 to 1.
pub(crate) fn wave(message: u64) -> f64 {
    (message as f64 * 0.37).sin()
}
