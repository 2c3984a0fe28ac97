//! JSON Schemas from local files, with what they refer to; the network is never asked.

use std::{
    collections::BTreeMap,
    error::Error,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use jsonschema::{
    PatternOptions, ReferencingError, Retrieve, Uri, ValidationError, Validator, error::ValidationErrorKind,
    json::Json,
};
use serde_json::Value;
use xxhash_rust::xxh3::Xxh3;

use super::plain::Plain;
use crate::refused::Against;

/// The JSON Schema (draft 2020-12) of the messages that `device-sim` sends.
pub const DEVICE_SIM_SCHEMA: &str = include_str!("device_sim.json");

/// The JSON Schema of SenML packs ([RFC 8428, section 5](https://www.rfc-editor.org/rfc/rfc8428#section-5)).
const SENML_SCHEMA: &str = include_str!("senml.json");

/// What names [`DEVICE_SIM_SCHEMA`] in a config.
const DEVICE_SIM: &str = "builtin:device_sim";

/// What names [`SENML_SCHEMA`].
const SENML: &str = "builtin:senml";

/// How far a regular expression of a schema may backtrack in one message before the message is
/// refused, so that no device can keep a worker busy with it.
const BACKTRACK_MAX: usize = 100_000;

/// Gives the text at an absolute path, or says why it cannot be had.
type ReadFile = dyn Fn(&str) -> Result<String, String> + Send + Sync;

/// Where schema files are. Reading them is left to the caller.
#[derive(Clone)]
pub struct Schemas {
    directory: String,
    read: Arc<ReadFile>,
}

/// A schema ready to check messages.
#[derive(Debug)]
pub(super) struct Schema {
    /// Its `$id`, or its name in the config when it has none; and its own `version` where that is a text or a number, or
    /// else the beginning of `hash`.
    pub(super) against: Against,
    /// Finds what is wrong with a message.
    pub(super) validator: Validator,
    /// Tells whether anything is wrong with a plain one.
    pub(super) plain: Validator<Plain>,
    /// Changes when the text of the schema, or of a file it refers to, does.
    pub(super) hash: u64,
}

impl Schemas {
    /// Schemas whose paths start from `directory`, an absolute path. `read` is called while the
    /// stage is built, for each file that the config or a `$ref` leads to.
    pub fn new(
        directory: impl Into<String>,
        read: impl Fn(&str) -> Result<String, String> + Send + Sync + 'static,
    ) -> Self {
        Self { directory: directory.into(), read: Arc::new(read) }
    }

    /// Reads and compiles the schema that the config calls `name`.
    pub(super) fn load(&self, name: &str) -> Result<Schema, String> {
        let path = self.path(name);
        let files = Files { read: self.read.clone(), beside: None, texts: Arc::default() };
        let document = match name {
            DEVICE_SIM => files.keep(&path, DEVICE_SIM_SCHEMA.to_owned()),
            SENML => files.keep(&path, SENML_SCHEMA.to_owned()),
            _ if name.starts_with("builtin:") => Err(format!("only {DEVICE_SIM} and {SENML} are built in")),
            _ => files.read(&path),
        };
        let document = document.map_err(|error| format!("cannot use the schema {name}: {error}"))?;
        let id = document.get("$id").and_then(Value::as_str);
        let files = Files { beside: id.and_then(|id| beside(id, &path)), ..files };
        let texts = files.texts.clone();
        let (path, explain) =
            (file_uri(&path), |error| format!("cannot use the schema {name}: {}", explain(&error)));
        let validator = build(&document, &path, files.clone()).map_err(explain)?;
        let plain = build(&document, &path, files).map_err(explain)?;
        let mut hash = Xxh3::new();
        for text in texts.lock().unwrap_or_else(PoisonError::into_inner).values() {
            hash.update(text.as_bytes());
            hash.update(&[0]);
        }
        let hash = hash.digest();
        let version = match document.get("version") {
            Some(Value::String(version)) => version.clone(),
            Some(Value::Number(version)) => version.to_string(),
            _ => format!("{:08x}", hash >> 32),
        };
        Ok(Schema { against: Against { id: id.unwrap_or(name).to_owned(), version }, validator, plain, hash })
    }

    fn path(&self, name: &str) -> String {
        match name.strip_prefix('/') {
            Some(_) => name.to_owned(),
            None => format!("{}/{name}", self.directory.trim_end_matches('/')),
        }
    }
}

/// Compiles a schema for one form of documents.
fn build<F: Json>(
    document: &Value,
    base: &str,
    files: Files,
) -> Result<Validator<F>, ValidationError<'static>> {
    jsonschema::options_for::<F>()
        .with_base_uri(base)
        .with_retriever(files)
        .should_validate_formats(true)
        .with_pattern_options(PatternOptions::fancy_regex().backtrack_limit(BACKTRACK_MAX))
        .build(document)
}

impl fmt::Debug for Schemas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schemas").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// Answers a `$ref` with a local file.
#[derive(Clone)]
struct Files {
    read: Arc<ReadFile>,
    beside: Option<Beside>,
    /// Every text by its path, in one order whatever asked for them first.
    texts: Arc<Mutex<BTreeMap<String, String>>>,
}

/// Where a schema says it is (`$id`), and where its file is: what a `$ref` finds beside the one is
/// looked for beside the other.
#[derive(Clone)]
struct Beside {
    uri: String,
    directory: String,
}

impl Files {
    /// What is in a file, read once: all that a schema is made of is of one time.
    fn read(&self, path: &str) -> Result<Value, String> {
        let known = self.texts.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned();
        let text = known
            .map_or_else(|| (self.read)(path), Ok)
            .map_err(|error| format!("cannot read {path}: {error}"))?;
        self.keep(path, text)
    }

    fn keep(&self, path: &str, text: String) -> Result<Value, String> {
        let document = serde_json::from_str(&text).map_err(|error| format!("{path} is not JSON: {error}"))?;
        self.texts.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), text);
        Ok(document)
    }
}

impl Retrieve for Files {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn Error + Send + Sync>> {
        if uri.scheme().as_str() == "file" {
            return Ok(self.read(&uri.path().decode().to_string_lossy())?);
        }
        let local = self.beside.as_ref().and_then(|beside| {
            uri.as_str().strip_prefix(&beside.uri).map(|name| format!("{}{name}", beside.directory))
        });
        match local {
            Some(path) => Ok(self.read(&path).map_err(|error| format!("its $ref leads to {uri}: {error}"))?),
            None => Err(format!(
                "its $ref leads to {uri}, and only local files are read: keep a copy of it beside the schema, \
                 and refer to that by its relative path"
            )
            .into()),
        }
    }
}

fn beside(id: &str, path: &str) -> Option<Beside> {
    let directory_of = |place: &str| place.rfind('/').map(|end| place[..=end].to_owned());
    id.contains("://").then_some(())?;
    Some(Beside { uri: directory_of(id)?, directory: directory_of(path)? })
}

/// [RFC 8089](https://www.rfc-editor.org/rfc/rfc8089): the bytes of the path, percent-encoded.
fn file_uri(path: &str) -> String {
    let mut uri = String::from("file://");
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => {
                uri.push(char::from(byte))
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

fn explain(error: &ValidationError<'_>) -> String {
    match (error.kind(), error.instance_path().as_str()) {
        (ValidationErrorKind::Referencing(ReferencingError::Unretrievable { source, .. }), _) => {
            source.to_string()
        }
        (_, "") => error.to_string(),
        (_, place) => format!("at {place}: {error}"),
    }
}
