//! Writes that only count while deliveries are held.

use rusqlite::Connection;

use super::{SqliteQueues, lease, tally::Tally};
use crate::{
    database::Durability,
    queue::{QueueError, Receipt},
};

impl SqliteQueues {
    /// Runs `work` in a transaction, provided that every one of `receipts` is still held.
    ///
    /// # Errors
    /// [`QueueError::Lost`] when a lease is gone, and those of `work`; then nothing is kept.
    pub async fn while_held(
        &self,
        receipts: Vec<Receipt>,
        work: impl FnOnce(&Connection) -> Result<(), QueueError> + Send + 'static,
    ) -> Result<(), QueueError> {
        let guarded = move |connection: &Connection, _: &mut Tally| {
            for receipt in &receipts {
                lease::find(connection, receipt)?;
            }
            work(connection)
        };
        self.change(Durability::Fsync, guarded).await.answer().await.map(drop)
    }
}
