mod migration;
mod space;

use std::{fs, path::PathBuf, sync::mpsc, time::Duration};

use rusqlite::{Connection, params};
use tempfile::TempDir;

use super::{Database, DatabaseError, Durability, Turn, open::gate};
use crate::error::Class;

fn fresh() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("data/millstream.db");
    (directory, path)
}

fn set(connection: &Connection, key: &str, value: i64) -> Result<(), DatabaseError> {
    connection.execute("INSERT INTO meta VALUES (?1, ?2)", params![key, value])?;
    Ok(())
}

async fn keys(database: &Database) -> Vec<String> {
    let read = |connection: &Connection| -> Result<Vec<String>, DatabaseError> {
        let mut keys = connection.prepare("SELECT key FROM meta WHERE key LIKE 'test%' ORDER BY key")?;
        Ok(keys.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
    };
    database.read(read).await.expect("read")
}

/// What `open` says of a file that `prepare` has made.
fn refusal(prepare: impl FnOnce(&PathBuf)) -> String {
    let (directory, path) = fresh();
    fs::create_dir_all(path.parent().expect("a parent")).expect("created");
    prepare(&path);
    let Err(error) = Database::open(&path) else { panic!("it was opened") };
    assert_eq!(error.class(), Class::Fatal);
    error.to_string().replace(&directory.path().display().to_string(), "")
}

#[test]
fn a_file_of_another_kind_is_refused_untouched() {
    let text = "This is a shopping list, not a database. ".repeat(50);
    let refused = refusal(|path| fs::write(path, &text).expect("written"));
    assert_eq!(
        refused,
        "cannot open /data/millstream.db as a database: file is not a database; choose another data directory, \
         or recover the file as docs/guarantees.md says"
    );

    let refused = refusal(|path| {
        let other = Connection::open(path).expect("opened");
        other.execute_batch("CREATE TABLE list (item TEXT); PRAGMA application_id = 77;").expect("written");
    });
    assert!(refused.contains("another program (application id 0x4d, not 0x4d494c4c)"), "{refused}");
}

/// The lake outlives a data file: the numbers of messages in it go on.
#[test]
fn the_epochs_of_a_new_file_begin_after_those_of_an_older_one() {
    let epoch = || {
        let (_directory, path) = fresh();
        drop(Database::open(&path).expect("opened"));
        let file = Connection::open(&path).expect("opened");
        let sql = "SELECT value FROM meta WHERE key = 'ingest_epoch'";
        file.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("read")
    };
    // Minutes since 2020, UTC, until 2025-10-01: this has been built later.
    assert!(epoch() > 3_024_000, "{}", epoch());
    assert!(epoch() < 1 << 24, "it has room in the number of a message");
    assert_eq!(super::open::first_epoch(1_577_836_800_000_000 + 120_000_000), 2);
    assert_eq!(super::open::first_epoch(0), 0);
}

#[tokio::test]
async fn a_failed_write_takes_nothing_of_its_group_with_it() {
    let (_directory, path) = fresh();
    let database = Database::open(&path).expect("opened");
    let mut pending = Vec::new();
    for number in 0..10 {
        let work = move |connection: &Connection| {
            set(connection, &format!("test {number}"), number)?;
            // Every third one repeats a key after it has changed something.
            if number % 3 == 0 { set(connection, "owner", 0) } else { Ok(()) }
        };
        pending.push(database.submit((Durability::Fsync, Turn::Common), work, |_| ()).await);
    }
    for (number, write) in pending.into_iter().enumerate() {
        assert_eq!(write.answer().await.is_ok(), number % 3 != 0, "write {number}");
    }
    assert_eq!(keys(&database).await, ["test 1", "test 2", "test 4", "test 5", "test 7", "test 8"]);
}

#[tokio::test]
async fn no_room_for_the_index_of_the_log_is_no_failed_disk() {
    let (_directory, path) = fresh();
    let database = Database::open(&path).expect("opened");
    let fail = |code| {
        database.write(Durability::Fsync, move |_| -> Result<(), DatabaseError> {
            Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None).into())
        })
    };
    let no_room = fail(rusqlite::ffi::SQLITE_IOERR_SHMSIZE).await.expect_err("it fails");
    assert_eq!(no_room.class(), Class::Retry, "{no_room}");
    let failed = fail(rusqlite::ffi::SQLITE_IOERR_WRITE).await.expect_err("it fails");
    assert_eq!(failed.class(), Class::Fatal, "{failed}");
}

