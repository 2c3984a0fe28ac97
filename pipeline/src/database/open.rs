//! Opening and creating the file, one process at a time.

use std::{
    cell::Cell,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior};

use stages::frame::Micros;

use super::{DatabaseError, Owner, Registration, migrate, owner};
use crate::clock::now;

/// `PRAGMA application_id` of the file: "MILL".
pub(super) const APPLICATION: i32 = 0x4d49_4c4c;

/// `PRAGMA user_version` of the file. Another layout of the tables is another version.
pub(super) const FORMAT: i32 = 3;

/// The tables of every module.
const SCHEMA: &str = include_str!("schema.sql");

/// The minute of epoch 0: 2020-01-01, UTC. The 24 bits of an epoch in the number of a message last until 2051.
const EPOCHS_SINCE: Micros = 1_577_836_800_000_000;

/// How many statements stay prepared: all that the queues and stages use.
const STATEMENTS: usize = 128;

/// For how long a lock held by another process is asked for, every millisecond, before the write fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// After how long of waiting for another process that opens the file it is said.
const SILENCE: Duration = Duration::from_secs(1);

thread_local! {
    /// Since when the statement in hand waits for a lock.
    static WAITS_SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The writer's connection, and the registration of this process. A file of an older format is brought to this one.
pub(super) fn open(path: &Path) -> Result<(Connection, Registration), DatabaseError> {
    let directory = owners(path);
    fs::create_dir_all(&directory).map_err(io_error(&directory, "create"))?;
    let _gate = gate(&directory.join("gate"), PATIENCE)?;

    let failed = open_error(path);
    let mut connection = Connection::open(path).map_err(failed)?;
    configure(&mut connection).map_err(failed)?;
    let (application, version) = marks(&connection).map_err(failed)?;
    if application == 0 && is_new(&connection).map_err(failed)? {
        create(&connection, first_epoch(now())).map_err(failed)?;
    } else if application != APPLICATION {
        return Err(DatabaseError::Foreign { path: path.into(), found: application });
    } else if version != FORMAT {
        adapt(&mut connection, path, &directory, version)?;
    }
    let owner = next_owner(&mut connection).map_err(failed)?;
    let registration = Registration::new(&directory, Owner(owner))?;
    Ok((connection, registration))
}

/// Where the processes that run on the file are registered.
pub(super) fn owners(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new(".")).join("owners")
}

