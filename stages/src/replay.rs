//! The way back: refused messages, and what the stages would make of them as these are now.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use arrow_array::BooleanArray;
use arrow_select::filter::filter_record_batch;

use crate::{
    frame::{Frame, FrameError, FrameId, Header, Message, Messages, MessagesBuilder, Quarantine},
    plan::{Plan, Port},
    transform::Transform,
    validate::Validate,
};

/// Adds the message in `row` to those that come back, with one replay more than it had.
pub fn append(builder: &mut MessagesBuilder, rows: &Quarantine<'_>, row: usize) {
    builder.append(&Message {
        message: rows.message(row),
        topic: rows.topic(row),
        payload: rows.payload(row),
        received_at: rows.received_at(row),
        client_id: rows.client_id(row),
        properties: &rows.properties(row),
        replays: rows.replays(row).saturating_add(1),
    });
}

/// What would become of the messages of a frame now.
#[derive(Debug)]
pub struct Trial {
    /// Those that nobody would refuse; none where that is none.
    pub passing: Option<Frame>,
    /// *quarantine* frames of the others.
    pub refused: Vec<Frame>,
}

impl Trial {
    /// Has validate and transform look at a *messages* frame.
    ///
    /// # Errors
    /// When the frame holds no messages.
    pub fn of(messages: &Frame, validate: &Validate, transform: &Transform) -> Result<Self, FrameError> {
        let mut refused = Vec::new();
        for (port, frame) in published(validate.plan(messages)?, &mut refused) {
            if port == Port::Next {
                published(transform.plan(&frame)?, &mut refused);
            }
        }
        let mut numbers = BTreeSet::new();
        for frame in &refused {
            let rows = Quarantine::of(frame)?;
            numbers.extend((0..rows.len()).map(|row| rows.message(row)));
        }
        let passing = keep(messages, |message, _| !numbers.contains(&message))?;
        Ok(Self { passing, refused })
    }
}

/// What a plan publishes, but for what it refuses, which goes to `refused`.
fn published(plan: Plan, refused: &mut Vec<Frame>) -> Vec<(Port, Frame)> {
    let (no, yes): (Vec<_>, Vec<_>) = plan.publish.into_iter().partition(|(port, _)| *port == Port::Refused);
    refused.extend(no.into_iter().map(|(_, frame)| frame));
    yes
}

/// The messages that `wanted` picks by number and replays, under an id that follows from these; none where that is none.
///
/// # Errors
/// When the frame holds no messages.
pub fn keep(frame: &Frame, wanted: impl Fn(u64, u32) -> bool) -> Result<Option<Frame>, FrameError> {
    let messages = Messages::of(frame)?;
    let names = || (0..messages.len()).map(|row| (messages.message(row), messages.replays(row)));
    let picked: BooleanArray = names().map(|(message, replays)| Some(wanted(message, replays))).collect();
    if picked.true_count() == 0 {
        return Ok(None);
    }
    let id = FrameId::replayed(names().filter(|(message, replays)| wanted(*message, *replays)));
    let rows = filter_record_batch(&frame.rows, &picked)?;
    Ok(Some(Frame { header: Header { id, ..frame.header.clone() }, rows }))
}

/// The pointer of a fault without the numbers in it: `/samples/*/ts` of `/samples/17/ts`, so that faults of all elements
/// of an array are one kind.
pub fn kind_of_place(pointer: &str) -> String {
    let is_index = |token: &str| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_digit());
    let tokens = pointer.split('/').map(|token| if is_index(token) { "*" } else { token });
    tokens.collect::<Vec<_>>().join("/")
}
