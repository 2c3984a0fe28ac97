//! What was sent, by hash, and what was found of it.

use std::{
    collections::{HashMap, hash_map::Entry},
    path::{Path, PathBuf},
};

use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

use super::{
    EXAMPLES_MAX, Example, Problem, Verification, Way,
    lake::{Reading, Refused},
};
use crate::{
    SimError,
    ledger::{Line, Range, Reader},
    message::{Content, Expected, ExpectedRow},
};

/// All publishes with the same topic and payload.
struct Message {
    /// Where its first publish is in the ledger, for examples.
    offset: u64,
    /// Rows it must become, `None` if it must be refused.
    rows: Option<u16>,
    found: u16,
    altered: u16,
    published: u16,
    acknowledged: u16,
    /// Times it went out, repetitions after reconnects included.
    wire: u16,
    quarantined: u16,
}

/// A row that must be there.
struct Row {
    message: u32,
    seen: bool,
}

/// The ledger, digested.
pub(super) struct Books {
    ledger: PathBuf,
    way: Way,
    messages: Vec<Message>,
    /// By topic and payload.
    by_content: HashMap<u64, u32>,
    /// By everything in the row.
    rows: HashMap<u64, Row>,
    /// By device, metric and sequence number: the message that an altered row belongs to.
    by_identity: HashMap<u64, u32>,
    /// The message of each publish of the run that is being read, by connection.
    publishes: Vec<Vec<u32>>,
    result: Verification,
}

impl Books {
    pub(super) fn read(ledger: &Path, way: Way) -> Result<Self, SimError> {
        let mut books = Self {
            ledger: ledger.to_path_buf(),
            way,
            messages: Vec::new(),
            by_content: HashMap::new(),
            rows: HashMap::new(),
            by_identity: HashMap::new(),
            publishes: Vec::new(),
            result: Verification::default(),
        };
        let mut reader = Reader::open(ledger)?;
        loop {
            let offset = reader.end();
            let Some(line) = reader.next()? else { break };
            if let Err(reason) = books.line(line, offset) {
                return Err(reader.error(reason));
            }
        }
        books.publishes = Vec::new();
        Ok(books)
    }

    fn line(&mut self, line: Line<'_>, offset: u64) -> Result<(), String> {
        match line {
            Line::Run => {
                self.publishes.clear();
                Ok(())
            }
            Line::Published { conn, n, topic, payload } => {
                self.result.published += 1;
                let message = self.message(&topic, &payload, offset)?;
                // A ledger of this format comes from at most 65,535 connections.
                let conn =
                    usize::from(u16::try_from(conn).map_err(|_| format!("connection {conn} is too large"))?);
                if self.publishes.len() <= conn {
                    self.publishes.resize_with(conn + 1, Vec::new);
                }
                let publishes = self.publishes.get_mut(conn).ok_or("no such connection")?;
                if n != publishes.len() as u64 + 1 {
                    return Err(format!("publish {n} of connection {conn} follows {}", publishes.len()));
                }
                publishes.push(message);
                Ok(())
            }
            Line::Acked { conn, ranges } => {
                let acknowledged = self.each(conn, &ranges, |message| message.acknowledged += 1)?;
                self.result.acknowledged += acknowledged;
                Ok(())
            }
            Line::Resent { conn, ranges } => {
                self.each(conn, &ranges, |message| message.wire = message.wire.saturating_add(1)).map(drop)
            }
            Line::Refused { conn, numbers } => {
                let ranges: Vec<Range> = numbers.into_iter().map(|n| (n, n)).collect();
                self.each(conn, &ranges, |_| {}).map(drop)
            }
        }
    }

