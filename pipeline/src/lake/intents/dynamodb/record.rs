//! A roll as it stands in the table.

use serde::{Deserialize, Serialize};
use stages::{
    frame::{FrameId, Micros},
    store::Partition,
};

use super::super::PlannedFile;
use crate::state::dynamodb::{Item, Key, Table, TableError, bytes_of, text_of};

pub(super) const ROLLS: &str = "rolls";

pub(super) const CLAIMING: &str = "claiming";
pub(super) const OPEN: &str = "open";
pub(super) const RESOLVED: &str = "resolved";
pub(super) const DONE: &str = "done";

pub(super) struct Record {
    pub(super) status: &'static str,
    /// All that it was to write; none of one that is done.
    pub(super) files: Vec<FileRecord>,
    /// A flag for each, once it is resolved.
    flags: Vec<u8>,
}

/// A file: its path inside the lake, the dataset and columns of its rows, and their partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileRecord {
    pub(super) path: String,
    pub(super) rows_of: String,
    start: Micros,
    end: Micros,
}

impl FileRecord {
    pub(super) fn partition(&self) -> Partition {
        Partition { start: self.start, end: self.end }
    }
}

impl Record {
    /// None where it is not whole any more.
    pub(super) async fn read(table: &Table, roll: &str, item: &Item) -> Result<Option<Self>, TableError> {
        let damaged = |what| table.damaged(roll_key(roll), what);
        let status = text_of(item, "status").unwrap_or_default();
        let status = [CLAIMING, OPEN, RESOLVED, DONE].into_iter().find(|known| *known == status);
        let status = status.ok_or_else(|| damaged("the status"))?;
        let flags = bytes_of(item, "there").unwrap_or_default().to_vec();
        if status == DONE {
            return Ok(Some(Self { status, files: Vec::new(), flags }));
        }
        let Some(bytes) = table.kept(&pieces(roll), item).await? else { return Ok(None) };
        let files = serde_json::from_slice(&bytes).map_err(|_| damaged("the files"))?;
        Ok(Some(Self { status, files, flags }))
    }

    /// The files that are in the lake, or may be.
    pub(super) fn there(&self) -> impl Iterator<Item = &FileRecord> {
        let is_there =
            |index: usize| self.status != RESOLVED || self.flags.get(index).is_some_and(|flag| *flag > 0);
        self.files.iter().enumerate().filter(move |(index, _)| is_there(*index)).map(|(_, file)| file)
    }
}

pub(super) fn encode(files: &[PlannedFile]) -> Vec<u8> {
    let files: Vec<_> = files.iter().map(FileRecord::of).collect();
    // Strings and numbers: nothing that could not be written.
    serde_json::to_vec(&files).unwrap_or_default()
}

impl FileRecord {
    fn of(file: &PlannedFile) -> Self {
        let Partition { start, end } = file.partition;
        Self { path: file.path.clone(), rows_of: file.key.to_string(), start, end }
    }
}

pub(super) fn roll_key(roll: &str) -> Key {
    Key::new(ROLLS, roll)
}

/// Where pieces of a large roll are.
pub(super) fn pieces(roll: &str) -> String {
    format!("roll#{roll}")
}

pub(super) fn frame_key(frame: FrameId) -> Key {
    Key::new(format!("frame#{frame}"), "frame")
}
