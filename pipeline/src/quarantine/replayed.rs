//! What has come back already.

#[cfg(feature = "sqs")]
mod claims;

use rusqlite::{Connection, OptionalExtension, params};

#[cfg(feature = "sqs")]
pub(super) use self::claims::{Claims, split};
#[cfg(feature = "sqs")]
use crate::state::dynamodb::Table;
use crate::{
    database::Database,
    queue::{QueueError, Queues},
};

/// How often messages were replayed, as far as that is known.
#[derive(Clone)]
pub struct Replayed(Known);

#[derive(Clone)]
enum Known {
    Nothing,
    InFile(Database),
    #[cfg(feature = "sqs")]
    InTable(Claims),
}

impl Replayed {
    /// As this data file says; without one, nothing was.
    pub fn new(database: Option<Database>) -> Self {
        Self(database.map_or(Known::Nothing, Known::InFile))
    }

    /// As this table says.
    #[cfg(feature = "sqs")]
    pub fn in_table(table: Table) -> Self {
        Self(Known::InTable(Claims::new(table)))
    }

    /// As it is kept with these queues.
    pub fn of_queues(queues: &Queues) -> Self {
        match queues {
            Queues::Sqlite(engine) => Self::new(Some(engine.database().clone())),
            #[cfg(feature = "sqs")]
            Queues::Sqs(engine) => engine.table().cloned().map_or(Self(Known::Nothing), Self::in_table),
        }
    }

    /// The claims, where publishing and remembering are two steps.
    #[cfg(feature = "sqs")]
    pub(super) fn claims(&self) -> Option<&Claims> {
        match &self.0 {
            Known::InTable(claims) => Some(claims),
            _ => None,
        }
    }

    /// How often each of these messages was replayed.
    ///
    /// # Errors
    /// When the data file or the table cannot be read.
    pub async fn of(&self, messages: Vec<u64>) -> Result<Vec<u32>, QueueError> {
        let database = match &self.0 {
            Known::Nothing => return Ok(vec![0; messages.len()]),
            Known::InFile(database) => database,
            #[cfg(feature = "sqs")]
            Known::InTable(claims) => return Ok(claims.of(&messages).await?),
        };
        let look = move |connection: &Connection| -> Result<Vec<u32>, QueueError> {
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
