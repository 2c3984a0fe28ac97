//! The topology file: what it may say, what is wrong with one, and what the rest of the program takes from it.
//!
//! A file is read in four steps, and the mistakes of all of them are shown at once, each with its line:
//! YAML with places (`yaml`), held against a JSON Schema made from the types of [`Topology`] (`shape`), read into
//! these types, and checked for sense (`sense`). Schema files and device tables are read in `files`, since stages
//! touch no file.

mod errors;
mod files;
mod finding;
mod groups;
mod options;
mod pointer;
mod prune;
mod secret;
mod sense;
mod shape;
mod subscriber;
#[cfg(test)]
mod tests;
mod topology;
mod words;
mod yaml;

use std::{
    env, io,
    net::SocketAddr,
    path::{Path, PathBuf, absolute},
    sync::Arc,
};

use crate::{
    ingest::{Door, Scheme},
    lake::LakeAddress,
};

pub use self::{
    errors::{ConfigErrors, Mistake},
    files::Files,
    groups::GroupStage,
    secret::{Secret, SecretText},
    sense::Stages,
    subscriber::{SubscriberConfig, SubscriberTls, Version},
    topology::{
        CompactConfig, ConsoleConfig, DynamoDbConfig, Engine, IngestConfig, Listen, ListenerConfig,
        QueuesConfig, SqsConfig, StateConfig, StoreConfig, TlsConfig, Topology,
    },
    yaml::Place,
};
use self::{files::read_file, finding::Finding, prune::Pruned, yaml::Node};

/// The config without a file, with every key and its default; also what a user copies to start from.
pub const DEFAULT: &str = include_str!("config/default.yaml");

/// What stands for the file's name in messages about [`DEFAULT`].
const DEFAULT_NAME: &str = "default.yaml (built in)";
/// The name of a process that is given none.
const WORKER: &str = "1";

/// A topology without mistakes, and the stages built from it.
#[derive(Debug)]
pub struct Config {
    topology: Topology,
    stages: Stages,
    files: Arc<Files>,
    data: PathBuf,
    lake: LakeAddress,
    warnings: Vec<Mistake>,
    /// The folder of the file.
    folder: PathBuf,
    /// Whether there is an endpoint for devices.
    listens: bool,
    /// What tells this process from others with the same topology.
    worker: String,
}

/// What the command line says instead of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Where the listener listens.
    pub listen: Option<SocketAddr>,
    /// Where the console listens.
    pub console: Option<SocketAddr>,
    /// The data directory, relative to the working directory; a lake in a directory is then `lake` in it.
    pub data: Option<PathBuf>,
    /// What tells this process from others that subscribe with the same topology.
    pub worker: Option<String>,
}

