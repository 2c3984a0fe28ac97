//! Dead letters: who looks at them receives them all, and puts back those that stay.

use std::{
    collections::HashSet,
    sync::{Arc, PoisonError},
    time::Duration,
};

use aws_sdk_sqs::types::Message;
use base64::prelude::{BASE64_STANDARD, Engine};
use bytes::Bytes;
use stages::frame::{Lane, Micros};
use tokio::{task::JoinSet, time::Instant};
use tracing::warn;
use xxhash_rust::xxh3::xxh3_64;

use super::{
    SqsQueues,
    api::BATCH,
    bury::{AS_IT_CAME, ATTEMPTS, REASON},
    error::SqsError,
    joined,
    line::Line,
    message::{Attributes, FRAME, Incoming, LANE, Outgoing, PUBLISHED_AT, ROWS, attributes},
    plain,
};
use crate::{
    clock::now,
    queue::{Batch, DeadFilter, EncodedFrame, KeptLetter, QueueError, Span},
};

/// For how long letters are kept from others that look; they come back at once when a look ends, unless it is killed.
const HIDDEN_SECS: i32 = 300;
/// An answer that waits asks all servers of SQS, others ask some.
const WAIT_SECS: i32 = 1;
/// For how long a look need not be repeated to know that nothing is left.
const LOOK_LASTS: Duration = Duration::from_secs(60);
/// Letters are numbered by the millisecond since 2020 in the upper 41 bits, and a hash of the message's id.
const NUMBERED_SINCE: Micros = 1_577_836_800_000_000;
const HASH_BITS: u32 = 22;
/// What is said of letters that a redrive policy moved.
const NO_REASON: &str = "SQS moved it here as it was handed out too often: whoever held it ended each time, and could give no reason";

/// What is done with letters that fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Look,
    Requeue,
    Drop,
}

/// A letter as it was received.
struct Letter {
    kept: KeptLetter,
    handle: String,
    body: String,
    /// Whether its body is no frame.
    as_it_came: bool,
}

/// What one look has found.
#[derive(Default)]
struct Found {
    letters: Vec<KeptLetter>,
    /// The bytes of the last one.
    bytes: Bytes,
}

impl SqsQueues {
    /// See [`Queues::dead_letters`](crate::queue::Queues::dead_letters), all at once. Of those that SQS moved by a redrive policy,
    /// an ordered lane shows ten.
    ///
    /// # Errors
    /// When SQS cannot be asked.
    pub async fn dead_letters(&self, filter: DeadFilter, span: Span) -> Result<Vec<KeptLetter>, QueueError> {
        let looked = || self.inner.looked.lock().unwrap_or_else(PoisonError::into_inner);
        // Who goes on after the last one has seen all there were.
        if looked().is_some_and(|(at, last)| span.after == last && at.elapsed() < LOOK_LASTS) {
            return Ok(Vec::new());
        }
        let letters = self.walk(Deed::Look, filter, span).await?.letters;
        *looked() = letters.last().map(|letter| (Instant::now(), letter.letter));
        Ok(letters)
    }

    /// See [`Queues::dead_letter`](crate::queue::Queues::dead_letter).
    ///
    /// # Errors
    /// When SQS cannot be asked.
    pub async fn dead_letter(&self, letter: i64) -> Result<Option<(KeptLetter, Bytes)>, QueueError> {
        let only = DeadFilter { letters: vec![letter], ..DeadFilter::default() };
        let Found { mut letters, bytes } = self.walk(Deed::Look, only, Span::ALL).await?;
        Ok(letters.pop().map(|kept| (kept, bytes)))
    }

    /// See [`Queues::requeue`](crate::queue::Queues::requeue), all at once, each by itself: what was put back stays so when
    /// another fails.
    ///
    /// # Errors
    /// When SQS cannot be asked.
    pub async fn requeue(&self, filter: DeadFilter, span: Span) -> Result<Batch, QueueError> {
        self.deal(Deed::Requeue, filter, span).await
    }

