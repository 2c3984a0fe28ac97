//! A frame that fails, in halves: what `pipeline/src/worker/isolate.rs` and `step.rs` do.

use std::ops::Range;

use stages::{
    frame::{Frame, Header},
    plan::Plan,
    stage::{self, LaneState, Stage},
};

use crate::rows::messages_of;

/// What came of a frame in pieces.
pub(crate) struct Pieces {
    pub(crate) good: Vec<Plan>,
    /// The messages of rows that fail alone.
    pub(crate) poison: Vec<u64>,
}

/// Plans ever smaller pieces of a frame, in order; what `fails` is tried all the same, and the state put back.
pub(crate) fn plan_pieces(
    stage: &Stage,
    state: &mut LaneState,
    frame: &Frame,
    fails: impl Fn(&Frame) -> bool,
) -> Pieces {
    let mut pieces = Pieces { good: Vec::new(), poison: Vec::new() };
    let mut left: Vec<Range<usize>> = Vec::new();
    left.push(0..frame.rows.num_rows());
    while let Some(rows) = left.pop() {
        let id = frame.header.id.published(stage.name(), 0, "piece", rows.start);
        let header = Header { id, ..frame.header.clone() };
        let piece = Frame { header, rows: frame.rows.slice(rows.start, rows.len()) };
        let saved = match state {
            LaneState::Stateless => None,
            _ => Some(stage.snapshot(state).unwrap()),
        };
        let plan = stage::plan(stage, state, &piece).unwrap();
        if !fails(&piece) {
            pieces.good.push(plan);
            continue;
        }
        *state = stage.empty_state();
        if let Some(saved) = saved {
            stage.apply(state, &saved).unwrap();
        }
        if rows.len() <= 1 {
            pieces.poison.extend(messages_of(&piece));
        } else {
            let middle = rows.start + rows.len() / 2;
            left.push(middle..rows.end);
            left.push(rows.start..middle);
        }
    }
    pieces
}
