//! Dead letters on their way: a message in the queue of the dead, with the reason.

use stages::frame::Micros;

use super::{
    SqsQueues,
    api::SEND,
    error::SqsError,
    line::{Line, Place},
    message::{Attributes, FRAME, Incoming, LANE, MESSAGE_BYTES_MAX, Outgoing, PUBLISHED_AT, ROWS},
    plain,
    publish::send,
};
use crate::{
    clock::now,
    queue::{DeadLetter, EncodedFrame, QueueError},
};

/// What a dead letter says beside what its frame does.
pub(super) const REASON: &str = "reason";
pub(super) const ATTEMPTS: &str = "attempts";
pub(super) const QUEUE: &str = "queue";
/// Of a message that was no frame: its body is here as it came.
pub(super) const AS_IT_CAME: &str = "as_it_came";

/// As much as is kept of a reason.
const REASON_BYTES_MAX: usize = 1024;

impl SqsQueues {
    /// Keeps frames that are given up with the dead letters of their queues.
    ///
    /// # Errors
    /// Per letter, what kept SQS from it.
    pub(in crate::queue) async fn keep_dead(&self, letters: &[DeadLetter]) -> Vec<Result<(), QueueError>> {
        let mut answers = Vec::with_capacity(letters.len());
        for DeadLetter { queue, frame, attempts, reason } in letters {
            answers.push(match self.line(*queue, frame.lane) {
                Ok(line) => {
                    // A commit that is tried again gives up the same rows: they are one letter, which its id tells.
                    let letter = self.keep(line, frame, now(), frame.id.to_string(), (*attempts, reason));
                    letter.await.map_err(QueueError::from)
                }
                Err(error) => Err(error),
            });
        }
        answers
    }

    /// Keeps a frame with the dead letters of its queue.
    pub(super) async fn keep(
        &self,
        line: &Line,
        frame: &EncodedFrame,
        published_at: Micros,
        deduplication: String,
        (attempts, reason): (u32, &str),
    ) -> Result<(), SqsError> {
        let mut message = Outgoing::of(frame, published_at, false);
        message.attributes.append(&mut said(line, attempts, reason));
        // A group of its own: letters do not wait for each other.
        message.place = line.fifo.then(|| (frame.id.to_string(), deduplication));
        self.send_one(&line.dead, message).await
    }

    /// Keeps a message that is no frame with the dead letters of its queue, and deletes it.
    pub(super) async fn keep_message(
        &self,
        line: &Line,
        message: Incoming<'_>,
        reason: &str,
    ) -> Result<(), SqsError> {
        let frame = plain::id(message.id());
        let mut letter = Outgoing {
            frame,
            body: message.body().to_owned(),
            attributes: said(line, message.attempts() + 1, reason),
            place: line.fifo.then(|| (frame.to_string(), frame.to_string())),
        };
        for (name, value) in [
            (FRAME, frame.to_string()),
            (LANE, "0".to_owned()),
            (ROWS, "1".to_owned()),
            (PUBLISHED_AT, message.sent_at().to_string()),
            (AS_IT_CAME, "true".to_owned()),
        ] {
            letter.attributes.insert(name, value);
        }
        if letter.bytes() > MESSAGE_BYTES_MAX {
            let (action, queue) = (SEND, line.dead.name.clone());
            let reason = "with its reason it is too large; its redrive policy moves it in the end".to_owned();
            return Err(SqsError::Invalid { action, queue, reason });
        }
        self.send_one(&line.dead, letter).await?;
        // If it cannot be deleted, it comes again, and is one more letter.
        self.inner.api.delete(&line.main, &[message.handle().to_owned()]).await;
        Ok(())
    }

    pub(super) async fn send_one(&self, place: &Place, message: Outgoing) -> Result<(), SqsError> {
        let answers = send(&self.inner.api, place, vec![(0, message)]).await;
        answers.into_iter().try_for_each(|(_, answer)| answer)
    }
}

/// Where a frame was, how often it failed, and why it is given up.
fn said(line: &Line, attempts: u32, reason: &str) -> Attributes {
    let mut said = Attributes::from([(ATTEMPTS, attempts.to_string()), (QUEUE, line.queue.to_string())]);
    let reason = storable(reason);
    if !reason.is_empty() {
        said.insert(REASON, reason);
    }
    said
}

/// Text that SQS takes: characters that XML allows, and not too many.
fn storable(text: &str) -> String {
    let allowed = |char: char| match char {
        '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'.. => char,
        _ => char::REPLACEMENT_CHARACTER,
    };
    let mut kept = String::new();
    for char in text.chars().map(allowed) {
        if kept.len() + char.len_utf8() > REASON_BYTES_MAX {
            break;
        }
        kept.push(char);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_kept_as_far_as_sqs_takes_it() {
        assert_eq!(storable("bad \u{1}\u{ffff} \u{1f600}\n"), "bad \u{fffd}\u{fffd} \u{1f600}\n");
        let long = storable(&"ä".repeat(1000));
        assert_eq!((long.len(), long.chars().count()), (1024, 512));
    }
}
