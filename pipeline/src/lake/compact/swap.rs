//! How a partition gets other files while anybody may read it: its directory is exchanged, as a whole.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::{self, File},
    io,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};
use tempfile::TempDir;

use super::{
    super::{LakeError, directory::Directory, lock},
    listing::Listing,
};
use crate::failpoint::fail_point;

/// What the names of directories in staging begin with that are, or were, to be exchanged.
pub(super) const PREFIX: &str = "compact-";

/// How long to wait for those who link files.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often to take in what came while the last that came was synced.
const ROUNDS_MAX: usize = 8;

/// The directory that is to take a partition's place. Dropping it removes it.
pub(super) struct Swap<'a> {
    lake: &'a Directory,
    partition: PathBuf,
    /// What the partition held when it was listed.
    listing: &'a Listing,
    directory: TempDir,
    merged: BTreeSet<&'a OsStr>,
}

/// What came of a swap.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Swapped {
    /// The partition has its new files.
    Done,
    /// Somebody else took or put something there, or kept the lock: nothing has changed.
    NotNow,
}

impl<'a> Swap<'a> {
    /// An empty directory out of sight, on the way to take the place of `partition`. Fails where it could not take it
    /// later: before anything is merged.
    pub(super) fn new(
        lake: &'a Directory,
        partition: PathBuf,
        listing: &'a Listing,
    ) -> Result<Self, LakeError> {
        let staging = lake.staging();
        let directory = tempfile::Builder::new().prefix(PREFIX).tempdir_in(&staging);
        let directory = directory.map_err(LakeError::io("make a directory in", &staging))?;
        let swap = Self { lake, partition, listing, directory, merged: BTreeSet::new() };
        let old = fs::metadata(&swap.partition).map_err(LakeError::io("look at", &swap.partition))?;
        take_owner(swap.directory.path(), &old)?;
        if let Some(name) = listing.0.keys().next()
            && swap.link(name)?
        {
            swap.remove(name)?;
        }
        Ok(swap)
    }

    /// A new file in it, which looks like the one called `first`.
    pub(super) fn create(&self, name: &str, first: &str) -> Result<File, LakeError> {
        let (path, old) = (self.directory.path().join(name), self.partition.join(first));
        let file = File::create_new(&path).map_err(LakeError::io("create", &path))?;
        let old = fs::metadata(&old).map_err(LakeError::io("look at", &old))?;
        resemble(&path, &old)?;
        Ok(file)
    }

    /// Takes a file away that it was to get.
    pub(super) fn remove(&self, name: impl AsRef<Path>) -> Result<(), LakeError> {
        let path = self.directory.path().join(name);
        fs::remove_file(&path).map_err(LakeError::io("remove", &path))
    }

    /// Puts a complete file in the place of those called `merged`. Answers its size.
    pub(super) fn put(&mut self, file: &File, name: &str, merged: &[&'a str]) -> Result<u64, LakeError> {
        let path = self.directory.path().join(name);
        file.sync_all().map_err(LakeError::io("sync", &path))?;
        self.merged.extend(merged.iter().map(|name| OsStr::new(*name)));
        Ok(file.metadata().map_err(LakeError::io("look at", &path))?.len())
    }

    /// Exchanges the directories. Afterwards the old one is in staging, for whoever is reading its list just now.
    pub(super) fn exchange(self) -> Result<Swapped, LakeError> {
        let new = self.directory.path();
        for name in self.listing.0.keys().filter(|name| !self.merged.contains(name.as_os_str())) {
            if !self.link(name)? {
                return Ok(Swapped::NotNow);
            }
        }
        fail_point!("compact_link");
        let old = fs::metadata(&self.partition).map_err(LakeError::io("look at", &self.partition))?;
        resemble(new, &old)?;
        sync(new)?;
        let lock = self.lake.staging().join(lock::LINKS);
        let mut taken = self.listing.clone();
        for _ in 0..ROUNDS_MAX {
            if !self.catch_up(&mut taken)? {
                return Ok(Swapped::NotNow);
            }
            let held = lock::exclusive(&lock, PATIENCE).map_err(LakeError::io("lock", &lock))?;
            if held.is_none() {
                return Ok(Swapped::NotNow);
            }
            if Listing::of(&self.partition)?.as_ref() != Some(&taken) {
                continue;
            }
            fail_point!("compact_exchange_before");
            exchange(new, &self.partition)?;
            fail_point!("compact_exchange_after");
            drop(held);
            return self.keep_old();
        }
        Ok(Swapped::NotNow)
    }

    /// Makes the exchange last. The old directory stays for a while.
    fn keep_old(self) -> Result<Swapped, LakeError> {
        let _old = self.directory.keep();
        if let Some(above) = self.partition.parent() {
            sync(above)?;
        }
        sync(&self.lake.staging())?;
        Ok(Swapped::Done)
    }

    /// Takes in what has come to the partition since it held `taken`. False if anything else has changed: what was merged
    /// may be gone by somebody's wish.
    fn catch_up(&self, taken: &mut Listing) -> Result<bool, LakeError> {
        let Some(now) = Listing::of(&self.partition)? else { return Ok(false) };
        if taken.0.iter().any(|(name, entry)| now.0.get(name) != Some(entry)) {
            return Ok(false);
        }
        let mut come = now.0.keys().filter(|name| !taken.0.contains_key(*name)).peekable();
        if come.peek().is_none() {
            return Ok(true);
        }
        for name in come {
            if !self.link(name)? {
                return Ok(false);
            }
        }
        sync(self.directory.path())?;
        *taken = now;
        Ok(true)
    }

    /// Takes a file of the partition over as it is. False if it is gone.
    fn link(&self, name: &OsStr) -> Result<bool, LakeError> {
        let (from, to) = (self.partition.join(name), self.directory.path().join(name));
        match fs::hard_link(&from, &to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            linked => linked.map(|()| true).map_err(LakeError::io("link", &from)),
        }
    }
}

/// Exchanges two directories in one step.
fn exchange(new: &Path, partition: &Path) -> Result<(), LakeError> {
    match renameat_with(CWD, new, CWD, partition, RenameFlags::EXCHANGE) {
        Err(errno @ (Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP)) => {
            Err(LakeError::Exchange { path: partition.display().to_string(), source: errno.into() })
        }
        exchanged => exchanged.map_err(io::Error::from).map_err(LakeError::io("exchange", partition)),
    }
}

/// Gives `path` the permissions and the owner of what it stands for.
fn resemble(path: &Path, old: &fs::Metadata) -> Result<(), LakeError> {
    take_owner(path, old)?;
    // A change of the owner may take bits away.
    let permissions = fs::Permissions::from_mode(old.mode() & 0o7777);
    fs::set_permissions(path, permissions).map_err(LakeError::io("set the permissions of", path))
}

fn take_owner(path: &Path, old: &fs::Metadata) -> Result<(), LakeError> {
    let made = fs::metadata(path).map_err(LakeError::io("look at", path))?;
    if (made.uid(), made.gid()) == (old.uid(), old.gid()) {
        return Ok(());
    }
    chown(path, Some(old.uid()), Some(old.gid())).map_err(LakeError::io("give to its owner", path))
}

fn sync(directory: &Path) -> Result<(), LakeError> {
    let synced = File::open(directory).and_then(|opened| opened.sync_all());
    synced.map_err(LakeError::io("sync", directory))
}
