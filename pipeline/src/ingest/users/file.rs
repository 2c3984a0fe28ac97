//! The file of users: who may log in, and the hash of each one's password.

use std::{
    collections::HashMap,
    fs::{File, Metadata},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use argon2::{
    Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version,
    password_hash::Error as HashError,
};

/// How large a file of users may be: several hundred thousand of them.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// The memory that one password may take to be checked, in KiB, whatever its hash asks for.
const HASH_KIB_MAX: u32 = 1 << 20;

/// The users of a file, each with a hash in the
/// [PHC format](https://github.com/P-H-C/phc-string-format/blob/master/phc-sf-spec.md).
#[derive(Debug, Default)]
pub struct UserList {
    hashes: HashMap<String, String>,
}

/// Why there are no users.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// The file cannot be read.
    #[error("cannot read the users in {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A line is no user.
    #[error("{}:{line}: {what}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// What is wrong with it, and the way out.
        what: String,
    },
}

/// What tells whether a file is the one that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: Option<SystemTime>,
    size: u64,
    inode: u64,
}

impl Stamp {
    /// That of the file at `path`; none when there is none.
    pub(super) fn of(path: &Path) -> Option<Self> {
        Some(Self::from(&path.metadata().ok()?))
    }
}

impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        Self { modified: metadata.modified().ok(), size: metadata.len(), inode: metadata.ino() }
    }
}

impl UserList {
    /// Reads a file of lines `user:hash`, and of others that are empty or begin with `#`.
    ///
    /// # Errors
    /// When it cannot be read, or which line is something else.
    pub fn read(path: &Path) -> Result<Self, UsersError> {
        let text = read(path).map_err(|source| UsersError::Unreadable { path: path.to_owned(), source })?;
        let mut hashes = HashMap::new();
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let entry =
                entry(line).and_then(|(user, hash)| match hashes.insert(user.to_owned(), hash.to_owned()) {
                    Some(_) => Err(format!("the user {user:?} is there twice; remove one of the lines")),
                    None => Ok(()),
                });
            entry.map_err(|what| UsersError::Line { path: path.to_owned(), line: index + 1, what })?;
        }
        Ok(Self { hashes })
    }

    /// The hash of a user's password.
    pub(super) fn hash(&self, user: &str) -> Option<&str> {
        self.hashes.get(user).map(String::as_str)
    }

    /// A hash to check the password of nobody by, so that it takes as long as that of somebody.
    pub(super) fn any_hash(&self) -> Option<&str> {
        self.hashes.values().next().map(String::as_str)
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}

/// The user and the hash of a line. A hash holds no colon, a user may.
fn entry(line: &str) -> Result<(&str, &str), String> {
    let (user, hash) = line.trim_end().rsplit_once(':').ok_or("expected user:hash")?;
    check_name(user)?;
    let unusable = |why: String| {
        format!("the hash of {user:?} cannot be used: {why}; `millstream passwd` makes one by Argon2id")
    };
    let parsed = PasswordHash::new(hash).map_err(|error| unusable(error.to_string()))?;
    if parsed.algorithm != argon2::ARGON2ID_IDENT {
        return Err(unusable(format!("it is one by {}", parsed.algorithm)));
    }
    if parsed.salt.is_none() || parsed.hash.is_none() {
        return Err(unusable("it is not whole".to_owned()));
    }
    let params = Params::try_from(&parsed).map_err(|error| unusable(error.to_string()))?;
    if params.m_cost() > HASH_KIB_MAX {
        return Err(unusable(format!("it asks for more than {HASH_KIB_MAX} KiB of memory")));
    }
    Ok((user, hash))
}

/// Whether `user` can stand in a file.
///
/// # Errors
/// Why not.
pub fn check_name(user: &str) -> Result<(), String> {
    if user.is_empty() {
        Err("the name of the user is empty".to_owned())
    } else if user.starts_with('#') {
        Err(format!("the user {user:?} would be a comment: names do not begin with #"))
    } else if user.chars().any(char::is_control) {
        Err(format!("the user {user:?} has a control character"))
    } else {
        Ok(())
    }
}

/// The hash to write down for a password: Argon2id with 19 MiB, two passes and one lane, the first choice of the
/// [OWASP Password Storage Cheat Sheet](https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html),
/// and a random salt.
///
/// # Errors
/// When the system has no random bytes or no memory.
pub fn hash_password(password: &[u8]) -> Result<String, HashError> {
    let params = Params::new(19 * 1024, 2, 1, None).map_err(HashError::from)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    Ok(argon2.hash_password(password)?.to_string())
}

/// Whether a hash is that of a password. Takes tens of milliseconds and the memory that the hash names, by intent.
pub(super) fn is_password(hash: &str, password: &[u8]) -> bool {
    // The parameters are those of the hash.
    PasswordHash::new(hash).is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok())
}
