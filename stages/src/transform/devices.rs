//! The device table: what is known of devices beside what they say themselves.

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    fmt,
};

use csv::{ReaderBuilder, StringRecord, Trim};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// The column that names the device.
const DEVICE_ID: &str = "device_id";

/// How many mistakes of a table are told at once.
const MISTAKES_MAX: usize = 10;

/// The table of devices that tags are taken from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DevicesConfig {
    /// A CSV file, its path relative to this config: the first line names the columns, one of which is `device_id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// How large the table may be, in bytes.
    #[schemars(range(min = 1024, max = 1_073_741_824))]
    pub table_bytes_max: u64,
}

impl Default for DevicesConfig {
    fn default() -> Self {
        Self { table: None, table_bytes_max: 64 << 20 }
    }
}

/// Rows of text by device.
#[derive(Debug)]
pub struct DeviceTable {
    columns: Vec<String>,
    rows: HashMap<String, StringRecord>,
    hash: u64,
}

/// Something that makes a table unusable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableMistake {
    /// The line, counted from 1.
    pub line: u64,
    /// The name of the column, where it is about one.
    pub column: Option<String>,
    /// What is wrong with which value, and the way out.
    pub message: String,
}

impl fmt::Display for TableMistake {
    /// As `LINE: COLUMN: message`, to follow the name of the file and a colon.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.column {
            Some(column) => write!(f, "{}: {column}: {}", self.line, self.message),
            None => write!(f, "{}: {}", self.line, self.message),
        }
    }
}

impl DeviceTable {
    /// Reads CSV ([RFC 4180]) whose first line names the columns. Space around cells and empty lines do not count.
    ///
    /// # Errors
    /// The first ten mistakes: a column or a device without a name or named twice, a row of another length than
    /// the first.
    ///
    /// [RFC 4180]: https://www.rfc-editor.org/rfc/rfc4180
    pub fn read(text: &str) -> Result<Self, Vec<TableMistake>> {
        // Rows of another length are told here, all at once.
        let mut reader = ReaderBuilder::new().trim(Trim::All).flexible(true).from_reader(text.as_bytes());
        let columns = match reader.headers() {
            Ok(columns) => columns.clone(),
            Err(error) => return Err(vec![of_csv(text, &error)]),
        };
        let key = check_columns(&columns)?;
        let columns: Vec<String> = columns.iter().map(str::to_owned).collect();
        let (mut rows, mut mistakes) = (HashMap::new(), Vec::new());
        for record in reader.into_records() {
            let added = record
                .map_err(|error| of_csv(text, &error))
                .and_then(|row| add(&mut rows, row, text, &columns, key));
            mistakes.extend(added.err());
            if mistakes.len() == MISTAKES_MAX {
                break;
            }
        }
        let hash = xxh3_64(text.as_bytes());
        if mistakes.is_empty() { Ok(Self { columns, rows, hash }) } else { Err(mistakes) }
    }

    /// The names of the columns, in their order.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(String::as_str)
    }

    /// Changes when the text of the table does.
    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    /// The row of a device, cell by cell in the order of the columns.
    pub(super) fn row(&self, device: &str) -> Option<&StringRecord> {
        self.rows.get(device)
    }
}

/// The number of the column that names the device.
fn check_columns(columns: &StringRecord) -> Result<usize, Vec<TableMistake>> {
    let mistake = |column: Option<&str>, message: String| TableMistake {
        line: 1,
        column: column.map(str::to_owned),
        message,
    };
    let (mut mistakes, mut seen) = (Vec::new(), HashSet::new());
    for (number, name) in columns.iter().enumerate() {
        if name.is_empty() {
            let message = format!("column {} has no name; the first line names each column", number + 1);
            mistakes.push(mistake(None, message));
        } else if !seen.insert(name) {
            mistakes.push(mistake(Some(name), "two columns have this name; give one another".to_owned()));
        }
    }
    let key = columns.iter().position(|name| name == DEVICE_ID);
    if key.is_none() {
        let found: String = columns.iter().collect::<Vec<_>>().join(", ").chars().take(100).collect();
        let message = format!(
            "no column has this name, but {found:?}; the first line names the columns, with commas between them"
        );
        mistakes.insert(0, mistake(Some(DEVICE_ID), message));
    }
    mistakes.truncate(MISTAKES_MAX);
    key.filter(|_| mistakes.is_empty()).ok_or(mistakes)
}

fn add(
    rows: &mut HashMap<String, StringRecord>,
    row: StringRecord,
    text: &str,
    columns: &[String],
    key: usize,
) -> Result<(), TableMistake> {
    let line = |row: &StringRecord| line_of(text, row.position());
    let mistake = |column: Option<&str>, message| {
        Err(TableMistake { line: line(&row), column: column.map(str::to_owned), message })
    };
    if row.len() != columns.len() {
        let column = columns.get(row.len()).map(String::as_str);
        return mistake(
            column,
            format!(
                "the row has {} cells, the first line {}; put text with a comma in it into quotes",
                row.len(),
                columns.len()
            ),
        );
    }
    let Some(device) = row.get(key).filter(|device| !device.is_empty()) else {
        return mistake(Some(DEVICE_ID), "the row names no device".to_owned());
    };
    match rows.entry(device.to_owned()) {
        Entry::Vacant(vacant) => {
            vacant.insert(row);
            Ok(())
        }
        Entry::Occupied(first) => {
            let message = format!(
                "{:?} has a row on line {} already; a device has one",
                first.key(),
                line(first.get())
            );
            mistake(Some(DEVICE_ID), message)
        }
    }
}

/// The line of a record, which the reader counts from the end of the one before: a line break and empty lines may
/// come first.
fn line_of(text: &str, position: Option<&csv::Position>) -> u64 {
    let bytes = text.as_bytes();
    let before = position.and_then(|position| usize::try_from(position.byte()).ok()).unwrap_or_default();
    let breaks = bytes.iter().skip(before).take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    1 + bytes.iter().take(before + breaks).filter(|byte| **byte == b'\n').count() as u64
}

fn of_csv(text: &str, error: &csv::Error) -> TableMistake {
    let line = line_of(text, error.position());
    TableMistake { line, column: None, message: format!("it cannot be read as CSV: {error}") }
}
