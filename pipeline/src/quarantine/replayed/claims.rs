//! What has come back, in the table beside queues on SQS. Publishing and remembering are two steps there:
//!
//! 1. A frame is *claimed*, in one transaction: its messages count as replayed, on condition that none of them has come back as
//!    often already; the books count it; and its bytes are put beside.
//! 2. It is published, under an id that follows from its messages.
//! 3. The bytes are removed.
//!
//! So a message is claimed once, whoever replays. A claim whose bytes are there may not be published yet: the next replay
//! publishes these very bytes first, under the same id, by which the stages know them if they were.
//!
//! | `pk` | `sk` | holds |
//! |---|---|---|
//! | `replayed#NUMBER` | `messages` | `replays`: how often each of 1024 messages has come back, as pairs |
//! | `replay` | `FRAME#PART` | `bytes` of a frame that is claimed; `lane`, `rows`, `parts`, `claimed_at` |

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use stages::{
    frame::{Frame, FrameId, Lane, Messages, Micros},
    plan::Counts,
    replay,
};
use tokio::time::sleep;

use crate::{
    clock,
    error::Class,
    pause::spread,
    quarantine::{QuarantineError, STAGE},
    queue::{EncodedFrame, QueueError},
    state::dynamodb::{
        ACTIONS_MAX, Action, Change, Item, Key, PART_BYTES_MAX, Table, TableError, binary, bytes_of,
        number_of, numeric,
    },
};

/// Messages of one item: so many that a day of refusals takes few of them, and so few that one stays small.
const RANGE: u64 = 1024;
/// Items that a frame may touch: one transaction takes them, with the frame and the books.
const RANGES_MAX: usize = ACTIONS_MAX - 10;
/// How often a claim is tried anew while others claim beside it.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(50);
/// A claim is a transaction of moments: what of it is still not whole after this time is what was left of one that is done.
const LEFTOVER_MICROS: Micros = 3_600_000_000;

const FRAMES: &str = "replay";

/// Claims of replays; clones share the table.
#[derive(Clone)]
pub(in crate::quarantine) struct Claims(Table);

/// A frame that is claimed, and may not be published yet.
#[derive(Debug)]
pub(in crate::quarantine) struct Claimed {
    pub(in crate::quarantine) frame: EncodedFrame,
}

/// How often messages of one range have come back, by their place in it.
type Range = BTreeMap<u16, u32>;

impl Claims {
    pub(in crate::quarantine) fn new(table: Table) -> Self {
        Self(table)
    }

    /// How often each of these messages was claimed.
    pub(super) async fn of(&self, messages: &[u64]) -> Result<Vec<u32>, TableError> {
        let keys: BTreeSet<_> = messages.iter().map(|message| message / RANGE).collect();
        let keys: Vec<_> = keys.into_iter().map(range_key).collect();
        let found = self.0.get_all(&keys).await?;
        let ranges: BTreeMap<_, _> =
            found.iter().map(|(key, item)| (key.pk.clone(), range_of(item))).collect();
        let one = |message: &u64| {
            let range = ranges.get(&range_key(message / RANGE).pk);
            range.and_then(|range| range.get(&place(*message))).copied().unwrap_or_default()
        };
        Ok(messages.iter().map(one).collect())
    }

    /// Claims the messages of a frame, each with how often it has come back then.
    ///
    /// # Errors
    /// [`QueueError::Replayed`] when one of them has come back as often already: then none of them is claimed.
    pub(in crate::quarantine) async fn claim(
        &self,
        frame: &EncodedFrame,
        messages: &[(u64, u32)],
    ) -> Result<(), QueueError> {
        let mut ranges: BTreeMap<u64, Vec<(u64, u32)>> = BTreeMap::new();
        for (message, replays) in messages {
            ranges.entry(message / RANGE).or_default().push((*message, *replays));
        }
        for tries in 0..TRIES {
            // An answer may have been lost, or somebody else have this very frame in hand.
            if tries > 0 && self.0.get(&frame_key(frame.id, 0)).await?.is_some() {
                return Ok(());
            }
            let keys: Vec<_> = ranges.keys().map(|range| range_key(*range)).collect();
            let found = self.0.get_all(&keys).await?;
            let mut actions = parts(frame);
            for (key, messages) in keys.into_iter().zip(ranges.values()) {
                actions.push(Action::Change(counted(key, &found, messages)?));
            }
            let rows = u64::from(frame.rows);
            let counts = Counts { consumed: rows, produced: rows, ..Counts::default() };
            actions.extend(self.0.count(STAGE, &counts).map(Action::Change));
            match self.0.transact(&self.0.write_name(), actions).await {
                Ok(true) => return Ok(()),
                Err(error) if error.class() != Class::Retry => return Err(error.into()),
                Ok(false) | Err(_) => sleep(spread(PAUSE * (tries + 1))).await,
            }
        }
        Err(self.0.busy("claim messages", "they change again and again").into())
    }

