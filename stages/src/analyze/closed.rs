//! The windows that a frame closes, on their way out.

use super::{STAGE, window::Window};
use crate::{
    frame::{AggregateRow, AggregatesBuilder, Frame, FrameError, Header, Kind},
    plan::Port,
};

/// Bytes of rows at which a frame of windows is full: one tick may close those of a whole lane, and a queue takes no
/// frame of any size.
const FRAME_BYTES: usize = 256 << 10;
/// What the numbers and times of a row take.
const ROW_BYTES: usize = 96;

/// Rows of *aggregates* frames, in the order in which the windows were closed.
#[derive(Default)]
pub(super) struct Closed {
    frames: Vec<AggregatesBuilder>,
    /// In the last of them.
    bytes: usize,
    rows: u64,
}

impl Closed {
    pub(super) fn add(&mut self, device_id: &str, metric: &str, window: &Window) {
        if self.frames.is_empty() || self.bytes >= FRAME_BYTES {
            self.frames.push(AggregatesBuilder::default());
            self.bytes = 0;
        }
        let Some(frame) = self.frames.last_mut() else { return };
        self.bytes += ROW_BYTES + device_id.len() + metric.len();
        self.rows += 1;
        let Window { start, end, count, min, max, mean, first, last, .. } = *window;
        frame.append(&AggregateRow {
            device_id,
            metric,
            start,
            end,
            count,
            min,
            max,
            mean,
            stddev: window.stddev(),
            first: first.1,
            last: last.1,
            unit: window.unit.as_deref(),
        });
    }

    /// How many windows there are.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// The frames, published for `input`.
    pub(super) fn publish(self, input: &Header, config_hash: u64) -> Result<Vec<(Port, Frame)>, FrameError> {
        let port = Port::Aggregates;
        let frames = self.frames.into_iter().enumerate().map(|(index, mut rows)| {
            let id = input.id.published(STAGE, config_hash, port.as_str(), index);
            Ok((port, rows.finish(input.derive(Kind::Aggregates, input.lane, id))?))
        });
        frames.collect()
    }
}
