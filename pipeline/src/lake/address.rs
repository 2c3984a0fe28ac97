//! Where a lake is, as a topology says it.

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// Where a lake is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LakeAddress {
    /// In a local directory.
    Directory(PathBuf),
    /// In an object store.
    Bucket(Bucket),
}

/// A place in an object store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    pub(super) service: Service,
    pub(super) name: String,
    /// What the names of all objects of the lake begin with, without slashes around it; may be empty.
    pub(super) prefix: String,
    /// A URL that stands in for the service's own.
    pub(super) endpoint: Option<String>,
}

/// Whose object store it is, or whose protocol it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    S3,
    GoogleCloud,
    Azure,
}

impl Service {
    const ALL: [Self; 3] = [Self::S3, Self::GoogleCloud, Self::Azure];

    fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::GoogleCloud => "gs",
            Self::Azure => "az",
        }
    }
}

impl LakeAddress {
    /// Reads what `store.lake` says; paths are relative to `folder`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Ok(Self::Directory(folder.join(text).components().collect()));
        };
        let Some(service) = Service::ALL.into_iter().find(|service| service.scheme() == scheme) else {
            return Err(format!(
                "{text} is no place for a lake: expected a directory, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or \
                 az://CONTAINER/PREFIX"
            ));
        };
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_end_matches('/');
        let is_plain = |char: char| char.is_ascii_alphanumeric() || "-_.=".contains(char);
        if name.is_empty() || !name.chars().all(is_plain) {
            return Err(format!("{text} names no bucket; write it as {scheme}://BUCKET/PREFIX"));
        }
        let is_segment = |segment: &str| !["", ".", ".."].contains(&segment) && segment.chars().all(is_plain);
        if !prefix.is_empty() && !prefix.split('/').all(is_segment) {
            return Err(format!(
                "{prefix} cannot be what names of objects begin with: parts of letters, digits, '-', '_', '.' and '=', \
                 with one slash between them"
            ));
        }
        Ok(Self::Bucket(Bucket { service, name: name.to_owned(), prefix: prefix.to_owned(), endpoint: None }))
    }

    /// The same with a URL that stands in for the service's own.
    ///
    /// # Errors
    /// When it is none, or a directory has no service.
    pub fn at_endpoint(self, endpoint: &str) -> Result<Self, String> {
        let Self::Bucket(bucket) = self else {
            return Err("is for lakes in an object store; this one is in a directory".to_owned());
        };
        let host = endpoint.strip_prefix("http://").or_else(|| endpoint.strip_prefix("https://"));
        if host.is_none_or(str::is_empty) {
            return Err(format!("{endpoint} is no URL; write it as https://HOST or http://HOST:PORT"));
        }
        Ok(Self::Bucket(Bucket { endpoint: Some(endpoint.trim_end_matches('/').to_owned()), ..bucket }))
    }

    /// The directory, if it is in one.
    pub fn directory(&self) -> Option<&Path> {
        match self {
            Self::Directory(path) => Some(path),
            Self::Bucket(_) => None,
        }
    }
}

impl fmt::Display for LakeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => path.display().fmt(f),
            Self::Bucket(bucket) => bucket.fmt(f),
        }
    }
}

/// As it is written in a topology.
impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, name, prefix, .. } = self;
        write!(f, "{}://{name}", service.scheme())?;
        if prefix.is_empty() { Ok(()) } else { write!(f, "/{prefix}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<LakeAddress, String> {
        LakeAddress::parse(text, Path::new("/etc/millstream"))
    }

    #[test]
    fn a_lake_is_in_a_directory_or_in_a_bucket() {
        let path = |text: &str| read(text).unwrap().directory().map(Path::to_owned);
        assert_eq!(path("lake/./here"), Some("/etc/millstream/lake/here".into()));
        assert_eq!(path("/lake"), Some("/lake".into()));
        for text in ["s3://bucket", "s3://bucket/a/b=c", "gs://bucket/lake", "az://container/lake"] {
            assert_eq!(path(text), None);
            assert_eq!(read(text).unwrap().to_string(), text);
        }
        assert_eq!(read("s3://bucket/lake/").unwrap(), read("s3://bucket/lake").unwrap());
    }

    #[test]
    fn what_is_no_place_is_told() {
        for (text, expected) in [
            ("http://bucket/lake", "expected a directory, s3://BUCKET/PREFIX"),
            ("s3:///lake", "names no bucket"),
            ("s3://buck et/lake", "names no bucket"),
            ("s3://bucket/a//b", "cannot be what names of objects begin with"),
            ("s3://bucket/../b", "cannot be what names of objects begin with"),
            ("s3://bucket/a*", "cannot be what names of objects begin with"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn only_an_object_store_has_an_endpoint() {
        let at = |text: &str, endpoint: &str| read(text).unwrap().at_endpoint(endpoint);
        let LakeAddress::Bucket(bucket) = at("s3://bucket", "http://localhost:9000/").unwrap() else {
            panic!()
        };
        assert_eq!(bucket.endpoint.as_deref(), Some("http://localhost:9000"));
        assert!(at("s3://bucket", "localhost:9000").unwrap_err().contains("is no URL"));
        assert!(at("lake", "http://localhost:9000").unwrap_err().contains("in a directory"));
    }
}
