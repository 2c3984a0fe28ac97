//! Files of older formats, as their versions left them: see the SQL beside this file.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use rusqlite::Connection;
use stages::{frame::Lane, plan::Counts};

use super::{fresh, refusal};
use crate::{
    database::{Database, DatabaseError, open::FORMAT},
    queue::{DeadFilter, QueueName, Queues, ReceiveLimits, Span, SqliteOptions, SqliteQueues},
    state::StateStore,
};

const FORMAT_1: &str = include_str!("format-1.sql");
const FORMAT_2: &str = include_str!("format-2.sql");

fn write(path: &Path, dump: &str) {
    fs::create_dir_all(path.parent().expect("a parent")).expect("created");
    Connection::open(path).expect("opened").execute_batch(dump).expect("written");
}

async fn queues(path: &Path) -> Queues {
    let options = SqliteOptions { lanes: lanes(path), ..SqliteOptions::default() };
    Queues::Sqlite(SqliteQueues::open(Database::open(path).expect("opened"), options).await.expect("opened"))
}

fn lanes(path: &Path) -> u16 {
    let file = Connection::open(path).expect("opened");
    file.query_row("SELECT value FROM meta WHERE key = 'lanes'", [], |row| row.get(0)).expect("read")
}

/// What can be received of a queue: frames and rows, as many as their bytes say.
async fn received(queues: &Queues, queue: QueueName) -> (usize, usize) {
    let limits = ReceiveLimits { frames: 100, bytes: 1 << 30, wait: Duration::ZERO };
    let run = queues.receive(queue, queues.holder(), limits).await.expect("received");
    let decoded = run.iter().map(|delivery| stages::frame::decode(&delivery.frame.bytes).expect("a frame"));
    (run.len(), decoded.map(|frame| frame.rows.num_rows()).sum())
}

fn sessions(path: &Path) -> Vec<(String, Option<i64>)> {
    let file = Connection::open(path).expect("opened");
    let mut sessions =
        file.prepare("SELECT client_id, expires_at FROM session ORDER BY session").expect("sql");
    let sessions = sessions.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("read");
    sessions.collect::<Result<_, _>>().expect("read")
}

/// Tables with their columns, and indices and triggers.
fn layout(path: &Path) -> BTreeMap<String, Vec<String>> {
    let file = Connection::open(path).expect("opened");
    let mut names = file.prepare("SELECT name, type FROM sqlite_schema").expect("sql");
    let names = names.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)));
    let columns = |name: &str| -> Vec<String> {
        let sql =
            "SELECT name || ' ' || type || ' ' || \"notnull\" || ' ' || pk || ' ' || coalesce(dflt_value, '')
                   FROM pragma_table_info(?1)";
        let mut columns = file.prepare(sql).expect("sql");
        columns.query_map([name], |row| row.get(0)).expect("read").collect::<Result<_, _>>().expect("read")
    };
    let names = names.expect("read").map(|name| name.expect("read"));
    names.map(|(name, kind)| (format!("{kind} {name}"), columns(&name))).collect()
}

#[tokio::test]
async fn a_file_of_format_2_goes_on_where_it_was() {
    let (_directory, path) = fresh();
    write(&path, FORMAT_2);
    let queues = queues(&path).await;
    let audit = queues.audit(true).await.expect("audited");
    assert_eq!(audit.mistakes(), [""; 0], "the books balance: {:#?}", audit.balances);
    let depth = queues.depth(QueueName::Notify).await.expect("depth");
    assert_eq!((depth.dead, depth.dead_rows, depth.dead_bytes), (3, 3, 11_424));
    let books = queues.books().await.expect("books");
    assert_eq!(books["validate"], Counts { consumed: 19, quarantined: 5, produced: 19, ..Counts::default() });

    assert_eq!(received(&queues, QueueName::Validate).await, (2, 10));
    assert_eq!(received(&queues, QueueName::Store).await, (6, 84));
    let engine = queues.embedded("this test").expect("embedded");
    let state = StateStore::Sqlite(engine.database().clone());
    let deltas = |loaded: crate::state::Loaded| loaded.deltas.len();
    let mut found = 0;
    for (stage, lane) in [("analyze", 0), ("analyze", 1), ("alert", 0), ("alert", 1)] {
        found += deltas(state.load(stage, Lane(lane), None).await.expect("loaded"));
    }
    assert_eq!(found, 4, "the state of each lane is there");
    assert_eq!(sessions(&path), [("pump".into(), None), ("valve".into(), Some(4_102_444_800_000_000))]);
    let file = Connection::open(&path).expect("opened");
    let count = |sql| file.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("read");
    assert_eq!(count("SELECT count(*) FROM session_packet WHERE session = 7"), 2);
    assert_eq!(count("SELECT count(*) FROM roll_frame JOIN frame ON frame.id = roll_frame.frame"), 1);

    let letters = queues.dead_letters(DeadFilter::default(), Span::ALL).await.expect("listed");
    assert_eq!(letters.iter().map(|letter| letter.letter).collect::<Vec<_>>(), [1, 2, 3]);
    queues.drop_dead(DeadFilter::default(), Span::ALL).await.expect("dropped");
    assert_eq!(queues.audit(true).await.expect("audited").mistakes(), [""; 0]);
}

