//! What there is once in a table: the number of lanes, and the epochs of ingest.

use super::{Change, Key, Table, TableError, number_of, numeric};
use crate::{clock, database::first_epoch};

const META: &str = "meta";

impl Table {
    /// Fixes the number of lanes, if nobody has yet.
    ///
    /// # Errors
    /// [`TableError::Lanes`] when the table was first used with another number; when it cannot be written or read.
    pub async fn fix_lanes(&self, lanes: u16) -> Result<(), TableError> {
        let key = Key::new(META, "lanes");
        let first = Change::of(key.clone()).set("number", numeric(lanes)).when_absent("number");
        if self.change(first).await?.is_some() {
            return Ok(());
        }
        match self.lanes().await? {
            Some(stored) if stored == u64::from(lanes) => Ok(()),
            Some(stored) => Err(TableError::Lanes { table: self.name().to_owned(), stored, asked: lanes }),
            None => Err(self.damaged(key, "the number")),
        }
    }

    /// Whether the table is there, ours, and good for so many lanes; nothing is changed.
    ///
    /// # Errors
    /// When it is not, or does not tell.
    pub async fn look(&self, lanes: u16) -> Result<(), TableError> {
        self.check().await?;
        match self.lanes().await? {
            Some(stored) if stored != u64::from(lanes) => {
                Err(TableError::Lanes { table: self.name().to_owned(), stored, asked: lanes })
            }
            _ => Ok(()),
        }
    }

    /// How many lanes it has, once that is fixed.
    pub(crate) async fn lanes(&self) -> Result<Option<u64>, TableError> {
        let key = Key::new(META, "lanes");
        let Some(item) = self.get(&key).await? else { return Ok(None) };
        number_of(&item, "number").map(Some).ok_or_else(|| self.damaged(key, "the number"))
    }

    /// Begins an epoch of ingest: no other process ever gets the same. Those of a new table begin with the minute it is
    /// first used in, as those of a new data file do.
    ///
    /// # Errors
    /// When the table cannot be written.
    pub async fn next_epoch(&self) -> Result<u64, TableError> {
        let key = Key::new(META, "ingest_epoch");
        let begins = first_epoch(clock::now()).unsigned_abs();
        let next = Change::of(key.clone()).add_from("number", begins, 1);
        let item = self.change(next).await?.unwrap_or_default();
        number_of(&item, "number").ok_or_else(|| self.damaged(key, "the number"))
    }
}
