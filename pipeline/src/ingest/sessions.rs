//! Sessions: who is connected, and whom we promised to know again.
//!
//! A session holds nothing but that it exists, since this endpoint hands out no messages. But clients
//! keep or drop what they have not seen acknowledged by it, so the answer must be true, also after a
//! crash: a session is in the database before its client is told of it.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use rusqlite::{Connection, OptionalExtension};
use stages::frame::Micros;
use tokio::sync::{Notify, watch};

use super::now;
use crate::database::{Database, DatabaseError, Durability};

/// Sessions past their time are removed at the start and each time so many clients have connected.
const PURGE_EVERY: u64 = 1024;

/// All sessions of this data directory.
pub(super) struct Sessions {
    database: Database,
    sessions_max: u32,
    live: Arc<Live>,
    begun: AtomicU64,
}

/// The connection that has a client's id, for each.
type Live = Mutex<HashMap<String, Holder>>;

struct Holder {
    key: u64,
    takeover: Arc<Notify>,
    /// Closed when the connection is done with the session.
    ended: watch::Receiver<()>,
}

/// Why a session could not be begun.
#[derive(Debug, thiserror::Error)]
pub(super) enum BeginError {
    /// There are too many already.
    #[error("there are sessions_max, {0}, sessions already")]
    Full(u32),
    /// It could not be written.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl From<rusqlite::Error> for BeginError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.into())
    }
}

impl Sessions {
    /// Sessions whose connection was open when the last process ended are kept from now on for
    /// `expiry_secs_max`: how long exactly each was to be kept died with it.
    pub(super) async fn open(
        database: Database,
        sessions_max: u32,
        expiry_secs_max: u32,
    ) -> Result<Self, DatabaseError> {
        let now = now();
        let adopt = move |connection: &Connection| -> Result<(), DatabaseError> {
            connection.execute(
                "UPDATE session SET expires_at = ?1 WHERE expires_at IS NULL",
                [after(now, expiry_secs_max)],
            )?;
            purge(connection, now)
        };
        database.write(Durability::Fsync, adopt).await?;
        Ok(Self { database, sessions_max, live: Arc::default(), begun: AtomicU64::new(0) })
    }

    /// Makes the caller the one connection of this client: closes another one, waits for its end, and
    /// answers whether there was a session to take up. `clean` begins a new one; with an expiry of 0
    /// it ends with the connection.
    pub(super) async fn begin(
        &self,
        client_id: &str,
        clean: bool,
        expiry_secs: u32,
    ) -> Result<(Session, bool), BeginError> {
        let key = self.begun.fetch_add(1, Ordering::Relaxed);
        let (session, before) = self.claim(client_id, key, expiry_secs);
        if let Some(mut before) = before {
            before.takeover.notify_one();
            // Nothing is ever sent: the only change is that the holder has dropped its end.
            let _closed = before.ended.changed().await;
        }
        let (client_id, now, sessions_max) = (client_id.to_owned(), now(), self.sessions_max);
        let write = move |connection: &Connection| {
            if key % PURGE_EVERY == PURGE_EVERY - 1 {
                purge(connection, now)?;
            }
            let present = is_present(connection, &client_id, now)?;
            match expiry_secs {
                0 => forget(connection, &client_id)?,
                _ if !present && count(connection)? >= i64::from(sessions_max) => {
                    return Err(BeginError::Full(sessions_max));
                }
                _ => keep(connection, &client_id)?,
            }
            Ok(present && !clean)
        };
        let present = self.database.write(Durability::Fsync, write).await?;
        Ok((session, present))
    }

    fn claim(&self, client_id: &str, key: u64, expiry_secs: u32) -> (Session, Option<Holder>) {
        let (end, ended) = watch::channel(());
        let takeover = Arc::new(Notify::new());
        let holder = Holder { key, takeover: Arc::clone(&takeover), ended };
        let before = lock(&self.live).insert(client_id.to_owned(), holder);
        let session = Session {
            client_id: client_id.to_owned(),
            key,
            expiry_secs,
            takeover,
            live: Arc::clone(&self.live),
            database: self.database.clone(),
            _end: end,
        };
        (session, before)
    }
}

/// The session of one connection; dropping it lets the next connection of this client go on.
pub(super) struct Session {
    client_id: String,
    key: u64,
    expiry_secs: u32,
    takeover: Arc<Notify>,
    live: Arc<Live>,
    database: Database,
    _end: watch::Sender<()>,
}

impl Session {
    /// Waits until another connection wants this session. Safe to cancel.
    pub(super) async fn taken_over(&self) {
        self.takeover.notified().await;
    }

    /// The connection is over: from now on the session's time runs, `expiry_secs` if the client has
    /// changed its mind.
    pub(super) async fn end(self, expiry_secs: Option<u32>) {
        if self.expiry_secs == 0 {
            return;
        }
        let (client_id, now) = (self.client_id.clone(), now());
        let expiry_secs = expiry_secs.unwrap_or(self.expiry_secs);
        let write = move |connection: &Connection| -> Result<(), DatabaseError> {
            match expiry_secs {
                0 => forget(connection, &client_id)?,
                _ => expire(connection, &client_id, after(now, expiry_secs))?,
            }
            Ok(())
        };
        if let Err(error) = self.database.write(Durability::Process, write).await {
            // The session then is as after a crash: kept for longer.
            tracing::warn!(client = self.client_id, %error, "cannot note the end of a session");
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let mut live = lock(&self.live);
        if live.get(&self.client_id).is_some_and(|holder| holder.key == self.key) {
            live.remove(&self.client_id);
        }
    }
}

/// `secs` after `from`.
fn after(from: Micros, secs: u32) -> Micros {
    from.saturating_add(i64::from(secs) * 1_000_000)
}

fn is_present(connection: &Connection, client_id: &str, now: Micros) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT 1 FROM session WHERE client_id = ?1 AND (expires_at IS NULL OR expires_at > ?2)",
        )?
        .query_row((client_id, now), |_row| Ok(()))
        .optional()
        .map(|row| row.is_some())
}

fn count(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("SELECT count(*) FROM session")?.query_row([], |row| row.get(0))
}

fn keep(connection: &Connection, client_id: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO session (client_id, expires_at) VALUES (?1, NULL)
             ON CONFLICT (client_id) DO UPDATE SET expires_at = NULL WHERE expires_at IS NOT NULL",
        )?
        .execute([client_id])
        .map(|_rows| ())
}

fn expire(connection: &Connection, client_id: &str, at: Micros) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE session SET expires_at = ?2 WHERE client_id = ?1")?
        .execute((client_id, at))
        .map(|_rows| ())
}

fn forget(connection: &Connection, client_id: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM session WHERE client_id = ?1")?
        .execute([client_id])
        .map(|_rows| ())
}

fn purge(connection: &Connection, now: Micros) -> Result<(), DatabaseError> {
    connection.execute("DELETE FROM session WHERE expires_at <= ?1", [now])?;
    Ok(())
}

/// A panic leaves the map whole: it is changed by single calls.
fn lock(live: &Live) -> MutexGuard<'_, HashMap<String, Holder>> {
    live.lock().unwrap_or_else(PoisonError::into_inner)
}