    /// Frames that were claimed and may not be published yet.
    pub(in crate::quarantine) async fn unfinished(&self) -> Result<Vec<Claimed>, QueueError> {
        let mut frames: BTreeMap<String, Vec<Item>> = BTreeMap::new();
        let mut leftovers = Vec::new();
        for item in self.0.range(FRAMES, ("0", "~"), &[]).await? {
            let Some(key) = Key::of(&item) else { continue };
            let frame = key.sk.split('#').next().unwrap_or_default().to_owned();
            frames.entry(frame).or_default().push(item);
        }
        let mut unfinished = Vec::new();
        for (id, parts) in frames {
            let whole = parts.first().and_then(|part| number_of(part, "parts")) == Some(parts.len());
            if whole {
                unfinished
                    .push(claimed(&parts).ok_or_else(|| self.0.damaged(Key::new(FRAMES, id), "the frame"))?);
            } else if parts.iter().all(is_left_over) {
                leftovers.extend(parts.iter().filter_map(Key::of));
            }
        }
        self.0.delete_all(&leftovers).await?;
        Ok(unfinished)
    }

    /// A frame is published.
    pub(in crate::quarantine) async fn published(&self, frame: &EncodedFrame) -> Result<(), TableError> {
        let parts = 0..frame.bytes.len().div_ceil(PART_BYTES_MAX).max(1);
        let keys: Vec<_> = parts.map(|part| frame_key(frame.id, part)).collect();
        self.0.delete_all(&keys).await
    }
}

/// A frame in pieces that one claim takes.
///
/// # Errors
/// When it holds no messages.
pub(in crate::quarantine) fn split(frame: Frame) -> Result<Vec<Frame>, QuarantineError> {
    let mut pieces: Vec<BTreeSet<(u64, u32)>> = vec![BTreeSet::new()];
    let (messages, mut ranges) = (Messages::of(&frame)?, BTreeSet::new());
    for row in 0..messages.len() {
        let name = (messages.message(row), messages.replays(row));
        if ranges.len() == RANGES_MAX && !ranges.contains(&(name.0 / RANGE)) {
            ranges.clear();
            pieces.push(BTreeSet::new());
        }
        ranges.insert(name.0 / RANGE);
        if let Some(piece) = pieces.last_mut() {
            piece.insert(name);
        }
    }
    if pieces.len() == 1 {
        return Ok(vec![frame]);
    }
    let piece =
        |names: &BTreeSet<_>| replay::keep(&frame, |message, replays| names.contains(&(message, replays)));
    let pieces: Result<Vec<_>, _> = pieces.iter().map(piece).collect();
    Ok(pieces?.into_iter().flatten().collect())
}

/// The change of one range, if none of `messages` has come back as often already.
fn counted(
    key: Key,
    found: &std::collections::HashMap<Key, Item>,
    messages: &[(u64, u32)],
) -> Result<Change, QueueError> {
    let before = found.get(&key);
    let mut range = before.map(range_of).unwrap_or_default();
    for (message, replays) in messages {
        let last = range.entry(place(*message)).or_default();
        if *last >= *replays {
            return Err(QueueError::Replayed { message: *message });
        }
        *last = *replays;
    }
    let change = Change::of(key).set("replays", binary(encoded(&range)));
    Ok(match before.and_then(|item| bytes_of(item, "replays")) {
        Some(before) => change.when_equals("replays", binary(before)),
        None => change.when_absent("pk"),
    })
}

/// The bytes of a frame.
fn parts(frame: &EncodedFrame) -> Vec<Action> {
    let claimed_at = clock::now();
    let parts = frame.bytes.chunks(PART_BYTES_MAX);
    let count = parts.len();
    let part = |(index, bytes): (usize, &[u8])| {
        let mut item = frame_key(frame.id, index).item();
        item.insert("frame".to_owned(), binary(frame.id.0));
        item.insert("lane".to_owned(), numeric(frame.lane.0));
        item.insert("rows".to_owned(), numeric(frame.rows));
        item.insert("parts".to_owned(), numeric(count));
        item.insert("claimed_at".to_owned(), numeric(claimed_at));
        item.insert("bytes".to_owned(), binary(bytes));
        Action::Put(item)
    };
    parts.enumerate().map(part).collect()
}

