//! Who may log in, and whether it is them.

mod file;

use std::{
    collections::HashSet,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::available_parallelism,
    time::{Duration, Instant},
};

use ring::{
    hmac::{self, HMAC_SHA256},
    rand::SystemRandom,
};
use tokio::{sync::Semaphore, task::spawn_blocking};

use self::file::{Stamp, is_password};
pub use self::file::{UserList, UsersError, check_name, hash_password};

/// How often the file is looked at, at the most.
const LOOK: Duration = Duration::from_secs(1);

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stranger {
    /// Nobody has this name.
    User,
    /// Somebody has, and another password.
    Password,
}

/// The users of a file, which is read again when it changes.
///
/// Checking a password is slow and takes memory, by intent; few are checked at once, and the others wait. Those that
/// were right are remembered, so that a fleet that reconnects is let in at once.
pub(super) struct Users {
    path: PathBuf,
    current: Mutex<Current>,
    /// Log-ins that were right. What is kept of one is an HMAC by a key of this process; it covers the hash of the
    /// file, so that a password that was changed there is not right any more.
    known: Mutex<HashSet<[u8; 32]>>,
    known_max: usize,
    key: hmac::Key,
    checks: Arc<Semaphore>,
}

struct Current {
    list: Arc<UserList>,
    stamp: Option<Stamp>,
    looked_at: Instant,
}

impl Users {
    /// Reads the file; at most `known_max` log-ins are remembered.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn open(path: PathBuf, known_max: usize) -> Result<Self, UsersError> {
        // Before it is read: if it changes meanwhile, it is read again.
        let stamp = Stamp::of(&path);
        let list = Arc::new(UserList::read(&path)?);
        let no_random = |_unspecified| UsersError::Unreadable {
            path: path.clone(),
            source: std::io::Error::other("the system has no random bytes"),
        };
        let key = hmac::Key::generate(HMAC_SHA256, &SystemRandom::new()).map_err(no_random)?;
        // Half of the cores go on with the messages of those who are in.
        let checks = available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
        Ok(Self {
            path,
            current: Mutex::new(Current { list, stamp, looked_at: Instant::now() }),
            known: Mutex::default(),
            known_max,
            key,
            checks: Arc::new(Semaphore::new(checks)),
        })
    }

    /// Whether `password` is that of `user`. It takes as long to say that there is no such user.
    ///
    /// # Errors
    /// What is wrong.
    pub(super) async fn check(self: &Arc<Self>, user: &str, password: &[u8]) -> Result<(), Stranger> {
        let list = self.list().await;
        let proof = list.hash(user).map(|hash| self.proof(user, hash, password));
        if proof.is_some_and(|proof| self.knows(&proof)) {
            return Ok(());
        }
        // It is never closed.
        let permit = Arc::clone(&self.checks).acquire_owned().await;
        // The same log-in may have waited before this one.
        if proof.is_some_and(|proof| self.knows(&proof)) {
            return Ok(());
        }
        let hash = list.hash(user).or_else(|| list.any_hash()).map(str::to_owned);
        let password = password.to_vec();
        let checked = spawn_blocking(move || {
            // Given back when the work is done, also if nobody waits for it any more.
            let _permit = permit;
            hash.is_some_and(|hash| is_password(&hash, &password))
        });
        let right = checked.await.unwrap_or(false);
        match proof {
            None => Err(Stranger::User),
            Some(proof) if right => {
                self.remember(proof);
                Ok(())
            }
            Some(_) => Err(Stranger::Password),
        }
    }

    /// The users of the file as it is now, or was not long ago.
    async fn list(self: &Arc<Self>) -> Arc<UserList> {
        {
            let mut current = lock(&self.current);
            if current.looked_at.elapsed() < LOOK {
                return Arc::clone(&current.list);
            }
            current.looked_at = Instant::now();
        }
        let users = Arc::clone(self);
        // If that fails by a bug, the users are those of before.
        let _looked = spawn_blocking(move || users.look()).await;
        Arc::clone(&lock(&self.current).list)
    }

    /// Reads the file again if it is another. If that cannot be used, it is said once.
    fn look(&self) {
        let stamp = Stamp::of(&self.path);
        if lock(&self.current).stamp == stamp {
            return;
        }
        let read = UserList::read(&self.path);
        let mut current = lock(&self.current);
        current.stamp = stamp;
        match read {
            Ok(list) => {
                current.list = Arc::new(list);
                tracing::info!(users_file = %self.path.display(), "read the users again");
            }
            Err(error) => {
                tracing::error!(%error, "kept the users of before: their file cannot be used any more")
            }
        }
    }

    fn proof(&self, user: &str, hash: &str, password: &[u8]) -> [u8; 32] {
        let mut proof = hmac::Context::with_key(&self.key);
        // Neither of the first two can hold what ends it.
        for part in [user.as_bytes(), b"\n", hash.as_bytes(), b"\n", password] {
            proof.update(part);
        }
        let mut bytes = [0; 32];
        bytes.copy_from_slice(proof.sign().as_ref());
        bytes
    }

    /// Looking one up takes a time that says nothing: nobody can choose an HMAC without the key.
    fn knows(&self, proof: &[u8; 32]) -> bool {
        lock(&self.known).contains(proof)
    }

    fn remember(&self, proof: [u8; 32]) {
        let mut known = lock(&self.known);
        if known.len() >= self.known_max {
            known.clear();
        }
        known.insert(proof);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