#[tokio::test]
async fn a_file_of_format_1_goes_on_where_it_was() {
    let (_directory, path) = fresh();
    write(&path, FORMAT_1);
    let queues = queues(&path).await;
    assert_eq!(queues.audit(true).await.expect("audited").mistakes(), [""; 0]);
    assert_eq!(received(&queues, QueueName::Validate).await, (2, 10));
    assert_eq!(sessions(&path), [("pump".into(), None), ("valve".into(), Some(4_102_444_800_000_000))]);
}

#[test]
fn a_file_that_was_taken_over_has_the_tables_of_a_new_one() {
    let (_directory, new) = fresh();
    drop(Database::open(&new).expect("created"));
    for dump in [FORMAT_1, FORMAT_2] {
        let (_directory, path) = fresh();
        write(&path, dump);
        drop(Database::open(&path).expect("taken over"));
        assert_eq!(layout(&path), layout(&new));
        drop(Database::open(&path).expect("opened as what it is now"));
    }
}

#[tokio::test]
async fn looking_at_a_file_changes_nothing() {
    let (_directory, path) = fresh();
    write(&path, FORMAT_2);
    let before = fs::read(&path).expect("read");
    let Err(error) = Database::look(&path) else { panic!("it was opened") };
    let said = error.to_string();
    assert!(said.contains("format version 2") && said.contains("run `millstream up` first"), "{said}");
    assert!(!path.with_file_name("owners").exists());
    assert_eq!(fs::read(&path).expect("read"), before);

    let up = Database::open(&path).expect("taken over");
    let options = SqliteOptions { lanes: lanes(&path), ..SqliteOptions::default() };
    let looked = Database::look(&path).expect("looked at");
    let looked = Queues::Sqlite(SqliteQueues::open_to_read(looked, options).await.expect("looked at"));
    assert_eq!(looked.depth(QueueName::Notify).await.expect("depth").dead, 3);
    let answer = looked.drop_dead(DeadFilter::default(), Span::ALL).await;
    assert!(answer.is_err(), "it is only looked at");
    let owners = fs::read_dir(path.with_file_name("owners")).expect("listed");
    assert_eq!(owners.count(), 2, "the gate, and who runs on it");
    drop((up, looked));
}

#[test]
fn a_file_that_an_older_version_runs_on_is_refused_until_it_ends() {
    let (_directory, path) = fresh();
    write(&path, FORMAT_2);
    let lock = path.parent().expect("a parent").join("owners/3.lock");
    fs::create_dir_all(lock.parent().expect("a parent")).expect("created");
    let running = fs::File::create(&lock).expect("created");
    running.lock().expect("locked");
    let Err(error) = Database::open(&path) else { panic!("it was opened") };
    let said = error.to_string();
    assert!(said.contains("format version 2 and is in use: stop the older millstream"), "{said}");
    let file = Connection::open(&path).expect("opened");
    let version: i32 = file.pragma_query_value(None, "user_version", |row| row.get(0)).expect("read");
    assert_eq!(version, 2, "untouched");
    drop(running);
    drop(Database::open(&path).expect("taken over"));
}

#[test]
fn a_file_that_cannot_be_taken_over_is_as_it_was() {
    let (_directory, path) = fresh();
    // As the first files of format 1 were.
    write(&path, &FORMAT_1.replace("rows_of   TEXT", "dataset   TEXT"));
    let before = layout(&path);
    let Err(error @ DatabaseError::Migration { .. }) = Database::open(&path) else { panic!("it was opened") };
    let said = error.to_string();
    assert!(said.contains("no such column: rows_of") && said.contains("run the version"), "{said}");
    assert_eq!(layout(&path), before);
}

#[test]
fn a_file_of_another_version_is_refused_with_the_way_out() {
    let of = |version: i32| {
        refusal(|path| {
            drop(Database::open(path).expect("opened"));
            let other = Connection::open(path).expect("opened");
            other.pragma_update(None, "user_version", version).expect("written");
        })
    };
    let newer = of(FORMAT + 1);
    assert!(newer.contains(&format!("none after {FORMAT}: run the newer version")), "{newer}");
    let older = of(0);
    assert!(older.contains("until its queues are empty, then start with a new data directory"), "{older}");
}
