//! `replay`: recorded series go in over MQTT, row by row.

mod playlist;
mod series;
mod time;

use std::{collections::BTreeMap, fs, future::Future, path::PathBuf};

use chrono::{DateTime, Utc};

use crate::{SimError, client::Target, files::find_below, load::Load, report::RunReport};
use playlist::Playlist;
use series::Series;

/// Up to so much CSV is checked to its last row before anything is sent.
const CHECKED_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Files are spread over so many connections by default.
pub const CONNECTIONS_MAX: u16 = 8;

/// What to replay, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplayOptions {
    /// The broker and how to speak to it. Connections beyond one for each file are left out.
    pub target: Target,
    /// CSV files, from [`find_files`].
    pub files: Vec<PathBuf>,
    /// Multiple of real time, above 0; `None` is as fast as it goes.
    pub speed: Option<f64>,
    /// Where to write down what was sent and acknowledged. Appended to.
    pub ledger: Option<PathBuf>,
}

/// What a first look at a file has found.
struct Found {
    path: PathBuf,
    first: DateTime<Utc>,
}

/// The files of `paths`, a directory standing for all `*.csv` below it.
///
/// # Errors
/// [`SimError::File`] for a path that cannot be read, [`SimError::Usage`] where no file is left or two have the same
/// stem, because the stem is the device.
pub fn find_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, SimError> {
    let mut files = Vec::new();
    for path in paths {
        if fs::metadata(path).map_err(SimError::file("open", path))?.is_dir() {
            let before = files.len();
            find_below(path, "csv", &mut files)?;
            if files.len() == before {
                return Err(SimError::Usage(format!("no *.csv below {}", path.display())));
            }
        } else {
            files.push(path.clone());
        }
    }
    let mut devices = BTreeMap::new();
    for file in &files {
        if let Some(other) = devices.insert(series::device_of(file)?, file) {
            let (one, two) = (other.display(), file.display());
            return Err(SimError::Usage(format!(
                "{one} and {two} have the same name, but it names the device: rename one"
            )));
        }
    }
    if files.is_empty() { Err(SimError::Usage("no files to replay".into())) } else { Ok(files) }
}

/// Replays all files and waits for the last acknowledgement, through reconnects, for ever; or until `stop` ends,
/// without waiting for what is in flight.
///
/// `progress` draws a bar where stderr is a terminal.
///
/// # Errors
/// [`SimError::Line`] for a row that cannot be read (before anything is sent, unless the files are large),
/// [`SimError::Usage`], [`SimError::File`] and [`SimError::Broker`] as for [`run`](crate::run::run).
pub async fn replay_until(
    options: ReplayOptions,
    progress: bool,
    stop: impl Future<Output = ()>,
) -> Result<RunReport, SimError> {
    if options.target.connections == 0 || options.target.inflight == 0 {
        return Err(SimError::Usage("connections and inflight must be 1 or more".into()));
    }
    if let Some(speed) = options.speed
        && !(1e-6..=1e12).contains(&speed)
    {
        return Err(SimError::Usage(format!("speed {speed} is out of range: use a number above 0")));
    }
    let (found, rows) = look_at(&options.files)?;
    let Some(origin) = found.iter().map(|found| found.first).min() else {
        return Err(SimError::Usage("the files hold no rows".into()));
    };
    let connections = usize::from(options.target.connections).min(found.len());
    let mut shares: Vec<Vec<Found>> = (0..connections).map(|_| Vec::new()).collect();
    for (number, found) in found.into_iter().enumerate() {
        shares[number % connections].push(found);
    }
    let load = Load {
        target: options.target,
        sources: shares.into_iter().map(|share| Playlist::new(share, origin, options.speed)).collect(),
        ledger: options.ledger,
        limit: None,
        progress: progress.then_some(rows),
    };
    load.run(stop).await
}

/// Reads each file's header and first row, and all rows if that is cheap; also counts them then.
/// Files without rows are left out.
fn look_at(files: &[PathBuf]) -> Result<(Vec<Found>, Option<u64>), SimError> {
    let mut bytes = 0;
    for path in files {
        bytes += fs::metadata(path).map_err(SimError::file("open", path))?.len();
    }
    let mut rows = (bytes <= CHECKED_BYTES_MAX).then_some(0);
    let mut found = Vec::new();
    for path in files {
        let mut series = Series::open(path)?;
        let Some(row) = series.next_row()? else { continue };
        found.push(Found { path: path.clone(), first: row.ts });
        if let Some(rows) = &mut rows {
            *rows += 1;
            while series.next_row()?.is_some() {
                *rows += 1;
            }
        }
    }
    Ok((found, rows))
}