    /// See [`Queues::drop_dead`](crate::queue::Queues::drop_dead), all at once.
    ///
    /// # Errors
    /// When SQS cannot be asked.
    pub async fn drop_dead(&self, filter: DeadFilter, span: Span) -> Result<Batch, QueueError> {
        self.deal(Deed::Drop, filter, span).await
    }

    async fn deal(&self, deed: Deed, filter: DeadFilter, span: Span) -> Result<Batch, QueueError> {
        let mut batch = Batch::default();
        for kept in self.walk(deed, filter, span).await?.letters {
            batch.done[kept.queue as usize].add(kept.rows);
            batch.last = Some(span.up_to);
        }
        Ok(batch)
    }

    /// Goes through the dead letters of all queues that may have one that fits; answers these by number.
    async fn walk(&self, deed: Deed, filter: DeadFilter, span: Span) -> Result<Found, QueueError> {
        if span.after >= span.up_to {
            return Ok(Found::default());
        }
        let mut walks = JoinSet::new();
        for line in self.inner.lines.iter().filter(|line| filter.queue.is_none_or(|only| only == line.queue))
        {
            let (queues, line, filter) = (self.clone(), Arc::clone(line), filter.clone());
            walks.spawn(async move { queues.walk_line(&line, deed, &filter, span).await });
        }
        let mut all = Found::default();
        for found in joined(walks).await {
            let Found { mut letters, bytes } = found?;
            if !letters.is_empty() {
                all.bytes = bytes;
            }
            all.letters.append(&mut letters);
        }
        all.letters.sort_by_key(|kept| kept.letter);
        Ok(all)
    }

    async fn walk_line(
        &self,
        line: &Line,
        deed: Deed,
        filter: &DeadFilter,
        span: Span,
    ) -> Result<Found, SqsError> {
        let (mut found, mut stay) = (Found::default(), Vec::new());
        // Who looks for longer than letters are hidden comes by the first ones again.
        let mut seen = HashSet::new();
        let walked = loop {
            if !filter.letters.is_empty() && found.letters.len() == filter.letters.len() {
                break Ok(());
            }
            let messages = match self.inner.api.receive(&line.dead, BATCH, HIDDEN_SECS, WAIT_SECS).await {
                Ok(messages) if messages.is_empty() => break Ok(()),
                Ok(messages) => messages,
                Err(error) => break Err(error),
            };
            let is_new = |message: &&Message| seen.insert(message.message_id().map(str::to_owned));
            let (new, again): (Vec<_>, Vec<_>) = messages.iter().partition(is_new);
            stay.extend(again.iter().map(|message| (Incoming(message).handle().to_owned(), 0)));
            if new.is_empty() {
                break Ok(());
            }
            let (altered, whole): (Vec<_>, Vec<_>) =
                new.into_iter().partition(|message| Incoming(message).is_altered());
            for message in altered.into_iter().map(Incoming) {
                let (queue, id) = (&line.dead.name, message.id());
                warn!(queue, id, "a dead letter is left where it is: its MD5 is another");
                stay.push((message.handle().to_owned(), 0));
            }
            let letters = whole.into_iter().map(|message| Letter::of(line, message));
            let (fit, others): (Vec<_>, Vec<_>) = letters.partition(|letter| letter.fits(filter, span));
            stay.extend(others.into_iter().map(|letter| (letter.handle, 0)));
            match self.deal_with(line, deed, fit, &mut stay, &mut found).await {
                Ok(()) => {}
                Err(error) => break Err(error),
            }
        };
        if !stay.is_empty() {
            // What cannot be put back now comes back by itself.
            self.inner.api.change(&line.dead, &stay).await;
        }
        walked.map(|()| found)
    }

