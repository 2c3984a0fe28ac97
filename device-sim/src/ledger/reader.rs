//! Reads a ledger back, line by line.

use std::{
    borrow::Cow,
    fs::File,
    io::{BufRead, BufReader, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{FORMAT, Range};
use crate::SimError;

/// One line.
#[derive(Debug, PartialEq)]
pub(crate) enum Line<'a> {
    /// A run starts: numbers count anew.
    Run,
    /// A publish.
    Published { conn: u32, n: u64, topic: Cow<'a, str>, payload: Cow<'a, str> },
    /// Publishes that were acknowledged.
    Acked { conn: u32, ranges: Vec<Range> },
    /// Publishes that went out again.
    Resent { conn: u32, ranges: Vec<Range> },
    /// Publishes that the server refused.
    Refused { conn: u32, numbers: Vec<u64> },
}

#[derive(Deserialize)]
struct Wire<'a> {
    ledger: Option<u32>,
    conn: Option<u32>,
    n: Option<u64>,
    #[serde(borrow)]
    topic: Option<Cow<'a, str>>,
    #[serde(borrow)]
    payload: Option<Cow<'a, str>>,
    acked: Option<Vec<Range>>,
    resent: Option<Vec<Range>>,
    refused: Option<Vec<u64>>,
}

/// Reads the lines of one ledger in order.
pub(crate) struct Reader {
    path: PathBuf,
    file: BufReader<File>,
    buffer: Vec<u8>,
    number: u64,
    /// Where the last line ended in the file.
    end: u64,
}

impl Reader {
    pub(crate) fn open(path: &Path) -> Result<Self, SimError> {
        let file = File::open(path).map_err(SimError::file("open the ledger", path))?;
        Ok(Self {
            path: path.to_path_buf(),
            file: BufReader::with_capacity(1 << 20, file),
            buffer: Vec::new(),
            number: 0,
            end: 0,
        })
    }

    /// Where the line that [`Reader::next`] returns next begins in the file.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// The publish whose line begins at `offset`.
    pub(crate) fn publish_at(&mut self, offset: u64) -> Result<Option<Line<'_>>, SimError> {
        self.file.seek(SeekFrom::Start(offset)).map_err(SimError::file("read", &self.path))?;
        self.next()
    }

    /// An error about the line that [`Reader::next`] returned last.
    pub(crate) fn error(&self, reason: impl ToString) -> SimError {
        SimError::line(&self.path, self.number, reason)
    }

    /// The next line, `None` at the end or where the simulator was killed in the middle of a line.
    pub(crate) fn next(&mut self) -> Result<Option<Line<'_>>, SimError> {
        self.buffer.clear();
        let length =
            self.file.read_until(b'\n', &mut self.buffer).map_err(SimError::file("read", &self.path))?;
        if !self.buffer.ends_with(b"\n") {
            return Ok(None);
        }
        self.number += 1;
        self.end += length as u64;
        parse(&self.buffer).map(Some).map_err(|reason| SimError::line(&self.path, self.number, reason))
    }
}

fn parse(line: &[u8]) -> Result<Line<'_>, String> {
    let wire: Wire<'_> =
        serde_json::from_slice(line).map_err(|error| format!("not a ledger line: {error}"))?;
    match wire {
        Wire { ledger: Some(FORMAT), .. } => Ok(Line::Run),
        Wire { ledger: Some(other), .. } => Err(format!(
            "ledger format {other}, but this program reads {FORMAT}: use the version that wrote it"
        )),
        Wire { conn: Some(conn), n: Some(n), topic: Some(topic), payload: Some(payload), .. } => {
            Ok(Line::Published { conn, n, topic, payload })
        }
        Wire { conn: Some(conn), acked: Some(ranges), .. } => Ok(Line::Acked { conn, ranges }),
        Wire { conn: Some(conn), resent: Some(ranges), .. } => Ok(Line::Resent { conn, ranges }),
        Wire { conn: Some(conn), refused: Some(numbers), .. } => Ok(Line::Refused { conn, numbers }),
        _ => Err("not a ledger line: it names no publish and no range".into()),
    }
}
