//! The locks of a lake, between processes: each ends with its holder, however that dies.
//!
//! A file is linked into a partition only under the shared lock [`LINKS`]; a partition is exchanged only under the
//! exclusive one, by whoever has looked through it once more then. Nobody syncs under the latter, so it is held for milliseconds.

use std::{
    fs::{File, Permissions, TryLockError},
    io,
    os::unix::fs::PermissionsExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// The name of the lock of those who link.
pub(super) const LINKS: &str = "lock";

/// How long to wait before a lock is asked for again.
const POLL: Duration = Duration::from_millis(2);

/// A lock that is held; dropping it lets go.
#[derive(Debug)]
pub(super) struct Held {
    _file: Option<File>,
}

/// How a lock is asked for.
type Ask = fn(&File) -> Result<(), TryLockError>;

/// Takes part in the lock at `path`; none if that is not possible within `patience`. Blocks.
pub(super) fn shared(path: &Path, patience: Duration) -> io::Result<Option<Held>> {
    match acquire(path, File::try_lock_shared, patience) {
        // Then nobody can lock it exclusively either.
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(Some(Held { _file: None })),
        held => Ok(held?.map(|file| Held { _file: Some(file) })),
    }
}

/// Takes the lock at `path` alone; none if that is not possible within `patience`. Blocks.
pub(super) fn exclusive(path: &Path, patience: Duration) -> io::Result<Option<Held>> {
    Ok(acquire(path, File::try_lock, patience)?.map(|file| Held { _file: Some(file) }))
}

fn acquire(path: &Path, ask: Ask, patience: Duration) -> io::Result<Option<File>> {
    // Opened each time: who cleans up may have removed the one of the last time.
    let file = open(path)?;
    let deadline = Instant::now() + patience;
    loop {
        match ask(&file) {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => return Ok(None),
            Err(TryLockError::WouldBlock) => thread::sleep(POLL),
        }
    }
}

/// The file at `path`, to be locked. Whoever makes it, and with which umask: a lock needs no more than the right to read,
/// and the next one may be another user's.
pub(super) fn open(path: &Path) -> io::Result<File> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        opened => return opened,
    }
    match File::create_new(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => File::open(path),
        made => {
            let made = made?;
            made.set_permissions(Permissions::from_mode(0o644))?;
            Ok(made)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_share_a_lock_and_one_has_it_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(LINKS);
        let ask =
            |lock: fn(&Path, Duration) -> io::Result<Option<Held>>| lock(&path, Duration::ZERO).unwrap();
        let (one, another) = (ask(shared), ask(shared));
        assert!(one.is_some() && another.is_some());
        assert!(ask(exclusive).is_none());
        drop((one, another));
        let alone = ask(exclusive);
        assert!(alone.is_some());
        assert!(ask(shared).is_none() && ask(exclusive).is_none());
    }

    #[test]
    fn a_lock_that_one_user_makes_another_can_take() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(LINKS);
        let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
        let held = exclusive(&path, Duration::ZERO).unwrap();
        rustix::process::umask(before);
        assert!(held.is_some());
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o644);
    }
}
