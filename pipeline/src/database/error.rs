use std::{io, path::PathBuf, sync::Arc, time::Duration};

use rusqlite::{ErrorCode, ffi};

use super::open::{APPLICATION, FORMAT};
use crate::error::Class;

/// Why the data file could not be opened, read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DatabaseError {
    /// A file or directory beside SQLite's own could not be used.
    #[error("cannot {doing} {}: {source}{}", path.display(), way_out(source.kind()))]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What the system says.
        source: Arc<io::Error>,
    },
    /// SQLite could not open the file or make it ready.
    #[error("cannot open {} as a database: {source}{}", path.display(), way_out_of(source))]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: Arc<rusqlite::Error>,
    },
    /// A database of another program.
    #[error(
        "{} is a database of another program (application id {found:#x}, not {APPLICATION:#x}): \
         choose another data directory", path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The application id in it.
        found: i32,
    },
    /// Written by a version of Millstream that is older than any this one can take over from.
    #[error(
        "{} has format version {found}, this program reads {FORMAT}: run the version of millstream that \
         wrote it until its queues are empty, then start with a new data directory", path.display()
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// The version in it.
        found: i32,
    },
    /// Written by a newer version of Millstream.
    #[error(
        "{} has format version {found}, this program reads none after {FORMAT}: run the newer version of \
         millstream that wrote it, or choose another data directory", path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version in it.
        found: i32,
    },
    /// Written by an older version of Millstream, and only to be read.
    #[error(
        "{} has format version {found}, and looking at it does not change that: run `millstream up` first, which brings it \
         to version {FORMAT}", path.display()
    )]
    Older {
        /// The file.
        path: PathBuf,
        /// The version in it.
        found: i32,
    },
    /// Another process does not get done with opening the file.
    #[error(
        "another process has been opening the data file for {} s; it holds {}. Where it brings a large file to a new \
         format, start again later; where it is stopped, wake it or end it", waited.as_secs(), path.display()
    )]
    Gate {
        /// The lock.
        path: PathBuf,
        /// For how long it was waited for.
        waited: Duration,
    },
    /// An older version of Millstream runs on the file, which it could not read any more.
    #[error(
        "{} has format version {found} and is in use: stop the older millstream that runs on it, then \
         start again, which brings it to version {FORMAT}", path.display()
    )]
    InUse {
        /// The file.
        path: PathBuf,
        /// The version in it.
        found: i32,
    },
    /// An older file could not be taken over; it is as it was.
    #[error(
        "{} cannot be brought from format version {found} to {FORMAT}: {source}; it is as it was. Make room if \
         there is none, else run the version of millstream that wrote it until its queues are empty, then start \
         with a new data directory", path.display()
    )]
    Migration {
        /// The file.
        path: PathBuf,
        /// The version in it.
        found: i32,
        /// What SQLite says.
        source: Arc<rusqlite::Error>,
    },
    /// SQLite refused a statement, a commit or a read.
    #[error("database: {0}")]
    Sqlite(#[source] Arc<rusqlite::Error>),
    /// A statement of another write in the same group made SQLite undo the whole group.
    #[error("the group of writes was undone because one of them found no room or memory: try again")]
    Undone,
    /// The disk failed, so no later write is tried: what it holds is not known until the file is opened anew.
    #[error(
        "{} is not used any more after the disk failed ({source}): check the disk, then start again; what was \
         acknowledged is kept", path.display()
    )]
    Stopped {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: Arc<rusqlite::Error>,
    },
    /// Something is in the file that nobody of ours has written.
    #[error(
        "{} is damaged ({source}): nothing more is read from it or written to it; the lake is not concerned. Copy \
         the data directory away, then recover the file or begin with a new one, as docs/guarantees.md says",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Arc<rusqlite::Error>,
    },
    /// The writer has ended.
    #[error("the database is closed")]
    Closed,
}

impl DatabaseError {
    /// What a caller can do about it.
    pub fn class(&self) -> Class {
        match self {
            Self::Sqlite(error) => class(error),
            Self::Undone => Class::Retry,
            _ => Class::Fatal,
        }
    }
}

/// What to do about an error of the system, as the end of a sentence.
fn way_out(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            "; make it writable, or choose another data directory (data, or --data DIR)"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; make room, then start again",
        _ => "",
    }
}

/// The same of an error of SQLite.
fn way_out_of(error: &rusqlite::Error) -> &'static str {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "; another program holds it, such as a shell of sqlite3: end that, then start again"
        }
        _ if is_want_of_room(error) => way_out(io::ErrorKind::StorageFull),
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen) => way_out(io::ErrorKind::PermissionDenied),
        Some(ErrorCode::NotADatabase) => {
            "; choose another data directory, or recover the file as docs/guarantees.md says"
        }
        _ => "",
    }
}

/// Whether nothing failed but that there was no room: for the file or its log, or for the index of the log (`-shm`),
/// which SQLite calls a failed disk. A quota that is used up it does not tell from one.
pub(super) fn is_want_of_room(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| {
        error.code == ErrorCode::DiskFull || error.extended_code == ffi::SQLITE_IOERR_SHMSIZE
    })
}

fn class(error: &rusqlite::Error) -> Class {
    if is_want_of_room(error) {
        return Class::Retry;
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::OutOfMemory) => Class::Retry,
        Some(ErrorCode::TooBig) => Class::Dead,
        _ => Class::Fatal,
    }
}

impl From<rusqlite::Error> for DatabaseError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(Arc::new(error))
    }
}
