//! What no handle of a file gets over: a disk that failed, and damage. From then on nothing is tried any more.

use std::{
    error::Error,
    path::{Path, PathBuf},
    sync::Arc,
};

use rusqlite::{Error as SqliteError, ErrorCode};
use tokio::sync::watch;

use super::{DatabaseError, error::is_want_of_room};

/// Whether the file can still be used, for all handles of this process.
pub(super) struct Trouble {
    path: PathBuf,
    found: watch::Sender<Option<DatabaseError>>,
}

impl Trouble {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.into(), found: watch::Sender::new(None) }
    }

    /// Why the file is not used any more.
    pub(super) fn found(&self) -> Option<DatabaseError> {
        self.found.borrow().clone()
    }

    /// Looks at what a write or a read came to; where it tells of trouble, this is what is answered instead.
    pub(super) fn look<E: From<DatabaseError> + Error + 'static>(&self, error: E) -> E {
        match cause(&error).and_then(|cause| self.kind(cause)) {
            Some(trouble) => self.note(trouble).into(),
            None => error,
        }
    }

    /// From now on the file is not used any more, if `error` tells of a reason.
    pub(super) fn look_at(&self, error: &DatabaseError) {
        if let DatabaseError::Sqlite(cause) = error
            && let Some(trouble) = self.kind(cause)
        {
            self.note(trouble);
        }
    }

    /// From now on the file is not used any more, whatever it was that failed.
    pub(super) fn stop(&self, source: Arc<SqliteError>) {
        self.note(DatabaseError::Stopped { path: self.path.clone(), source });
    }

    /// Waits until there is trouble.
    pub(super) async fn wait(&self) -> DatabaseError {
        let mut found = self.found.subscribe();
        match found.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(error)) => error.clone(),
            _ => DatabaseError::Closed,
        }
    }

    fn kind(&self, cause: &Arc<SqliteError>) -> Option<DatabaseError> {
        let (path, source) = (self.path.clone(), Arc::clone(cause));
        match cause.sqlite_error_code() {
            _ if is_want_of_room(cause) => None,
            Some(ErrorCode::SystemIoFailure) => Some(DatabaseError::Stopped { path, source }),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Some(DatabaseError::Damaged { path, source })
            }
            _ if is_no_value_of_ours(cause) => Some(DatabaseError::Damaged { path, source }),
            _ => None,
        }
    }

    /// Says it the first time; the first trouble is the one.
    fn note(&self, trouble: DatabaseError) -> DatabaseError {
        let is_first = self.found.send_if_modified(|found| {
            let is_first = found.is_none();
            if is_first {
                *found = Some(trouble.clone());
            }
            is_first
        });
        if is_first {
            tracing::error!(error = %trouble, "the database stops");
        }
        self.found().unwrap_or(trouble)
    }
}

/// Values of kinds that our tables never hold.
fn is_no_value_of_ours(error: &SqliteError) -> bool {
    matches!(
        error,
        SqliteError::InvalidColumnType(..)
            | SqliteError::FromSqlConversionFailure(..)
            | SqliteError::IntegralValueOutOfRange(..)
            | SqliteError::Utf8Error(..)
    )
}

/// What SQLite said, wherever in the chain that is.
fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Arc<SqliteError>> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(cause) = error.downcast_ref() {
            return Some(cause);
        }
        next = error.source();
    }
    None
}
