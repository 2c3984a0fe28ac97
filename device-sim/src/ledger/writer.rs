//! Writes the ledger on a thread of its own, so that a slow disk costs the connections nothing but memory that is
//! bounded.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    thread::JoinHandle,
};

use serde::Serialize;
use tokio::sync::mpsc;

use super::{FORMAT, Range, push};
use crate::{SimError, client::session::Settled};

/// Chunks of lines that may wait for the disk.
const QUEUE_CHUNKS: usize = 64;
/// A connection hands its lines over from this size on, and once a second.
const CHUNK_BYTES: usize = 64 * 1024;
/// How every ledger begins.
const HEADER_START: &[u8] = br#"{"ledger":"#;

#[derive(Serialize)]
struct Header<'a> {
    ledger: u32,
    client: &'a str,
}

/// An open ledger.
pub(crate) struct Book {
    path: PathBuf,
    chunks: mpsc::Sender<Vec<u8>>,
    thread: JoinHandle<std::io::Result<()>>,
}

impl Book {
    /// Opens the ledger at `path` for appending and starts a run of `client` in it.
    pub(crate) fn open(path: &Path, client: &str) -> Result<Self, SimError> {
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .map_err(SimError::file("open", path))?;
        start(&mut file, client).map_err(SimError::file("write", path))?;
        let (chunks, mut waiting) = mpsc::channel::<Vec<u8>>(QUEUE_CHUNKS);
        let thread = std::thread::spawn(move || {
            while let Some(chunk) = waiting.blocking_recv() {
                file.write_all(&chunk)?;
            }
            file.sync_all()
        });
        Ok(Self { path: path.to_path_buf(), chunks, thread })
    }

    /// What connection number `conn` writes with.
    pub(crate) fn recorder(&self, conn: u16) -> Recorder {
        Recorder {
            conn,
            path: self.path.clone(),
            chunks: self.chunks.clone(),
            lines: Vec::with_capacity(CHUNK_BYTES),
            acked: Vec::new(),
            resent: Vec::new(),
        }
    }

    /// Waits until all is on disk. Every recorder must have been dropped.
    pub(crate) async fn close(self) -> Result<(), SimError> {
        drop(self.chunks);
        let thread = self.thread;
        let joined = tokio::task::spawn_blocking(move || thread.join()).await;
        match joined {
            Ok(Ok(result)) => result.map_err(SimError::file("write", &self.path)),
            _ => Err(SimError::Task("the ledger's writer".into())),
        }
    }
}

/// Removes what a killed run has left half written, and writes the header.
fn start(file: &mut File, client: &str) -> std::io::Result<()> {
    let mut head = Vec::new();
    Read::by_ref(file).take(HEADER_START.len() as u64).read_to_end(&mut head)?;
    if !HEADER_START.starts_with(&head) {
        let reason = "it exists and is no ledger; name another file";
        return Err(std::io::Error::new(std::io::ErrorKind::AlreadyExists, reason));
    }
    let end = end_of_last_line(file)?;
    file.set_len(end)?;
    let mut line = Vec::new();
    write_line(&mut line, &Header { ledger: FORMAT, client });
    file.write_all(&line)
}

fn end_of_last_line(file: &mut File) -> std::io::Result<u64> {
    let mut block = Vec::new();
    let mut end = file.seek(SeekFrom::End(0))?;
    while end > 0 {
        let start = end.saturating_sub(CHUNK_BYTES as u64);
        file.seek(SeekFrom::Start(start))?;
        block.clear();
        Read::by_ref(file).take(end - start).read_to_end(&mut block)?;
        if let Some(place) = block.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + place as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// One connection's hand on the ledger.
pub(crate) struct Recorder {
    conn: u16,
    path: PathBuf,
    chunks: mpsc::Sender<Vec<u8>>,
    lines: Vec<u8>,
    acked: Vec<Range>,
    resent: Vec<Range>,
}

impl Recorder {
    /// Publish `n` is about to be sent.
    pub(crate) fn published(&mut self, n: u64, topic: &str, payload: &str, faults: &[String]) {
        #[derive(Serialize)]
        struct Published<'a> {
            conn: u16,
            n: u64,
            topic: &'a str,
            payload: &'a str,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            faults: &'a [String],
        }
        write_line(&mut self.lines, &Published { conn: self.conn, n, topic, payload, faults });
    }

    /// The server has answered.
    pub(crate) fn settled(&mut self, settled: &Settled) {
        #[derive(Serialize)]
        struct Refused {
            conn: u16,
            refused: [u64; 1],
            reason: u8,
        }
        match settled.refused {
            None => push(&mut self.acked, settled.n),
            Some(reason) => {
                write_line(&mut self.lines, &Refused { conn: self.conn, refused: [settled.n], reason });
            }
        }
    }

    /// Publish `n` went out once more.
    pub(crate) fn resent(&mut self, n: u64) {
        push(&mut self.resent, n);
    }

    /// Whether there is so much to write that it should not wait for the second to end.
    pub(crate) fn is_full(&self) -> bool {
        self.lines.len() >= CHUNK_BYTES
    }

    /// Hands everything over to the writer; waits while the disk is behind.
    pub(crate) async fn flush(&mut self) -> Result<(), SimError> {
        #[derive(Serialize)]
        struct Resent<'a> {
            conn: u16,
            resent: &'a [Range],
        }
        #[derive(Serialize)]
        struct Acked<'a> {
            conn: u16,
            acked: &'a [Range],
        }
        let conn = self.conn;
        if !self.resent.is_empty() {
            write_line(&mut self.lines, &Resent { conn, resent: &self.resent });
            self.resent.clear();
        }
        if !self.acked.is_empty() {
            write_line(&mut self.lines, &Acked { conn, acked: &self.acked });
            self.acked.clear();
        }
        if self.lines.is_empty() {
            return Ok(());
        }
        let lines = std::mem::replace(&mut self.lines, Vec::with_capacity(CHUNK_BYTES));
        self.chunks.send(lines).await.map_err(|_| {
            // The writer has ended; `Book::close` knows why.
            SimError::file("write", &self.path)(std::io::ErrorKind::BrokenPipe.into())
        })
    }
}

fn write_line(lines: &mut Vec<u8>, line: &impl Serialize) {
    // A Vec takes every byte, and none of the lines has a key that is no string.
    if serde_json::to_writer(&mut *lines, line).is_ok() {
        lines.push(b'\n');
    }
}
