//! Replaying where publishing and remembering are two steps: claim, publish, done. See `replayed/claims.rs`.

use std::collections::{HashSet, VecDeque};

use stages::{frame::Frame, replay};

use super::{Replay, messages_of, waiting};
use crate::{
    failpoint::fail_point,
    quarantine::{
        QuarantineError, Replayed,
        replayed::{Claims, split},
    },
    queue::{EncodedFrame, Publish, QueueError, QueueName},
};

impl Replay<'_> {
    /// Publishes what another replay has claimed, and did not come to publish.
    pub(super) async fn finish_others(&mut self, claims: &Claims) -> Result<(), QuarantineError> {
        for claimed in claims.unfinished().await? {
            let rows = u64::from(claimed.frame.rows);
            self.send(claims, claimed.frame).await?;
            self.outcome.finished += rows;
        }
        Ok(())
    }

    /// Publishes frames one after the other, without the messages that somebody else has claimed meanwhile.
    pub(super) async fn publish_in_steps(
        &mut self,
        frames: Vec<Frame>,
        (claims, replayed): (&Claims, &Replayed),
    ) -> Result<(), QuarantineError> {
        let mut left = VecDeque::new();
        for frame in frames {
            left.extend(split(frame)?);
        }
        while let Some(frame) = left.pop_front() {
            let (names, encoded) = (messages_of(&frame)?, EncodedFrame::of(&frame)?);
            let rows = names.len() as u64;
            let publish = Publish { queue: QueueName::Validate, frame: encoded };
            // What is too large must be known before it is claimed.
            match self.queues.check(&publish) {
                Err(QueueError::TooLarge { .. }) if names.len() > 1 => {
                    halves(&frame, &names)?.into_iter().rev().for_each(|half| left.push_front(half));
                    continue;
                }
                checked => checked?,
            }
            match claims.claim(&publish.frame, &names).await {
                Ok(()) => {
                    fail_point!("replay_claimed");
                    self.send(claims, publish.frame).await?;
                    self.outcome.replayed += rows;
                }
                Err(QueueError::Replayed { .. }) => {
                    let kept = waiting(&[frame], replayed).await?;
                    self.outcome.before +=
                        rows - kept.iter().map(|frame| frame.rows.num_rows() as u64).sum::<u64>();
                    kept.into_iter().rev().for_each(|frame| left.push_front(frame));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Publishes a frame that is claimed.
    async fn send(&self, claims: &Claims, frame: EncodedFrame) -> Result<(), QuarantineError> {
        let publish = Publish { queue: QueueName::Validate, frame: frame.clone() };
        self.queues.publish(vec![publish]).await.into_iter().collect::<Result<(), _>>()?;
        fail_point!("replay_published");
        Ok(claims.published(&frame).await.map_err(QueueError::from)?)
    }
}

/// A frame that is too large for the queue, in two.
fn halves(frame: &Frame, names: &[(u64, u32)]) -> Result<Vec<Frame>, QuarantineError> {
    let first: HashSet<_> = names.iter().take(names.len() / 2).copied().collect();
    let half =
        |wanted: bool| replay::keep(frame, |message, replays| first.contains(&(message, replays)) == wanted);
    Ok([half(true)?, half(false)?].into_iter().flatten().collect())
}
