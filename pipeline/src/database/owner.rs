//! Who holds leases: each open handle registers as an owner with a locked file, `owners/ID.lock`.
//!
//! The system drops the lock when a process dies, however it dies, so whoever can lock the file knows
//! that its owner is gone. Ids are never used again.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use super::{DatabaseError, open::io_error};

/// Names a registration for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(pub(crate) u32);

/// A live registration: its file stays locked while it is held.
pub(crate) struct Registration {
    owner: Owner,
    directory: PathBuf,
    /// `None` of who only reads, and holds nothing.
    lock: Option<File>,
}

impl Registration {
    /// Registers `owner`, and removes the files of those that are dead. Only under the lock that
    /// serialises opening: a file is unlocked for a moment between its creation and its locking.
    pub(super) fn new(directory: &Path, owner: Owner) -> Result<Self, DatabaseError> {
        let path = lock_file(directory, owner);
        remove_dead(directory).map_err(io_error(directory, "remove the locks of ended processes in"))?;
        let lock = File::create(&path).map_err(io_error(&path, "create"))?;
        lock.try_lock().map_err(io::Error::from).map_err(io_error(&path, "lock"))?;
        Ok(Self { owner, directory: directory.into(), lock: Some(lock) })
    }

    /// Of a process that only reads: nobody sees it.
    pub(super) fn of_reader(directory: &Path) -> Self {
        Self { owner: Owner(0), directory: directory.into(), lock: None }
    }

    pub(crate) fn owner(&self) -> Owner {
        self.owner
    }

    /// Whether another owner is gone, so that nothing it held will ever be settled. In doubt it lives.
    pub(crate) fn is_dead(&self, owner: Owner) -> bool {
        owner != self.owner && is_dead(&lock_file(&self.directory, owner))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if self.lock.is_some() {
            // What cannot be removed now is removed by the next one to open.
            let _removed = fs::remove_file(lock_file(&self.directory, self.owner));
        }
    }
}

fn lock_file(directory: &Path, owner: Owner) -> PathBuf {
    directory.join(format!("{}.lock", owner.0))
}

fn remove_dead(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "lock") && is_dead(&path) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Whether there is any owner who lives.
pub(super) fn is_any_alive(directory: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "lock") && !is_dead(&path) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_dead(lock: &Path) -> bool {
    match File::open(lock) {
        Ok(file) => !matches!(file.try_lock(), Err(TryLockError::WouldBlock | TryLockError::Error(_))),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}
