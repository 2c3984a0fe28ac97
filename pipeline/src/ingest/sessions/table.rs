//! Sessions in the data file.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension};
use stages::frame::Micros;

use super::PacketKey;
use crate::database::{DatabaseError, Owner, Registration};

/// What has become of messages of QoS 2 since the last commit.
#[derive(Debug, Default)]
pub(in crate::ingest) struct PacketChanges {
    /// Those whose message is in a frame of this commit.
    pub(in crate::ingest) taken: Vec<PacketKey>,
    /// Those that were released; they were taken in commits before.
    pub(in crate::ingest) released: Vec<PacketKey>,
}

impl PacketChanges {
    pub(in crate::ingest) fn is_empty(&self) -> bool {
        self.taken.is_empty() && self.released.is_empty()
    }

    /// Writes them: what was released first, since its packet id may have been used again. Answers which sessions are
    /// no more: nobody will ask for their packet ids.
    pub(in crate::ingest) fn write(&self, connection: &Connection) -> rusqlite::Result<Vec<i64>> {
        let mut delete =
            connection.prepare_cached("DELETE FROM session_packet WHERE session = ?1 AND packet_id = ?2")?;
        for key in &self.released {
            delete.execute((key.session, key.packet_id))?;
        }
        let mut insert = connection.prepare_cached(
            "INSERT OR IGNORE INTO session_packet (session, packet_id)
             SELECT session, ?2 FROM session WHERE session = ?1",
        )?;
        for key in &self.taken {
            insert.execute((key.session, key.packet_id))?;
        }
        let mut exists = connection.prepare_cached("SELECT 1 FROM session WHERE session = ?1")?;
        let sessions: BTreeSet<i64> =
            self.released.iter().chain(&self.taken).map(|key| key.session).collect();
        let mut ended = Vec::new();
        for session in sessions {
            if !exists.exists([session])? {
                ended.push(session);
            }
        }
        Ok(ended)
    }
}

/// `secs` after `from`.
pub(super) fn after(from: Micros, secs: u32) -> Micros {
    from.saturating_add(i64::from(secs) * 1_000_000)
}

/// The number of the session of a client, if it has one.
pub(super) fn find(connection: &Connection, client_id: &str, now: Micros) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached(
            "SELECT session FROM session WHERE client_id = ?1 AND (expires_at IS NULL OR expires_at > ?2)",
        )?
        .query_row((client_id, now), |row| row.get(0))
        .optional()
}

/// The packet ids that were taken and are not released.
pub(super) fn packets(connection: &Connection, session: i64) -> rusqlite::Result<Vec<u16>> {
    connection
        .prepare_cached("SELECT packet_id FROM session_packet WHERE session = ?1")?
        .query_map([session], |row| row.get(0))?
        .collect()
}

pub(super) fn count(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("SELECT count(*) FROM session")?.query_row([], |row| row.get(0))
}

/// Begins the session of a client that has none and is served by `owner`, and answers its number.
pub(super) fn create(connection: &Connection, client_id: &str, owner: Owner) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("INSERT INTO session (client_id, owner) VALUES (?1, ?2)")?
        .insert((client_id, owner.0))
}

/// A session whose client is back does not expire, and is that of `owner` from now on. Answers its number: another
/// one where it was another process's, which may still write under the old one, and changes nothing by it.
pub(super) fn keep(
    connection: &Connection,
    client_id: &str,
    session: i64,
    owner: Owner,
) -> rusqlite::Result<i64> {
    let sql = "SELECT 1 FROM session WHERE session = ?1 AND owner = ?2";
    if connection.prepare_cached(sql)?.exists((session, owner.0))? {
        connection
            .prepare_cached(
                "UPDATE session SET expires_at = NULL WHERE session = ?1 AND expires_at IS NOT NULL",
            )?
            .execute([session])?;
        return Ok(session);
    }
    let packets = packets(connection, session)?;
    forget(connection, client_id)?;
    let session = create(connection, client_id, owner)?;
    let taken = packets.into_iter().map(|packet_id| PacketKey { session, packet_id }).collect();
    PacketChanges { taken, ..PacketChanges::default() }.write(connection)?;
    Ok(session)
}

/// The client of a session has gone from `owner`; not if it is at another process by now.
pub(super) fn expire(
    connection: &Connection,
    session: i64,
    owner: Owner,
    at: Micros,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE session SET expires_at = ?3 WHERE session = ?1 AND owner = ?2")?
        .execute((session, owner.0, at))
        .map(drop)
}

/// The client of a session has gone from `owner` for good; not if it is at another process by now.
pub(super) fn give_up(connection: &Connection, session: i64, owner: Owner) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM session WHERE session = ?1 AND owner = ?2")?
        .execute((session, owner.0))
        .map(drop)
}

/// Ends the session of a client, and forgets its packet ids.
pub(super) fn forget(connection: &Connection, client_id: &str) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM session WHERE client_id = ?1")?.execute([client_id]).map(drop)
}

/// Sessions whose clients were connected to a process that is dead expire at this time, and so do those that would later:
/// the clock was ahead when their time began.
pub(super) fn adopt(
    connection: &Connection,
    registration: &Registration,
    expires_at: Micros,
) -> Result<(), DatabaseError> {
    connection.execute("UPDATE session SET expires_at = ?1 WHERE expires_at > ?1", [expires_at])?;
    let mut owners = connection.prepare("SELECT DISTINCT owner FROM session WHERE expires_at IS NULL")?;
    let owners: Vec<Option<u32>> = owners.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut adopt =
        connection.prepare("UPDATE session SET expires_at = ?1 WHERE expires_at IS NULL AND owner IS ?2")?;
    // Where none is noted, a version wrote it that allowed one process.
    for owner in owners.into_iter().filter(|owner| owner.is_none_or(|id| registration.is_dead(Owner(id)))) {
        adopt.execute((expires_at, owner))?;
    }
    Ok(())
}

/// Sessions of `owner` whose clients are not connected to it expire at this time: it could not note that they have gone.
pub(super) fn abandon(
    connection: &Connection,
    owner: Owner,
    is_connected: impl Fn(&str) -> bool,
    expires_at: Micros,
) -> rusqlite::Result<()> {
    let mut owned = connection
        .prepare_cached("SELECT session, client_id FROM session WHERE expires_at IS NULL AND owner = ?1")?;
    let mut abandoned = Vec::new();
    let mut rows = owned.query([owner.0])?;
    while let Some(row) = rows.next()? {
        if !is_connected(row.get_ref(1)?.as_str()?) {
            abandoned.push(row.get(0)?);
        }
    }
    drop(rows);
    abandoned.into_iter().try_for_each(|session| expire(connection, session, owner, expires_at))
}

pub(super) fn purge(connection: &Connection, now: Micros) -> Result<(), DatabaseError> {
    connection.execute("DELETE FROM session WHERE expires_at <= ?1", [now])?;
    Ok(())
}