    /// Deals with letters that fit. Those that stay are put back.
    async fn deal_with(
        &self,
        line: &Line,
        deed: Deed,
        letters: Vec<Letter>,
        stay: &mut Vec<(String, i32)>,
        found: &mut Found,
    ) -> Result<(), SqsError> {
        for letter in letters {
            if deed == Deed::Requeue
                && let Err(error) = self.send_one(&line.main, letter.requeued(line)).await
            {
                stay.push((letter.handle, 0));
                return Err(error);
            }
            if deed == Deed::Look {
                found.bytes = letter.bytes();
                stay.push((letter.handle, 0));
            } else {
                // If it cannot be deleted, it is there again later: its frame has the same id.
                self.inner.api.delete(&line.dead, &[letter.handle]).await;
            }
            found.letters.push(letter.kept);
        }
        Ok(())
    }
}

impl Letter {
    fn of(line: &Line, message: &Message) -> Self {
        let message = Incoming(message);
        let (id, sent_at) = (message.id(), message.sent_at());
        let frame = message.attribute(FRAME).and_then(|text| text.parse().ok());
        let as_it_came = message.attribute(AS_IT_CAME).is_some() || frame.is_none();
        let own = message.attribute(ATTEMPTS).is_some();
        let reason = if own { message.attribute(REASON).unwrap_or_default() } else { NO_REASON };
        let mut letter = Self {
            kept: KeptLetter {
                letter: number(id, sent_at),
                queue: line.queue,
                lane: Lane(message.number(LANE).unwrap_or_default()),
                frame: frame.unwrap_or_else(|| plain::id(id)),
                rows: message.number(ROWS).unwrap_or(1),
                bytes: 0,
                published_at: message.number(PUBLISHED_AT).unwrap_or(sent_at),
                attempts: message.number(ATTEMPTS).unwrap_or_else(|_| message.attempts()),
                reason: reason.to_owned(),
                died_at: sent_at,
            },
            handle: message.handle().to_owned(),
            body: message.body().to_owned(),
            as_it_came,
        };
        letter.kept.bytes = letter.bytes().len() as u64;
        letter
    }

    /// The frame, or what came in its place.
    fn bytes(&self) -> Bytes {
        let decoded = (!self.as_it_came).then(|| BASE64_STANDARD.decode(&self.body).ok()).flatten();
        decoded.unwrap_or_else(|| self.body.clone().into_bytes()).into()
    }

    /// The letter as a message of its queue again, published now.
    fn requeued(&self, line: &Line) -> Outgoing {
        let KeptLetter { letter, frame: id, lane, rows, .. } = self.kept;
        let rows = u32::try_from(rows).unwrap_or(u32::MAX);
        let frame = EncodedFrame { id, lane, rows, bytes: Bytes::new().into() };
        Outgoing {
            frame: id,
            body: self.body.clone(),
            attributes: if self.as_it_came { Attributes::new() } else { attributes(&frame, now()) },
            // The id alone was there of late, perhaps.
            place: line.fifo.then(|| (lane.to_string(), format!("{id}-{letter}"))),
        }
    }

    fn fits(&self, filter: &DeadFilter, span: Span) -> bool {
        let KeptLetter { letter, queue, reason, died_at, .. } = &self.kept;
        let DeadFilter { letters, queue: only, reason: text, since, until } = filter;
        *letter > span.after
            && *letter <= span.up_to
            && (letters.is_empty() || letters.contains(letter))
            && only.is_none_or(|only| only == *queue)
            && text.as_ref().is_none_or(|text| reason.contains(text))
            && since.is_none_or(|since| *died_at >= since)
            && until.is_none_or(|until| *died_at < until)
    }
}

/// The number of a letter: the same as long as its message is there, and later ones have larger numbers.
fn number(message: &str, sent_at: Micros) -> i64 {
    let millis = (sent_at - NUMBERED_SINCE).max(0) / 1000;
    let hash = xxh3_64(message.as_bytes()) >> (u64::BITS - HASH_BITS);
    (millis << HASH_BITS) | hash.cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_numbered_by_time() {
        let (first, second) = (number("a", 1_800_000_000_000_000), number("b", 1_800_000_000_001_000));
        assert!(0 < first && first < second);
        assert_eq!(first, number("a", 1_800_000_000_000_000));
        assert_ne!(first, number("b", 1_800_000_000_000_000));
        assert!(number("a", 3_700_000_000_000_000) > 0, "in 2087");
    }
}
