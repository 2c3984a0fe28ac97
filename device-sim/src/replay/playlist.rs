//! The files of one connection, one after the other or by their times.

use std::{collections::VecDeque, time::Duration};

use chrono::{DateTime, Utc};

use super::{
    Found,
    series::{Row, Series},
};
use crate::{
    SimError,
    load::{Next, Source},
};

struct Playing {
    series: Series,
    next: Row,
}

/// Plays files in order; with a speed, all that overlap in time at once.
pub(super) struct Playlist {
    /// Not yet opened; with a speed, in the order of their first rows.
    waiting: VecDeque<Found>,
    playing: Vec<Playing>,
    /// The time that is played at the start.
    origin: DateTime<Utc>,
    speed: Option<f64>,
}

impl Playlist {
    pub(super) fn new(mut files: Vec<Found>, origin: DateTime<Utc>, speed: Option<f64>) -> Self {
        if speed.is_some() {
            files.sort_by_key(|file| file.first);
        }
        Self { waiting: files.into(), playing: Vec::new(), origin, speed }
    }

    /// Opens the next file if none that is open comes before it.
    fn open_next(&mut self) -> Result<(), SimError> {
        while let Some(file) = self.waiting.front() {
            let earliest = self.playing.iter().map(|playing| playing.next.ts).min();
            let comes_first = earliest.is_none_or(|ts| self.speed.is_some() && file.first <= ts);
            if !comes_first {
                break;
            }
            let mut series = Series::open(&file.path)?;
            self.waiting.pop_front();
            if let Some(next) = series.next_row()? {
                self.playing.push(Playing { series, next });
            }
        }
        Ok(())
    }

    fn due(&self, ts: DateTime<Utc>) -> Duration {
        let Some(speed) = self.speed else { return Duration::ZERO };
        let micros = (ts - self.origin).num_microseconds().unwrap_or(i64::MAX).max(0);
        Duration::try_from_secs_f64(micros as f64 / 1e6 / speed).unwrap_or(Duration::MAX)
    }
}

impl Source for Playlist {
    fn next(&mut self, elapsed: Duration) -> Result<Next, SimError> {
        self.open_next()?;
        let first = self.playing.iter().enumerate().min_by_key(|(_, playing)| playing.next.ts);
        let Some((place, playing)) = first else { return Ok(Next::End) };
        let due = self.due(playing.next.ts);
        if due > elapsed {
            return Ok(Next::Wait(due));
        }
        let Some(playing) = self.playing.get_mut(place) else { return Ok(Next::End) };
        Ok(Next::Publish(match playing.series.next_row()? {
            Some(row) => std::mem::replace(&mut playing.next, row).publish,
            None => self.playing.swap_remove(place).next.publish,
        }))
    }
}
