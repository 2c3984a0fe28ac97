//! Secrets stand in files and in the environment, never in the topology.

use std::{
    env, fmt,
    path::{Path, PathBuf},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{finding::Finding, read_file};

/// Where a secret is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Secret {
    /// In this file, without the line break at its end; the path is relative to the folder of the topology file.
    File(PathBuf),
    /// In this variable of the environment.
    Env(String),
}

/// What a [`Secret`] says; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(String);

impl SecretText {
    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(…)")
    }
}

impl Secret {
    /// Reads it; `folder` is that of the topology file.
    ///
    /// # Errors
    /// What is wrong with which file or variable.
    pub fn read(&self, folder: &Path) -> Result<SecretText, String> {
        let text = match self {
            Self::File(path) => {
                let path = folder.join(path);
                let text = read_file(&path);
                text.map_err(|error| format!("cannot read the secret in {}: {error}", path.display()))?
            }
            Self::Env(name) => env::var(name).map_err(|_| {
                format!("the environment variable {name} with the secret is not set, or no UTF-8")
            })?,
        };
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.is_empty() { Err(format!("{self} is empty")) } else { Ok(SecretText(text.to_owned())) }
    }

    /// What to think about when it cannot be read here, where a topology may only be checked.
    pub(super) fn warning(&self, pointer: &str, folder: &Path) -> Option<Finding> {
        self.read(folder).err().map(|text| Finding::of_value(pointer, text))
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "the secret in {}", path.display()),
            Self::Env(name) => write!(f, "the secret in the environment variable {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_a_file_has_no_line_break_and_is_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("password"), "swordfish\n").unwrap();
        let secret = Secret::File("password".into()).read(folder.path()).unwrap();
        assert_eq!(secret.reveal(), "swordfish");
        assert!(!format!("{secret:?}").contains("swordfish"));
    }

    #[test]
    fn a_secret_that_is_not_there_is_named() {
        let folder = Path::new("/nowhere");
        let error = Secret::File("password".into()).read(folder).unwrap_err();
        assert!(error.contains("/nowhere/password"), "{error}");
        let error = Secret::Env("MILLSTREAM_TEST_UNSET".into()).read(folder).unwrap_err();
        assert!(error.contains("MILLSTREAM_TEST_UNSET"), "{error}");
    }
}
