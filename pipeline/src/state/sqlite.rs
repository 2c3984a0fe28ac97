//! State in the data file, beside the queues: it changes in the same transaction as they do.

use rusqlite::{Connection, OptionalExtension, params};
use stages::frame::Lane;

use super::Loaded;
use crate::{
    database::{checked, checksum},
    failpoint::fail_point,
    queue::{NumberedDelta, QueueError},
};

pub(super) fn load(
    connection: &Connection,
    stage: &str,
    lane: Lane,
    since: Option<u64>,
) -> Result<Loaded, QueueError> {
    let snapshot = connection
        .prepare_cached("SELECT number, bytes, sum FROM snapshot WHERE stage = ?1 AND lane = ?2")?
        .query_row(params![stage, lane.0], numbered)
        .optional()?;
    // Deltas up to the snapshot are gone: whoever stands before it needs it.
    let snapshot = snapshot.filter(|(number, _)| since.is_none_or(|since| since < *number));
    let after = snapshot.as_ref().map(|(number, _)| *number).or(since).unwrap_or_default();
    let deltas = connection
        .prepare_cached(
            "SELECT number, bytes, sum FROM delta WHERE stage = ?1 AND lane = ?2 AND number > ?3 ORDER BY number",
        )?
        .query_map(params![stage, lane.0, after.cast_signed()], numbered)?
        .collect::<Result<_, _>>()?;
    // A frame is consumed with what it leads to, so none that is applied comes again.
    Ok(Loaded { snapshot, deltas, number: last(connection, stage, lane)?, applied: Vec::new() })
}

/// Adds a change, in the caller's transaction.
pub(crate) fn append(connection: &Connection, delta: &NumberedDelta) -> Result<(), QueueError> {
    let &NumberedDelta { stage, lane, number, .. } = delta;
    let last = last(connection, stage, lane)?;
    let nothing = delta.bytes.is_empty() && delta.snapshot.is_none() && delta.applied.is_empty();
    if number != if nothing { last } else { last + 1 } {
        return Err(QueueError::Fenced { stage, lane, number, last });
    }
    if nothing {
        return Ok(());
    }
    let number = number.cast_signed();
    let Some(snapshot) = &delta.snapshot else {
        connection
            .prepare_cached(
                "INSERT INTO delta (stage, lane, number, bytes, sum) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![stage, lane.0, number, delta.bytes, checksum(&delta.bytes)])?;
        return Ok(());
    };
    fail_point!("snapshot_before");
    // The snapshot holds the change already.
    connection
        .prepare_cached(
            "REPLACE INTO snapshot (stage, lane, number, bytes, sum) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![stage, lane.0, number, snapshot, checksum(snapshot)])?;
    connection
        .prepare_cached("DELETE FROM delta WHERE stage = ?1 AND lane = ?2 AND number <= ?3")?
        .execute(params![stage, lane.0, number])?;
    fail_point!("snapshot_after");
    Ok(())
}

pub(super) fn last(connection: &Connection, stage: &str, lane: Lane) -> Result<u64, QueueError> {
    let number: i64 = connection
        .prepare_cached(
            "SELECT coalesce(
                (SELECT max(number) FROM delta WHERE stage = ?1 AND lane = ?2),
                (SELECT number FROM snapshot WHERE stage = ?1 AND lane = ?2), 0)",
        )?
        .query_row(params![stage, lane.0], |row| row.get(0))?;
    Ok(number.cast_unsigned())
}

fn numbered(row: &rusqlite::Row<'_>) -> rusqlite::Result<(u64, Vec<u8>)> {
    let bytes = checked(row.get_ref(1)?.as_blob()?, row.get(2)?, "the state of a stage")?;
    Ok((row.get::<_, i64>(0)?.cast_unsigned(), bytes.to_vec()))
}
