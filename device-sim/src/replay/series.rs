//! One recorded series: a CSV file, read as a stream.

use std::{
    collections::HashSet,
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use csv::{Reader, ReaderBuilder, StringRecord};

use super::time;
use crate::{
    SimError,
    load::Publish,
    message::{self, Message, Value},
};

/// A row as a message.
pub(super) struct Row {
    pub(super) ts: DateTime<Utc>,
    pub(super) publish: Publish,
}

/// An open file.
pub(super) struct Series {
    path: PathBuf,
    device: String,
    topic: Arc<str>,
    reader: Reader<File>,
    metrics: Vec<String>,
    record: StringRecord,
    row: u64,
}

/// The device that `path` stands for.
pub(super) fn device_of(path: &Path) -> Result<String, SimError> {
    let usage = |reason| SimError::Usage(format!("{}: {reason}", path.display()));
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    let stem = stem.ok_or_else(|| usage("its name names the device, but is no UTF-8 text: rename it"))?;
    if stem.contains(['+', '#', '\0']) {
        return Err(usage("its name becomes part of a topic, where + and # are not allowed: rename it"));
    }
    Ok(stem.to_owned())
}

impl Series {
    pub(super) fn open(path: &Path) -> Result<Self, SimError> {
        let device = device_of(path)?;
        let file = File::open(path).map_err(SimError::file("open", path))?;
        let mut reader = ReaderBuilder::new().from_reader(file);
        let header = reader.headers().map_err(|error| csv_error(path, 1, &error))?;
        let mut seen = HashSet::new();
        for name in header.iter().skip(1) {
            if name.trim().is_empty() || !seen.insert(name) {
                let reason =
                    format!("column name {name:?} is empty or not the only one: each metric needs its own");
                return Err(SimError::line(path, 1, reason));
            }
        }
        if seen.is_empty() {
            let reason = "no metrics: the header must name a time column and others, separated by commas";
            return Err(SimError::line(path, 1, reason));
        }
        let metrics = header.iter().skip(1).map(str::to_owned).collect();
        Ok(Self {
            path: path.to_path_buf(),
            topic: message::topic(&device).into(),
            device,
            reader,
            metrics,
            record: StringRecord::new(),
            row: 0,
        })
    }

    /// The next row that has a value, `None` after the last. Rows without any are counted but not sent.
    pub(super) fn next_row(&mut self) -> Result<Option<Row>, SimError> {
        loop {
            let line = self.reader.position().line();
            match self.reader.read_record(&mut self.record) {
                Ok(true) => self.row += 1,
                Ok(false) => return Ok(None),
                Err(error) => return Err(csv_error(&self.path, line, &error)),
            }
            let cell = self.record.get(0).unwrap_or_default();
            let Some(ts) = time::parse(cell) else {
                let line = self.record.position().map_or(line, csv::Position::line);
                let reason = format!("cannot read {cell:?} as a time: use {}", time::FORMS);
                return Err(SimError::line(&self.path, line, reason));
            };
            let cells = self.record.iter().skip(1);
            let metrics: Vec<(&str, Value<'_>)> = self
                .metrics
                .iter()
                .zip(cells)
                .filter_map(|(name, cell)| Some((name.as_str(), value_of(cell)?)))
                .collect();
            if metrics.is_empty() {
                continue;
            }
            let message = Message { device: &self.device, ts, seq: self.row, metrics: &metrics };
            let publish =
                Publish { topic: Arc::clone(&self.topic), payload: message.to_json(), faults: Vec::new() };
            return Ok(Some(Row { ts, publish }));
        }
    }
}

/// A finite number as that number, an empty cell as nothing, and the rest as text.
fn value_of(cell: &str) -> Option<Value<'_>> {
    let trimmed = cell.trim();
    if trimmed.is_empty() {
        return None;
    }
    match trimmed.parse::<f64>() {
        Ok(number) if number.is_finite() => Some(Value::Number(number)),
        _ => Some(Value::Text(cell)),
    }
}

fn csv_error(path: &Path, line: u64, error: &csv::Error) -> SimError {
    let line = error.position().map_or(line, csv::Position::line);
    let reason = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} cells, but the header names {expected_len} columns")
        }
        csv::ErrorKind::Utf8 { err, .. } => format!("not UTF-8: {err}"),
        _ => error.to_string(),
    };
    SimError::line(path, line, reason)
}