/// A frame from all its parts.
fn claimed(parts: &[Item]) -> Option<Claimed> {
    let first = parts.first()?;
    let id = FrameId(bytes_of(first, "frame")?.try_into().ok()?);
    let (lane, rows) = (Lane(number_of(first, "lane")?), number_of(first, "rows")?);
    let bytes: Vec<&[u8]> = parts.iter().map(|part| bytes_of(part, "bytes")).collect::<Option<_>>()?;
    Some(Claimed { frame: EncodedFrame { id, lane, rows, bytes: bytes.concat().into() } })
}

fn is_left_over(part: &Item) -> bool {
    number_of::<Micros>(part, "claimed_at").is_some_and(|at| clock::now() - at > LEFTOVER_MICROS)
}

fn range_of(item: &Item) -> Range {
    let pairs = bytes_of(item, "replays").unwrap_or_default().as_chunks::<6>().0;
    let pair = |&[a, b, c, d, e, f]: &[u8; 6]| (u16::from_le_bytes([a, b]), u32::from_le_bytes([c, d, e, f]));
    pairs.iter().map(pair).collect()
}

fn encoded(range: &Range) -> Vec<u8> {
    let pair = |(place, replays): (&u16, &u32)| {
        let ([a, b], [c, d, e, f]) = (place.to_le_bytes(), replays.to_le_bytes());
        [a, b, c, d, e, f]
    };
    range.iter().flat_map(pair).collect()
}

/// The place of a message in its range.
fn place(message: u64) -> u16 {
    u16::try_from(message % RANGE).unwrap_or(u16::MAX)
}

fn range_key(range: u64) -> Key {
    Key::new(format!("replayed#{range:014x}"), "messages")
}

fn frame_key(frame: FrameId, part: usize) -> Key {
    Key::new(FRAMES, format!("{frame}#{part:02}"))
}

#[cfg(test)]
mod tests {
    use stages::frame::{Header, Kind, Message, MessagesBuilder};

    use super::*;

    fn frame(messages: impl Iterator<Item = u64>) -> Frame {
        let mut builder = MessagesBuilder::default();
        for message in messages {
            builder.append(&Message {
                message,
                topic: "a",
                payload: b"{}",
                received_at: 0,
                client_id: "",
                properties: &[],
                replays: 1,
            });
        }
        let id = FrameId::replayed([]);
        let header = Header { id, kind: Kind::Messages, lane: Lane(0), created_at: 0, epoch: 0, trace: None };
        builder.finish(header).expect("a frame")
    }

    fn numbers(frame: &Frame) -> Vec<u64> {
        let messages = Messages::of(frame).expect("messages");
        (0..messages.len()).map(|row| messages.message(row)).collect()
    }

    #[test]
    fn a_range_is_read_as_it_was_written() {
        let range = Range::from([(0, 1), (17, 300), (1023, u32::MAX)]);
        let item = Item::from([("replays".to_owned(), binary(encoded(&range)))]);
        assert_eq!(range_of(&item), range);
    }

    #[test]
    fn a_frame_of_many_ranges_is_claimed_in_pieces() {
        let near = frame(0..5_000);
        assert_eq!(split(near).expect("pieces").len(), 1, "numbers that follow each other share ranges");
        let far: Vec<_> = (0..200).map(|row| row * RANGE * 3).collect();
        let pieces = split(frame(far.iter().copied())).expect("pieces");
        assert_eq!(pieces.iter().map(|piece| piece.rows.num_rows()).collect::<Vec<_>>(), [90, 90, 20]);
        assert_eq!(pieces.iter().flat_map(numbers).collect::<Vec<_>>(), far);
        let ids: BTreeSet<_> = pieces.iter().map(|piece| piece.header.id).collect();
        assert_eq!(ids.len(), 3);
    }

    #[test]
    fn who_comes_second_is_refused() {
        let (key, message) = (range_key(0), 7);
        let first = |replays| counted(key.clone(), &Default::default(), &[(message, replays)]);
        assert!(first(1).is_ok());
        let found =
            [(key.clone(), Item::from([("replays".to_owned(), binary(encoded(&Range::from([(7, 1)]))))]))];
        let found = found.into_iter().collect();
        let again = |replays| counted(key.clone(), &found, &[(message, replays)]);
        assert!(matches!(again(1), Err(QueueError::Replayed { message: 7 })));
        assert!(again(2).is_ok());
    }
}