    /// The message with this content, known or new, with one more publish.
    fn message(&mut self, topic: &str, payload: &str, offset: u64) -> Result<u32, String> {
        let next = u32::try_from(self.messages.len()).map_err(|_| "more than 4 billion messages")?;
        let place = match self.by_content.entry(content_key(topic, payload.as_bytes())) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(vacant) => {
                vacant.insert(next);
                let expected = Expected::of(payload);
                let rows = expected.as_ref().map(|expected| expected.rows.len());
                let rows = rows
                    .map(u16::try_from)
                    .transpose()
                    .map_err(|_| "more than 65,535 readings in a message")?;
                self.messages.push(Message {
                    offset,
                    rows,
                    found: 0,
                    altered: 0,
                    published: 0,
                    acknowledged: 0,
                    wire: 0,
                    quarantined: 0,
                });
                if let Some(expected) = expected {
                    self.expect(&expected, next);
                }
                next
            }
        };
        if let Some(message) = self.messages.get_mut(place as usize) {
            message.published = message.published.checked_add(1).ok_or("the same message 65,536 times")?;
            message.wire = message.wire.saturating_add(1);
        }
        Ok(place)
    }

    fn expect(&mut self, expected: &Expected, message: u32) {
        for ExpectedRow { ts_micros, metric, content } in &expected.rows {
            let identity = identity_key(&expected.device, metric, Some(expected.seq));
            let row = row_key(identity, *ts_micros, *content);
            self.by_identity.insert(identity, message);
            self.rows.entry(row).or_insert(Row { message, seen: false });
        }
    }

    /// Calls `change` for the message of each publish in `ranges`; answers how many there were.
    fn each(&mut self, conn: u32, ranges: &[Range], change: impl Fn(&mut Message)) -> Result<u64, String> {
        let publishes = self.publishes.get(conn as usize).map_or(&[][..], Vec::as_slice);
        let mut count = 0;
        for (first, last) in ranges {
            let places = first.checked_sub(1).and_then(|first| publishes.get(first as usize..*last as usize));
            let places =
                places.ok_or_else(|| format!("{first} to {last} of connection {conn} are not published"))?;
            for place in places {
                if let Some(message) = self.messages.get_mut(*place as usize) {
                    change(message);
                    count += 1;
                }
            }
        }
        Ok(count)
    }

    /// A row of `readings`.
    pub(super) fn reading(&mut self, row: &Reading<'_>) {
        self.result.readings += 1;
        self.result.late += u64::from(row.late);
        let identity = identity_key(row.device, row.metric, row.seq);
        let content = Content::of_row(row.value, row.text);
        let problem = match self.rows.get_mut(&row_key(identity, row.ts_micros, content)) {
            Some(known) if known.seen => Problem::Duplicated,
            Some(known) => {
                known.seen = true;
                if let Some(message) = self.messages.get_mut(known.message as usize) {
                    message.found += 1;
                }
                return;
            }
            None => match self.by_identity.get(&identity) {
                Some(place) => {
                    if let Some(message) = self.messages.get_mut(*place as usize) {
                        message.altered = message.altered.saturating_add(1);
                    }
                    Problem::Altered
                }
                None => Problem::Unexplained,
            },
        };
        self.result.found(problem, 1, || Example {
            problem,
            topic: None,
            device: Some(row.device.to_owned()),
            metric: Some(row.metric.to_owned()),
            seq: row.seq,
            detail: row.describe(),
        });
    }

    /// A row of `quarantine`.
    pub(super) fn refused(&mut self, row: &Refused<'_>) {
        let known = self.by_content.get(&content_key(row.topic, row.payload));
        let Some(message) = known.and_then(|place| self.messages.get_mut(*place as usize)) else {
            let problem = Problem::Unexplained;
            self.result.found(problem, 1, || row.example(problem, "nobody sent it"));
            return;
        };
        message.quarantined = message.quarantined.saturating_add(1);
        if message.quarantined > message.wire && self.way == Way::Direct {
            let problem = Problem::Duplicated;
            let detail = format!("in quarantine {} times, but sent {}", message.quarantined, message.wire);
            self.result.found(problem, 1, || row.example(problem, &detail));
        } else if message.quarantined <= message.published {
            *self.result.quarantine_reasons.entry(row.reason.to_owned()).or_default() += 1;
        }
    }

    /// The result, once everything has been seen.
    pub(super) fn close(mut self) -> Result<Verification, SimError> {
        let mut missing = Vec::new();
        for message in &self.messages {
            let lost = self.result.settle(message);
            self.result.missing += lost;
            if lost > 0 && missing.len() < EXAMPLES_MAX {
                missing.push(message);
            }
        }
        let mut reader = Reader::open(&self.ledger)?;
        for message in missing {
            let example = message.example(&mut reader)?;
            self.result.examples.push(example);
        }
        Ok(self.result)
    }
}

impl Verification {
    /// Books one message's publishes, all but those that are missing; answers how many are.
    fn settle(&mut self, message: &Message) -> u64 {
        let published = u64::from(message.published);
        let refused = u64::from(message.quarantined);
        let there = message.found.saturating_add(message.altered);
        if message.rows.is_some_and(|rows| there >= rows) {
            let refused = refused.min(published - 1);
            self.stored += 1;
            self.quarantined += refused;
            self.repeated += published - 1 - refused;
            0
        } else if refused > 0 && there == 0 {
            let refused = refused.min(published);
            self.quarantined += refused;
            self.repeated += published - refused;
            0
        } else {
            // Part of a message is worse than nothing of it, acknowledged or not.
            let missing = u64::from(message.acknowledged.max(u16::from(there > 0))).min(published);
            self.unacknowledged_absent += published - missing;
            missing
        }
    }
}

impl Message {
    fn example(&self, reader: &mut Reader) -> Result<Example, SimError> {
        let (topic, payload) = match reader.publish_at(self.offset)? {
            Some(Line::Published { topic, payload, .. }) => (topic.into_owned(), payload.into_owned()),
            _ => Default::default(),
        };
        let expected = Expected::of(&payload);
        let detail = match self.rows {
            Some(rows) => format!("{} of its {rows} rows are there", self.found),
            None => format!("neither stored nor in quarantine, payload {payload:?}"),
        };
        Ok(Example {
            problem: Problem::Missing,
            topic: Some(topic),
            device: expected.as_ref().map(|expected| expected.device.clone()),
            metric: None,
            seq: expected.map(|expected| expected.seq),
            detail,
        })
    }
}

fn content_key(topic: &str, payload: &[u8]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(&(topic.len() as u64).to_le_bytes());
    hash.update(topic.as_bytes());
    hash.update(payload);
    hash.digest()
}

fn identity_key(device: &str, metric: &str, seq: Option<u64>) -> u64 {
    let device = xxh3_64_with_seed(device.as_bytes(), seq.unwrap_or_default());
    xxh3_64_with_seed(metric.as_bytes(), device ^ u64::from(seq.is_none()))
}

fn row_key(identity: u64, ts_micros: i64, content: Content) -> u64 {
    let [time, content] = [ts_micros.to_le_bytes(), content.bits().to_le_bytes()];
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&time);
    bytes[8..].copy_from_slice(&content);
    xxh3_64_with_seed(&bytes, identity)
}