#[tokio::test]
async fn a_full_disk_is_told_and_can_be_got_over() {
    let (_directory, path) = fresh();
    let database = Database::open(&path).expect("opened");
    let pages = |count: i64| {
        move |connection: &Connection| -> Result<(), DatabaseError> {
            Ok(connection.pragma_update_and_check(None, "max_page_count", count, |_| Ok(()))?)
        }
    };
    let big = |connection: &Connection| -> Result<(), DatabaseError> {
        connection.execute("INSERT INTO body (seq, bytes) VALUES (1, zeroblob(1000000))", [])?;
        set(connection, "test", 1)
    };
    database.write(Durability::Process, pages(1)).await.expect("limited");
    let error = database.write(Durability::Fsync, big).await.expect_err("no room");
    assert_eq!(
        (error.class(), error.to_string()),
        (Class::Retry, "database: database or disk is full".into())
    );
    assert!(keys(&database).await.is_empty());

    database.write(Durability::Process, pages(1 << 30)).await.expect("room again");
    database.write(Durability::Fsync, big).await.expect("written");
    assert_eq!(keys(&database).await, ["test"]);
}

#[tokio::test]
async fn dropping_the_last_handle_does_what_was_handed_in_and_removes_the_lock() {
    let (directory, path) = fresh();
    let database = Database::open(&path).expect("opened");
    let locks = || {
        let owners = fs::read_dir(directory.path().join("data/owners")).expect("listed");
        owners.filter(|entry| entry.as_ref().expect("listed").file_name() != "gate").count()
    };
    assert_eq!(locks(), 1);
    for number in 0..100 {
        let write = move |connection: &Connection| set(connection, &format!("test {number}"), number);
        drop(database.submit((Durability::Fsync, Turn::Common), write, |_| ()).await);
    }
    drop(database);
    assert_eq!(locks(), 0);
    assert_eq!(keys(&Database::open(&path).expect("opened")).await.len(), 100);
}

#[tokio::test]
async fn owners_are_never_the_same_and_a_dead_one_is_told_by_its_lock() {
    let (_directory, path) = fresh();
    let one = Database::open(&path).expect("opened");
    let two = Database::open(&path).expect("opened");
    let (first, second) = (one.owner(), two.owner());
    assert_ne!(first, second);
    assert!(!one.registration().is_dead(first) && !one.registration().is_dead(second));
    drop(two);
    assert!(one.registration().is_dead(second));
    assert!(![first, second].contains(&Database::open(&path).expect("opened").owner()));
}

#[tokio::test]
async fn a_handle_notices_what_others_write_and_not_what_it_writes() {
    let (_directory, path) = fresh();
    let one = Database::open(&path).expect("opened");
    let two = Database::open(&path).expect("opened");
    let mut others = one.others();
    one.write(Durability::Process, |connection| set(connection, "test 1", 1)).await.expect("written");
    two.write(Durability::Process, |connection| set(connection, "test 2", 2)).await.expect("written");
    others.changed().await.expect("told");
    assert_eq!(keys(&one).await, ["test 1", "test 2"]);
}

#[test]
fn whoever_holds_the_gate_is_not_waited_for_without_end() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("gate");
    let held = gate(&path, Duration::ZERO).expect("nobody holds it");
    let error = gate(&path, Duration::from_millis(20)).expect_err("somebody holds it");
    assert_eq!(error.class(), Class::Fatal);
    let said = error.to_string();
    assert!(said.contains(&path.display().to_string()) && said.contains("start again"), "{said}");
    drop(held);
    gate(&path, Duration::ZERO).expect("nobody holds it any more");
}

#[tokio::test]
async fn who_comes_first_does_not_wait_for_the_others() {
    let (_directory, path) = fresh();
    let database = Database::open(&path).expect("opened");
    let (done, order) = mpsc::channel();
    let (release, held) = mpsc::channel::<()>();
    let wait = move |_: &Connection| held.recv().map_err(|_| DatabaseError::Closed);
    let mut pending = vec![database.submit((Durability::Process, Turn::Common), wait, |_| ()).await];
    for (turn, name) in [(Turn::Common, 1), (Turn::First, 2), (Turn::Common, 3), (Turn::First, 4)] {
        let done = done.clone();
        let write = move |_: &Connection| done.send(name).map_err(|_| DatabaseError::Closed);
        pending.push(database.submit((Durability::Fsync, turn), write, |_| ()).await);
    }
    release.send(()).expect("awaited");
    for write in pending {
        write.answer().await.expect("written");
    }
    assert_eq!(order.try_iter().collect::<Vec<i32>>(), [2, 4, 1, 3], "each kind in its own order");
}
