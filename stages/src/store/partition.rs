//! Partitions of the lake: spans of time, named in Hive style.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, Timelike};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::frame::Micros;

const HOUR: Micros = 3_600_000_000;

/// How much time one directory of a dataset holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Granularity {
    /// `month=YYYY-MM`: for history and small fleets.
    Month,
    /// `date=YYYY-MM-DD`.
    #[default]
    Day,
    /// `date=YYYY-MM-DD/hour=HH`: for large fleets.
    Hour,
}

/// A span of time, in microseconds since 1970, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    /// The first instant.
    pub start: Micros,
    /// The first instant after it.
    pub end: Micros,
}

impl Partition {
    /// Whether `ts` lies in it.
    pub fn contains(&self, ts: Micros) -> bool {
        self.start <= ts && ts < self.end
    }

    /// What a directory with this name holds, as [`Granularity::directory`] names them, whatever the granularity;
    /// `around` is that of the directory it lies in. None for any other name.
    pub fn named(name: &str, around: Option<Self>) -> Option<Self> {
        let (key, value) = name.split_once('=')?;
        let day = |text: &str| {
            let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
            Some(date.and_time(NaiveTime::MIN).and_utc().timestamp_micros())
        };
        match key {
            "month" => Some(Granularity::Month.partition(day(&format!("{value}-01"))?)),
            "date" => Some(Granularity::Day.partition(day(value)?)),
            "hour" => {
                let hour: Micros = value.parse().ok().filter(|hour| (0..24).contains(hour))?;
                Some(Granularity::Hour.partition(around?.start + hour * HOUR))
            }
            _ => None,
        }
    }
}

impl Granularity {
    /// The partition that `ts` belongs to.
    pub fn partition(self, ts: Micros) -> Partition {
        let date = date(ts);
        let (start, end) = match self {
            Self::Hour => {
                let start = ts.div_euclid(HOUR).saturating_mul(HOUR);
                return Partition { start, end: start.saturating_add(HOUR) };
            }
            Self::Day => (Some(date), date.checked_add_days(Days::new(1))),
            Self::Month => (
                date.with_day(1),
                date.with_day(1).and_then(|first| first.checked_add_months(Months::new(1))),
            ),
        };
        let midnight = |date: NaiveDate| date.and_time(NaiveTime::MIN).and_utc().timestamp_micros();
        Partition { start: start.map_or(Micros::MIN, midnight), end: end.map_or(Micros::MAX, midnight) }
    }

    /// The directory of a partition inside its dataset.
    pub fn directory(self, partition: Partition) -> String {
        let date = date(partition.start);
        match self {
            Self::Month => format!("month={}", date.format("%Y-%m")),
            Self::Day => format!("date={date}"),
            Self::Hour => {
                let hour = DateTime::from_timestamp_micros(partition.start).map_or(0, |start| start.hour());
                format!("date={date}/hour={hour:02}")
            }
        }
    }
}

fn date(ts: Micros) -> NaiveDate {
    let edge = if ts < 0 { NaiveDate::MIN } else { NaiveDate::MAX };
    DateTime::from_timestamp_micros(ts).map_or(edge, |instant| instant.date_naive())
}
