//! Gives the room that a backlog took back to the file system.
//!
//! What is deleted leaves free pages in the file, which the next writes take. In a steady state some are free now and
//! some then, so only pages that have been free for a while are given back: as many as were free at every look in that
//! time. Each step is short, because commits wait for it. Several processes may do it, each by what it sees.

use std::time::{Duration, Instant};

use rusqlite::Connection;

/// How often the file is looked at when there is nothing to give back.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The least time between two steps.
const STEP_EVERY: Duration = Duration::from_millis(25);

/// Pages that one step gives back (8 KiB each): those at the end of the file change places with free ones.
const STEP_PAGES: u32 = 128;

/// So few free pages are nobody's concern.
const LEAST_PAGES: u32 = 32;

/// What is known of the free pages of the file.
pub(super) struct Space {
    spare: Spare,
    look_at: Instant,
    /// Pages were given back since the file was last cut.
    uncut: bool,
}

impl Space {
    /// Gives back pages that were free for about `spare_for`.
    pub(super) fn new(spare_for: Duration) -> Self {
        let now = Instant::now();
        Self { spare: Spare::new(spare_for, now), look_at: now + LOOK_EVERY, uncut: false }
    }

    /// Whether it is time for a look.
    pub(super) fn is_due(&self) -> bool {
        Instant::now() >= self.look_at
    }

    /// Looks whether there is something to give back, and does a step of it. With `idle`, nobody waits just now.
    ///
    /// # Errors
    /// Those of SQLite; it may be tried again.
    pub(super) fn step(&mut self, connection: &mut Connection, idle: bool) -> rusqlite::Result<()> {
        let now = Instant::now();
        self.look_at = now + LOOK_EVERY;
        let free = free_pages(connection)?;
        let spare = self.spare.look(now, free);
        if spare >= LEAST_PAGES {
            let pages = spare.min(STEP_PAGES);
            give_back(connection, pages)?;
            self.spare.gave_back(pages);
            self.uncut = true;
            // A step that was slow is not followed by the next at once.
            self.look_at = now + STEP_EVERY.max(4 * now.elapsed());
        } else if self.uncut && idle {
            self.uncut = !cut(connection)?;
        }
        Ok(())
    }
}

fn free_pages(connection: &Connection) -> rusqlite::Result<u32> {
    connection.prepare_cached("PRAGMA freelist_count")?.query_row([], |row| row.get(0))
}

fn give_back(connection: &Connection, pages: u32) -> rusqlite::Result<()> {
    // A page with each step of the statement.
    let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
    let mut given_back = statement.query([])?;
    while given_back.next()?.is_some() {}
    Ok(())
}

/// Brings the write-ahead log into the file, which shrinks then, and empties it; false where somebody else is in the way.
fn cut(connection: &mut Connection) -> rusqlite::Result<bool> {
    // Whoever writes or reads now must not be waited for.
    connection.busy_timeout(Duration::ZERO)?;
    let busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0));
    super::open::be_patient(connection)?;
    busy.map(|busy| !busy)
}

/// How many pages were free at every look for a while.
struct Spare {
    /// For how long the least is taken, twice: the looks of this time, and of the one before.
    every: Duration,
    turn_at: Instant,
    least: u32,
    /// None until there is a time before.
    least_before: Option<u32>,
}

impl Spare {
    fn new(spare_for: Duration, now: Instant) -> Self {
        let every = spare_for / 2;
        Self { every, turn_at: now + every, least: u32::MAX, least_before: None }
    }

    /// Sees that so many pages are free; tells how many were so for long enough.
    fn look(&mut self, now: Instant, free: u32) -> u32 {
        self.least = self.least.min(free);
        if now >= self.turn_at {
            self.turn_at = now + self.every;
            self.least_before = Some(self.least);
            self.least = free;
        }
        self.least_before.map_or(0, |before| before.min(self.least))
    }

    fn gave_back(&mut self, pages: u32) {
        self.least = self.least.saturating_sub(pages);
        self.least_before = self.least_before.map(|before| before.saturating_sub(pages));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// What is spare at each second, with so many pages free then.
    fn spare(free: &[u32]) -> Vec<u32> {
        let start = Instant::now();
        let mut spare = Spare::new(4 * SECOND, start);
        let at = |second: u32| start + second * SECOND;
        (1..).zip(free).map(|(second, free)| spare.look(at(second), *free)).collect()
    }

    #[test]
    fn what_was_free_for_long_enough_is_spare() {
        assert_eq!(spare(&[50, 50, 50, 50]), [0, 50, 50, 50]);
        assert_eq!(spare(&[0, 0, 90, 90, 90, 90, 90]), [0, 0, 0, 0, 0, 90, 90]);
    }

    #[test]
    fn what_comes_and_goes_is_kept() {
        assert_eq!(spare(&[0, 90, 0, 90, 0, 90, 0, 90]), [0; 8]);
        assert_eq!(spare(&[90, 10, 90, 10, 90, 10]), [0, 10, 10, 10, 10, 10]);
    }

    #[test]
    fn what_is_given_back_is_spare_no_more() {
        let start = Instant::now();
        let mut spare = Spare::new(2 * SECOND, start);
        assert_eq!(spare.look(start + SECOND, 100), 100);
        spare.gave_back(60);
        // Free again for a moment, for another reason.
        assert_eq!(spare.look(start + SECOND, 100), 40);
    }
}
