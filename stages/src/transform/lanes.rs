//! Readings on their way out, by the lane of their device.

use std::collections::BTreeMap;

use super::{STAGE, measure::Measured, reader::Run};
use crate::{
    frame::{FRAME_BYTES, Frame, FrameError, Header, Kind, Lane, Messages, Reading, ReadingsBuilder},
    plan::Port,
};

/// What the numbers, times and keys of a row take, without those of its tags.
const ROW_BYTES: usize = 64;
/// What the key of a tag takes.
const TAG_BYTES: usize = 4;

/// The rows of *readings* frames.
pub(super) struct Lanes<'a> {
    tags: &'a [String],
    /// How many lanes there are.
    count: u16,
    lanes: BTreeMap<Lane, Rows>,
}

/// The rows of a lane.
#[derive(Default)]
struct Rows {
    frames: Vec<ReadingsBuilder>,
    /// In the last of them, about: a text that repeats is counted each time.
    bytes: usize,
}

impl<'a> Lanes<'a> {
    /// No rows yet, of readings with these tags, for this number of lanes.
    pub(super) fn new(tags: &'a [String], count: u16) -> Self {
        Self { tags, count, lanes: BTreeMap::new() }
    }

    /// Adds readings of the message in `row`.
    pub(super) fn append(
        &mut self,
        (messages, row): (&Messages<'_>, usize),
        run: &Run<'_>,
        readings: &[Measured<'_>],
        tags: &[Option<&str>],
    ) {
        let lane = self.lanes.entry(Lane::of(&run.device, self.count)).or_default();
        let row_bytes = ROW_BYTES + TAG_BYTES * tags.len();
        lane.bytes += run.device.len() + tags.iter().flatten().map(|tag| tag.len()).sum::<usize>();
        let common = Reading {
            device_id: &run.device,
            ts: run.ts,
            seq: run.seq,
            received_at: messages.received_at(row),
            message: messages.message(row),
            tags,
            ..Reading::default()
        };
        let mut rest = readings;
        while !rest.is_empty() {
            let (count, frame) = lane.frame(self.tags, rest, row_bytes);
            let (own, later) = rest.split_at(count);
            let Some(frame) = frame else { return };
            frame.append_run(&common, own.iter().map(Measured::own));
            rest = later;
        }
    }

    /// The frames, published for `input`.
    pub(super) fn publish(self, input: &Header, config_hash: u64) -> Result<Vec<(Port, Frame)>, FrameError> {
        let (port, count) = (Port::Next, usize::from(self.count));
        let frames = self.lanes.into_iter().flat_map(|(lane, rows)| {
            let frames = rows.frames.into_iter().enumerate();
            frames.map(move |(piece, frame)| (lane, piece * count + usize::from(lane.0), frame))
        });
        frames
            .map(|(lane, index, mut rows)| {
                let id = input.id.published(STAGE, config_hash, port.as_str(), index);
                Ok((port, rows.finish(input.derive(Kind::Readings, lane, id))?))
            })
            .collect()
    }
}

impl Rows {
    /// Where the next rows go: the frame, and how many of `readings` it takes. Each has this size beside its texts.
    fn frame(
        &mut self,
        tags: &[String],
        readings: &[Measured<'_>],
        row_bytes: usize,
    ) -> (usize, Option<&mut ReadingsBuilder>) {
        if self.frames.is_empty() || self.bytes >= FRAME_BYTES {
            self.frames.push(ReadingsBuilder::new(tags));
            self.bytes = 0;
        }
        let mut count = 0;
        for reading in readings {
            self.bytes += row_bytes + reading.texts();
            count += 1;
            if self.bytes >= FRAME_BYTES {
                break;
            }
        }
        (count, self.frames.last_mut())
    }
}