/// The lock under which one process at a time opens the file; who brings it to a new format holds it for as long as that takes.
pub(super) fn gate(path: &Path, patience: Duration) -> Result<File, DatabaseError> {
    let gate = File::create(path).map_err(io_error(path, "create"))?;
    let (since, mut told) = (Instant::now(), false);
    loop {
        match gate.try_lock() {
            Ok(()) => return Ok(gate),
            Err(TryLockError::WouldBlock) if since.elapsed() < patience => {}
            Err(TryLockError::WouldBlock) => {
                return Err(DatabaseError::Gate { path: path.into(), waited: patience });
            }
            Err(TryLockError::Error(source)) => return Err(io_error(path, "lock")(source)),
        }
        if !told && since.elapsed() >= SILENCE {
            told = true;
            tracing::warn!(gate = %path.display(), "another process opens the data file just now: this one waits for it");
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Which program the file is of, and its format.
fn marks(connection: &Connection) -> rusqlite::Result<(i32, i32)> {
    let mark = |name| connection.pragma_query_value(None, name, |row| row.get(0));
    Ok((mark("application_id")?, mark("user_version")?))
}

/// Brings a file of another format to this one, where that can be done.
fn adapt(connection: &mut Connection, path: &Path, owners: &Path, found: i32) -> Result<(), DatabaseError> {
    let path = path.to_owned();
    if found > FORMAT {
        return Err(DatabaseError::Newer { path, found });
    }
    if !migrate::is_known(found) {
        return Err(DatabaseError::Format { path, found });
    }
    // Nobody can come while we hold the gate.
    if owner::is_any_alive(owners).map_err(io_error(owners, "look for running processes in"))? {
        return Err(DatabaseError::InUse { path, found });
    }
    migrate::migrate(connection, found).map_err(|source| DatabaseError::Migration {
        path,
        found,
        source: Arc::new(source),
    })?;
    tracing::info!(from = found, to = FORMAT, "the data file was brought to the format of this version");
    Ok(())
}

/// A number that no process has had. Committed in so many words: what fails when a statement that answers rows is done
/// with, nobody is told.
fn next_owner(connection: &mut Connection) -> rusqlite::Result<u32> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let sql = "UPDATE meta SET value = value + 1 WHERE key = 'owner' RETURNING value";
    let owner = transaction.query_row(sql, [], |row| row.get(0))?;
    transaction.commit()?;
    Ok(owner)
}

/// A connection that only reads, to a file that has to be there in the format of this version.
pub(super) fn look(path: &Path) -> Result<Connection, DatabaseError> {
    let reader = reader(path)?;
    let (application, found) = marks(&reader).map_err(open_error(path))?;
    let path = path.to_owned();
    match found {
        _ if application != APPLICATION && application != 0 => {
            Err(DatabaseError::Foreign { path, found: application })
        }
        FORMAT => Ok(reader),
        _ if found > FORMAT => Err(DatabaseError::Newer { path, found }),
        // Nothing is in a file that was just begun.
        _ if found == 0 || migrate::is_known(found) => Err(DatabaseError::Older { path, found }),
        _ => Err(DatabaseError::Format { path, found }),
    }
}

/// A connection that only reads.
pub(super) fn reader(path: &Path) -> Result<Connection, DatabaseError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let mut reader = Connection::open_with_flags(path, flags)?;
        configure(&mut reader)?;
        Ok(reader)
    };
    open().map_err(open_error(path))
}

fn configure(connection: &mut Connection) -> rusqlite::Result<()> {
    be_patient(connection)?;
    // Damage to the pages of a tree is found when they are read, not when something breaks.
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}

/// SQLite's own waiting sleeps up to 100 ms between tries, which is long among processes that commit
/// every few milliseconds.
pub(super) fn be_patient(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.busy_handler(Some(|tries| {
        thread::sleep(Duration::from_millis(1));
        let since = WAITS_SINCE.get().filter(|_| tries > 0).unwrap_or_else(Instant::now);
        WAITS_SINCE.set(Some(since));
        since.elapsed() < PATIENCE
    }))
}

fn is_new(connection: &Connection) -> rusqlite::Result<bool> {
    let table: Option<i32> =
        connection.query_row("SELECT 1 FROM sqlite_schema LIMIT 1", [], |row| row.get(0)).optional()?;
    Ok(table.is_none())
}

/// Where the epochs of ingest begin in a file that is made now. A lake may hold numbers of an earlier file, whose
/// epochs began so too, and rise by one with each start: not faster than minutes pass.
pub(crate) fn first_epoch(now: Micros) -> i64 {
    (now - EPOCHS_SINCE).max(0) / 60_000_000
}

fn create(connection: &Connection, epoch: i64) -> rusqlite::Result<()> {
    // Before the first table: neither can be changed afterwards. Pages of 8 KiB cost a frame of 10 KiB the least.
    connection.execute_batch(
        "PRAGMA page_size = 8192; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;",
    )?;
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE; {SCHEMA} UPDATE meta SET value = {epoch} WHERE key = 'ingest_epoch'; \
         PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {FORMAT}; COMMIT;"
    ))
}

fn open_error(path: &Path) -> impl Fn(rusqlite::Error) -> DatabaseError + Copy {
    move |source| {
        let (path, code, source) = (path.into(), source.sqlite_error_code(), Arc::new(source));
        match code {
            Some(ErrorCode::DatabaseCorrupt) => DatabaseError::Damaged { path, source },
            _ => DatabaseError::Open { path, source },
        }
    }
}

pub(super) fn io_error(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> DatabaseError {
    move |source| DatabaseError::Io { path: path.into(), doing, source: Arc::new(source) }
}
