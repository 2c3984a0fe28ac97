//! Intents in the data file, each step in one transaction with the queues.

use rusqlite::{Connection, OptionalExtension, Result, params};
use stages::{
    frame::FrameId,
    plan::Counts,
    store::{self, Partition},
};

use super::{Claim, GroupKey, Intent, Interrupted, LakeError, Looked, Named, Past, PlannedFile};
use crate::{
    database::{Durability, Turn},
    queue::{Commit, QueueError, Receipt, SqliteQueues},
};

/// See [`Intents::look`](super::Intents::look).
pub(super) async fn look(
    queues: &SqliteQueues,
    frames: Vec<(FrameId, GroupKey)>,
) -> Result<Looked, LakeError> {
    let look = move |database: &Connection| {
        if let Some(interrupted) = interrupted(database, frames.iter().map(|(id, _)| *id))? {
            return Ok::<_, QueueError>(Looked::Interrupted(interrupted));
        }
        let past = frames.iter().map(|(id, key)| {
            let written = written(database, *id, *key)?;
            Ok(Past { written, ..Past::default() })
        });
        Ok(Looked::Past(past.collect::<Result<_>>()?))
    };
    Ok(queues.database().read(look).await?)
}

/// See [`Intents::open`](super::Intents::open). Nobody else was handed a frame that is still held.
pub(super) async fn open(
    queues: &SqliteQueues,
    intent: &Intent<'_>,
    receipts: &[Receipt],
) -> Result<(), LakeError> {
    let (roll, files) = (intent.roll.to_owned(), intent.files.clone());
    let frames = frames_of(intent.claims);
    let open = move |database: &Connection| Ok(insert(database, &roll, &frames, &files)?);
    Ok(queues.while_held(receipts.to_vec(), open).await?)
}

/// See [`Intents::finish`](super::Intents::finish): one commit settles the frames and removes the intent.
pub(super) async fn finish(
    queues: &SqliteQueues,
    roll: &str,
    claims: &[Claim],
    receipts: &[Receipt],
    counts: Counts,
) -> Result<(), LakeError> {
    let Some(first) = receipts.first() else { return Ok(()) };
    let lost = QueueError::Lost { queue: first.queue(), frame: first.frame() };
    let (roll, frames) = (roll.to_owned(), frames_of(claims));
    let commit =
        Commit { receipts: receipts.to_vec(), counts: vec![(store::STAGE, counts)], ..Commit::default() };
    let finish = move |database: &Connection| {
        if !is_open(database, &roll)? {
            return Err(lost);
        }
        Ok(forget(database, &frames)?)
    };
    Ok(queues.commit_with(commit, Turn::Common, finish).await?)
}

/// See [`Intents::resolve`](super::Intents::resolve).
pub(super) async fn resolve(
    queues: &SqliteQueues,
    roll: &str,
    there: Vec<String>,
) -> Result<Vec<String>, LakeError> {
    let (roll, found) = (roll.to_owned(), there.clone());
    let resolve = move |database: &Connection| Ok(close(database, &roll, &found)?);
    queues.database().write(Durability::Fsync, resolve).await.map_err(|error: QueueError| error)?;
    Ok(there)
}

fn frames_of(claims: &[Claim]) -> Vec<FrameId> {
    claims.iter().map(|claim| claim.frame).collect()
}

/// Records that `roll` is about to write `files` from `frames`.
fn insert(database: &Connection, roll: &str, frames: &[FrameId], files: &[PlannedFile]) -> Result<()> {
    database.prepare_cached("INSERT INTO roll (roll) VALUES (?)")?.execute([roll])?;
    let mut insert = database.prepare_cached("INSERT INTO roll_file VALUES (?, ?, ?, ?, ?)")?;
    for file in files {
        let Partition { start, end } = file.partition;
        insert.execute(params![roll, file.path, file.key.to_string(), start, end])?;
    }
    let mut insert = database.prepare_cached("INSERT INTO roll_frame VALUES (?, ?)")?;
    for frame in frames {
        insert.execute(params![frame.0, roll])?;
    }
    Ok(())
}

/// The first open roll that one of `frames` is part of. Its worker holds them no more.
fn interrupted(database: &Connection, frames: impl Iterator<Item = FrameId>) -> Result<Option<Interrupted>> {
    let mut find = database.prepare_cached(
        "SELECT roll FROM roll_frame JOIN roll USING (roll) WHERE frame = ? AND NOT resolved LIMIT 1",
    )?;
    for frame in frames {
        let Some(roll) = find.query_row([frame.0], |row| row.get::<_, String>(0)).optional()? else {
            continue;
        };
        let mut paths = database.prepare_cached("SELECT path FROM roll_file WHERE roll = ?")?;
        let paths = paths.query_map([&roll], |row| row.get(0))?.collect::<Result<_>>()?;
        return Ok(Some(Interrupted { roll, paths }));
    }
    Ok(None)
}

