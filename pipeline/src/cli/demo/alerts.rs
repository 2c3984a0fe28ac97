//! The first alerts of a lake, for people.

use std::{
    fs::{self, File},
    path::Path,
};

use chrono::{DateTime, SecondsFormat};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use stages::frame::{AlertRow, Alerts, Frame, FrameId, Header, Kind, Lane};

/// How many transitions of alerts there are, and the first of them.
pub(super) struct AlertLines {
    pub(super) count: usize,
    pub(super) first: Vec<String>,
}

/// Reads `lake/alerts`, which may not be there.
pub(super) fn read(lake: &Path, shown: usize) -> anyhow::Result<AlertLines> {
    let mut lines = AlertLines { count: 0, first: Vec::new() };
    let Ok(partitions) = fs::read_dir(lake.join("alerts")) else { return Ok(lines) };
    for partition in partitions {
        for file in fs::read_dir(partition?.path())? {
            let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file?.path())?)?.build()?;
            for rows in reader {
                let frame = Frame { header: header(), rows: rows? };
                let alerts = Alerts::of(&frame)?;
                lines.count += alerts.len();
                let wanted = shown.saturating_sub(lines.first.len()).min(alerts.len());
                lines.first.extend((0..wanted).map(|row| line(&alerts.get(row))));
            }
        }
    }
    Ok(lines)
}

/// Rows of a file have the columns of a frame; what else a header says is not asked for.
fn header() -> Header {
    Header { id: FrameId([0; 16]), kind: Kind::Alerts, lane: Lane(0), created_at: 0, epoch: 0, trace: None }
}

fn line(alert: &AlertRow<'_>) -> String {
    let at = DateTime::from_timestamp_micros(alert.ts).unwrap_or_default();
    let at = at.to_rfc3339_opts(SecondsFormat::Millis, true);
    let value = alert.value.map_or_else(String::new, |value| format!(", at {value}"));
    format!("{at}  {:<8} {} {}: {}{value}", alert.state, alert.rule, alert.device_id, alert.condition)
}
