//! What a commit sends, and how that is saved where it is sent after the state.
//!
//! Saved, it is a byte with the version, and then one entry after the other. Numbers are little-endian, and what has no length of
//! its own follows a `u32` with it:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | 0 for a frame to be published, 1 for a dead letter |
//! | 1 | the number of the queue |
//! | 16, 2, 4 | the frame's id, lane and rows |
//! | 4, … | the frame |
//! | 4, 4, … | of a dead letter, how often it failed, and why |

use stages::frame::{FrameId, Lane};

use crate::queue::{DeadLetter, EncodedFrame, Publish, QueueName};

const VERSION: u8 = 1;
const PUBLISH: u8 = 0;
const DEAD: u8 = 1;

/// What a commit sends.
#[derive(Debug, Default)]
pub(super) struct Sending {
    pub(super) publish: Vec<Publish>,
    pub(super) dead: Vec<DeadLetter>,
}

impl Sending {
    /// Adds what is not in it: frames that were applied together lead to the same.
    pub(super) fn add(&mut self, other: Self) {
        for entry in other.publish {
            let is_same = |known: &Publish| (known.queue, known.frame.id) == (entry.queue, entry.frame.id);
            if !self.publish.iter().any(is_same) {
                self.publish.push(entry);
            }
        }
        for letter in other.dead {
            if !self.dead.iter().any(|known| known.frame.id == letter.frame.id) {
                self.dead.push(letter);
            }
        }
    }

    /// As it is saved.
    pub(super) fn encode(&self) -> Vec<u8> {
        let frames = self.publish.iter().map(|entry| &entry.frame);
        let frames = frames.chain(self.dead.iter().map(|letter| &letter.frame));
        let mut bytes = Vec::with_capacity(1 + frames.map(|frame| 64 + frame.bytes.len()).sum::<usize>());
        bytes.push(VERSION);
        for Publish { queue, frame } in &self.publish {
            write_frame(&mut bytes, PUBLISH, *queue, frame);
        }
        for DeadLetter { queue, frame, attempts, reason } in &self.dead {
            write_frame(&mut bytes, DEAD, *queue, frame);
            bytes.extend(attempts.to_le_bytes());
            write(&mut bytes, reason.as_bytes());
        }
        bytes
    }

    /// What was saved; none where it is damaged.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let mut sending = Self::default();
        if take::<1>(&mut rest)? != [VERSION] {
            return None;
        }
        while !rest.is_empty() {
            let [what] = take(&mut rest)?;
            let [queue] = take(&mut rest)?;
            let queue = QueueName::numbered(queue.into())?;
            let frame = EncodedFrame {
                id: FrameId(take(&mut rest)?),
                lane: Lane(u16::from_le_bytes(take(&mut rest)?)),
                rows: u32::from_le_bytes(take(&mut rest)?),
                bytes: read(&mut rest)?.to_vec().into(),
            };
            match what {
                PUBLISH => sending.publish.push(Publish { queue, frame }),
                DEAD => {
                    let attempts = u32::from_le_bytes(take(&mut rest)?);
                    let reason = String::from_utf8(read(&mut rest)?.to_vec()).ok()?;
                    sending.dead.push(DeadLetter { queue, frame, attempts, reason });
                }
                _ => return None,
            }
        }
        Some(sending)
    }
}

fn write_frame(bytes: &mut Vec<u8>, what: u8, queue: QueueName, frame: &EncodedFrame) {
    bytes.extend([what, queue as u8]);
    bytes.extend(frame.id.0);
    bytes.extend(frame.lane.0.to_le_bytes());
    bytes.extend(frame.rows.to_le_bytes());
    write(bytes, &frame.bytes);
}

fn write(bytes: &mut Vec<u8>, value: &[u8]) {
    bytes.extend(u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend(value);
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (value, others) = rest.split_first_chunk()?;
    *rest = others;
    Some(*value)
}

fn read<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u32::from_le_bytes(take(rest)?) as usize;
    let (value, others) = rest.split_at_checked(length)?;
    *rest = others;
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(number: u8) -> EncodedFrame {
        let bytes = vec![number; 3 * usize::from(number)].into();
        EncodedFrame { id: FrameId([number; 16]), lane: Lane(1000 + u16::from(number)), rows: 7, bytes }
    }

    fn sending() -> Sending {
        let publish = [(QueueName::Alert, 0), (QueueName::Store, 200)];
        let publish = publish.map(|(queue, number)| Publish { queue, frame: frame(number) }).into();
        let letter = |number, reason: &str| DeadLetter {
            queue: QueueName::Analyze,
            frame: frame(number),
            attempts: 5,
            reason: reason.to_owned(),
        };
        Sending { publish, dead: vec![letter(3, "no number: ä"), letter(4, "")] }
    }

    #[test]
    fn what_is_saved_is_what_is_sent() {
        for sending in [Sending::default(), sending()] {
            let read = Sending::decode(&sending.encode()).unwrap();
            assert_eq!(format!("{read:?}"), format!("{sending:?}"));
        }
    }

    #[test]
    fn what_several_frames_led_to_is_sent_once() {
        let mut all = Sending { publish: sending().publish.split_off(1), dead: Vec::new() };
        all.add(sending());
        all.add(sending());
        let ids: Vec<_> = all.publish.iter().map(|entry| entry.frame.id.0[0]).collect();
        assert_eq!((ids, all.dead.len()), (vec![200, 0], 2));
    }

    #[test]
    fn the_bytes_are_as_they_are_written_down() {
        let bytes = Sending { publish: Vec::new(), dead: sending().dead.split_off(1) }.encode();
        let mut expected = vec![1, 1, 2];
        expected.extend([4; 16]);
        expected.extend([0xec, 3, 7, 0, 0, 0, 12, 0, 0, 0]);
        expected.extend([4; 12]);
        expected.extend([5, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes, expected);
    }

    #[test]
    fn what_is_cut_off_is_damaged() {
        let bytes = sending().encode();
        let whole = Sending { publish: sending().publish, dead: Vec::new() }.encode().len();
        for length in 0..bytes.len() {
            let read = Sending::decode(&bytes[..length]);
            // Where an entry ends, what is before it is whole by itself; the table has a checksum of all.
            assert!(
                read.is_none() || length < whole || read.is_some_and(|read| read.dead.len() < 2),
                "{length}"
            );
        }
        assert!(Sending::decode(&[2]).is_none(), "another version");
        assert!(Sending::decode(&[1, 9]).is_none(), "no such entry");
    }
}