/// Closes an interrupted roll for good: of its files only `there` exist, and no other ever will.
fn close(database: &Connection, roll: &str, there: &[String]) -> Result<()> {
    database.prepare_cached("UPDATE roll SET resolved = 1 WHERE roll = ?")?.execute([roll])?;
    let mut paths = database.prepare_cached("SELECT path FROM roll_file WHERE roll = ?")?;
    let planned: Vec<String> = paths.query_map([roll], |row| row.get(0))?.collect::<Result<_>>()?;
    let mut delete = database.prepare_cached("DELETE FROM roll_file WHERE roll = ? AND path = ?")?;
    for path in planned.iter().filter(|path| !there.contains(path)) {
        delete.execute([roll, path])?;
    }
    Ok(())
}

/// What resolved rolls have written of `frame`, whose rows are of the group `key`.
fn written(database: &Connection, frame: FrameId, key: GroupKey) -> Result<Vec<Partition>> {
    let mut find = database.prepare_cached(
        "SELECT starts_at, ends_at FROM roll_frame JOIN roll_file USING (roll)
         WHERE frame = ? AND rows_of = ?",
    )?;
    let partition = |row: &rusqlite::Row<'_>| Ok(Partition { start: row.get(0)?, end: row.get(1)? });
    find.query_map(params![frame.0, key.to_string()], partition)?.collect()
}

/// Everything that any intent names, finished or not.
pub(in crate::lake) fn all(database: &Connection) -> Result<Named> {
    let mut paths = database.prepare_cached("SELECT path FROM roll_file")?;
    let paths = paths.query_map([], |row| row.get(0))?.collect::<Result<_>>()?;
    let mut rolls = database.prepare_cached("SELECT roll FROM roll")?;
    let rolls = rolls.query_map([], |row| row.get(0))?.collect::<Result<_>>()?;
    Ok(Named { paths, rolls })
}

/// Whether `roll` is still the caller's to finish.
fn is_open(database: &Connection, roll: &str) -> Result<bool> {
    let mut find = database.prepare_cached("SELECT NOT resolved FROM roll WHERE roll = ?")?;
    Ok(find.query_row([roll], |row| row.get(0)).optional()?.unwrap_or(false))
}

/// Forgets `frames`, whose rows are all in the lake or that nobody will be handed again, and every roll that has no others.
pub(crate) fn forget(database: &Connection, frames: &[FrameId]) -> Result<()> {
    let mut rolls = std::collections::BTreeSet::new();
    let mut delete = database.prepare_cached("DELETE FROM roll_frame WHERE frame = ? RETURNING roll")?;
    for frame in frames {
        for roll in delete.query_map([frame.0], |row| row.get::<_, String>(0))? {
            rolls.insert(roll?);
        }
    }
    let mut left = database.prepare_cached("SELECT EXISTS (SELECT 1 FROM roll_frame WHERE roll = ?)")?;
    for roll in rolls {
        if !left.query_row([&roll], |row| row.get::<_, bool>(0))? {
            database.prepare_cached("DELETE FROM roll_file WHERE roll = ?")?.execute([&roll])?;
            database.prepare_cached("DELETE FROM roll WHERE roll = ?")?.execute([&roll])?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use stages::frame::Lane;

    use super::*;
    use crate::{
        database::Database,
        queue::{
            DeadFilter, EncodedFrame, Publish, QueueName::Store, ReceiveLimits, Span, SqliteOptions, Verdict,
        },
    };

    async fn intents(queues: &SqliteQueues) -> Named {
        queues.database().read(|database| Ok::<_, QueueError>(all(database)?)).await.unwrap()
    }

    /// Publishes frames, takes them as a roll does, and dies with them.
    async fn dead_in_a_roll(queues: &SqliteQueues, frames: &[FrameId]) {
        let frame = |id: &FrameId| EncodedFrame { id: *id, lane: Lane(0), rows: 1, bytes: vec![1].into() };
        let publish = frames.iter().map(|id| Publish { queue: Store, frame: frame(id) });
        assert!(queues.publish(publish.collect()).await.iter().all(Result::is_ok));
        let limits = ReceiveLimits { frames: 9, bytes: 1 << 20, wait: Duration::ZERO };
        let held = queues.receive(Store, queues.holder(), limits).await.unwrap();
        let names = frames.to_vec();
        let begin = move |database: &Connection| Ok::<_, QueueError>(insert(database, "roll", &names, &[])?);
        queues.database().write(Durability::Process, begin).await.unwrap();
        let dead = held.into_iter().map(|delivery| (delivery.receipt, Verdict::Dead(String::new())));
        assert!(queues.settle(dead.collect()).await.iter().all(Result::is_ok));
    }

    #[tokio::test]
    async fn a_frame_that_is_dropped_leaves_no_intent() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(&directory.path().join("millstream.db")).unwrap();
        let queues = SqliteQueues::open(database, SqliteOptions::default()).await.unwrap();
        dead_in_a_roll(&queues, &[FrameId([1; 16]), FrameId([2; 16])]).await;
        let letters = queues.dead_letters(DeadFilter::default(), Span::ALL).await.unwrap();
        for (letter, left) in letters.iter().zip([1, 0]) {
            let one = DeadFilter { letters: vec![letter.letter], ..DeadFilter::default() };
            queues.drop_dead(one, Span::ALL).await.unwrap();
            assert_eq!(intents(&queues).await.rolls.len(), left, "the other frame may come back");
        }
    }
}
