//! A frame that fails, in halves: what `pipeline/src/worker/isolate.rs` and `step.rs` do.

use std::ops::Range;

use stages::{
    frame::{Frame, Header},
    hop::{self, Hop, Part},
    stage::LaneState,
};

use crate::rows::messages_of;

/// What came of a frame in pieces.
pub(crate) struct Pieces {
    /// What each stage made of each piece.
    pub(crate) good: Vec<Vec<Part>>,
    /// The messages of rows that fail alone.
    pub(crate) poison: Vec<u64>,
}

/// Plans ever smaller pieces of a frame, in order; what `fails` is tried all the same, and the states put back.
pub(crate) fn plan_pieces(
    hop: &Hop,
    states: &mut [LaneState],
    frame: &Frame,
    fails: impl Fn(&Frame) -> bool,
) -> Pieces {
    let mut pieces = Pieces { good: Vec::new(), poison: Vec::new() };
    let mut left: Vec<Range<usize>> = Vec::new();
    left.push(0..frame.rows.num_rows());
    while let Some(rows) = left.pop() {
        let id = frame.header.id.published(hop.first().name(), 0, "piece", rows.start);
        let header = Header { id, ..frame.header.clone() };
        let piece = Frame { header, rows: frame.rows.slice(rows.start, rows.len()) };
        let saved = copied(hop, &mut *states);
        let parts = hop::plan(hop, &mut *states, &piece).unwrap();
        if !fails(&piece) {
            pieces.good.push(parts);
            continue;
        }
        states.iter_mut().zip(saved).for_each(|(state, saved)| *state = saved);
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

/// The states again, by way of their bytes.
pub(crate) fn copied<'s>(hop: &Hop, states: impl IntoIterator<Item = &'s mut LaneState>) -> Vec<LaneState> {
    let copy = |(stage, state): (&stages::stage::Stage, &mut LaneState)| {
        let mut copy = stage.empty_state();
        if !matches!(state, LaneState::Stateless) {
            stage.apply(&mut copy, &stage.snapshot(state).unwrap()).unwrap();
        }
        copy
    };
    hop.stages().zip(states).map(copy).collect()
}