impl Config {
    /// Reads the file at `path`, or [`DEFAULT`]. Paths in a file are relative to its folder, those of the default
    /// to the working directory.
    ///
    /// # Errors
    /// Every mistake of the file.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigErrors> {
        let unreadable = |path: &Path, error: io::Error| {
            let name = path.display().to_string();
            ConfigErrors::of_file(&name, format!("cannot read the config: {error}"))
        };
        match path {
            None => {
                let folder = env::current_dir().map_err(|error| unreadable(Path::new("."), error))?;
                Self::read(DEFAULT_NAME, DEFAULT, &folder)
            }
            Some(path) => {
                let text = read_file(path).map_err(|error| unreadable(path, error))?;
                let file = absolute(path).map_err(|error| unreadable(path, error))?;
                Self::read(&path.display().to_string(), &text, file.parent().unwrap_or(&file))
            }
        }
    }

    /// Reads `text`, called `name` in messages, with paths relative to the absolute path `folder`.
    fn read(name: &str, text: &str, folder: &Path) -> Result<Self, ConfigErrors> {
        let node = Node::read(text).map_err(|misreads| ConfigErrors::of_text(name, misreads))?;
        let errors = |mistakes, warnings| ConfigErrors::of_findings(name, &node, mistakes, warnings);
        let (pruned, mut mistakes) = Pruned::of(node.value(), &shape::json_schema());
        let topology: Topology = match serde_json::from_value(pruned.value().clone()) {
            Ok(topology) => topology,
            Err(error) => {
                mistakes.push(Finding::of_value("", format!("cannot be read: {error}")));
                return Err(errors(mistakes, Vec::new()));
            }
        };
        let sense = sense::check(&topology, &pruned, folder);
        mistakes.extend(pruned.restore(sense.mistakes));
        let warnings = pruned.restore(sense.warnings);
        match sense.stages {
            Some(stages) if mistakes.is_empty() => {
                let data = resolved(folder, &topology.data);
                let lake = sense::address(&topology.store, folder).ok().flatten();
                let lake = lake.unwrap_or_else(|| LakeAddress::Directory(data.join("lake")));
                // Who reads from a broker seldom wants an endpoint beside it.
                let listens = topology.ingest.subscriber.is_none() || pruned.gives("/ingest/listener");
                let warnings = errors::placed(name, &node, warnings);
                let files = Arc::new(Files::new(name, node, topology.clone(), folder));
                let (folder, worker) = (folder.to_owned(), WORKER.to_owned());
                Ok(Self { topology, stages, files, folder, data, lake, listens, worker, warnings })
            }
            _ => Err(errors(mistakes, warnings)),
        }
    }

    /// The JSON Schema (draft 2020-12) of a topology file, for editors.
    pub fn json_schema() -> serde_json::Value {
        shape::json_schema()
    }

    /// Puts what the command line says in place of what the file says.
    ///
    /// # Errors
    /// When the result would listen to other machines without leave, or a path is no directory.
    pub fn apply(&mut self, overrides: Overrides) -> Result<(), ConfigErrors> {
        let mut mistakes = Vec::new();
        if let Some(listen) = overrides.listen {
            self.topology.ingest.listener.listen = Listen::At(listen);
            self.listens = true;
            let options = self.listener_options();
            let door = Door { scheme: Scheme::Mqtt, address: listen };
            mistakes.extend(sense::exposed(&options, door).map(|text| ("--listen", text)));
        }
        if overrides.console.is_some() {
            self.topology.console.listen = overrides.console;
        }
        if let Some(worker) = overrides.worker {
            self.worker = worker;
        }
        if let Some(data) = overrides.data {
            mistakes.extend(sense::no_directory(&data).map(|text| ("--data", text)));
            if self.lake.directory().is_some() {
                self.lake = LakeAddress::Directory(data.join("lake"));
            }
            self.data = data;
        }
        if mistakes.is_empty() { Ok(()) } else { Err(ConfigErrors::of_flags(mistakes)) }
    }

    /// What the file says, with the defaults for what it does not; [`Config::data`] and [`Config::lake`] have
    /// the paths.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The stages, ready to plan.
    pub fn stages(&self) -> &Stages {
        &self.stages
    }

    /// What the stages are made of beside the topology itself, to make them anew.
    pub fn files(&self) -> &Arc<Files> {
        &self.files
    }

    /// What paths in the file are relative to.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The directory of the database.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Where the datasets are.
    pub fn lake(&self) -> &LakeAddress {
        &self.lake
    }

    /// What is wrong with parts of the file that only the world could tell: pointers with what is wrong and the way out, as
    /// mistakes with their lines.
    pub fn mistakes_at(&self, found: Vec<(String, String)>) -> Vec<Mistake> {
        self.files.mistakes(found)
    }

    /// What is allowed, but probably not meant.
    pub fn warnings(&self) -> &[Mistake] {
        &self.warnings
    }
}

/// `path` as it is seen from `folder`, without the dots that say nothing.
fn resolved(folder: &Path, path: &Path) -> PathBuf {
    folder.join(path).components().collect()
}
