//! What has come back already.

use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    database::{Database, DatabaseError},
    queue::QueueError,
};

/// How often messages were replayed, as the data file has it.
#[derive(Clone)]
pub struct Replayed(Option<Database>);

impl Replayed {
    /// As this data file says; without one, nothing was.
    pub fn new(database: Option<Database>) -> Self {
        Self(database)
    }

    /// How often each of these messages was replayed.
    ///
    /// # Errors
    /// When the data file cannot be read.
    pub async fn of(&self, messages: Vec<u64>) -> Result<Vec<u32>, DatabaseError> {
        let Some(database) = &self.0 else { return Ok(vec![0; messages.len()]) };
        let look = move |connection: &Connection| -> Result<Vec<u32>, DatabaseError> {
            let mut find = connection.prepare_cached("SELECT replays FROM replayed WHERE message = ?")?;
            let mut one = |message: &u64| {
                find.query_row([message.cast_signed()], |row| row.get(0))
                    .optional()
                    .map(Option::unwrap_or_default)
            };
            Ok(messages.iter().map(&mut one).collect::<rusqlite::Result<_>>()?)
        };
        database.read(look).await
    }
}

/// Remembers, within the transaction that publishes them, that messages come back, each with how often it has then.
///
/// # Errors
/// [`QueueError::Replayed`] when one of them has come back as often already: then none of them may be published.
pub(super) fn remember(connection: &Connection, messages: &[(u64, u32)]) -> Result<(), QueueError> {
    let mut remember = connection.prepare_cached(
        "INSERT INTO replayed (message, replays) VALUES (?1, ?2)
         ON CONFLICT (message) DO UPDATE SET replays = excluded.replays WHERE replays < excluded.replays",
    )?;
    for &(message, replays) in messages {
        if remember.execute(params![message.cast_signed(), replays])? == 0 {
            return Err(QueueError::Replayed { message });
        }
    }
    Ok(())
}
