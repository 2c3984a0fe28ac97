//! The files that a topology names, and the stages that are made of them: stages touch no file.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use stages::{
    topic::ConfigMistake,
    transform::{DeviceTable, Transform},
    validate::{Schemas, Validate},
};

use super::{ConfigErrors, Mistake, errors::placed, finding::Finding, topology::Topology, yaml::Node};

/// How large a config or schema file may be, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// What it takes to make the stages that read files anew, of the same topology.
#[derive(Debug)]
pub struct Files {
    /// The topology file as the user named it.
    name: String,
    node: Node,
    topology: Topology,
    folder: PathBuf,
}

impl Files {
    pub(super) fn new(name: &str, node: Node, topology: Topology, folder: &Path) -> Self {
        Self { name: name.to_owned(), node, topology, folder: folder.to_owned() }
    }

    /// validate, with its schemas as they are now.
    ///
    /// # Errors
    /// Every mistake, with the place in the topology file that leads to it.
    pub fn validate(&self) -> Result<Validate, ConfigErrors> {
        validate(&self.topology, &self.folder).map_err(|findings| self.errors(findings))
    }

    /// validate, as if every topic had the JSON Schema in the file with this absolute path.
    ///
    /// # Errors
    /// Why the schema cannot be used.
    pub fn validate_with(&self, schema: &Path) -> Result<Validate, String> {
        let mut topics = self.topology.topics.clone();
        for topic in &mut topics {
            topic.schema = Some(schema.to_string_lossy().into_owned());
        }
        Validate::new(&topics, &schemas(&self.folder)).map_err(|mistakes| {
            mistakes.into_iter().map(|mistake| mistake.message).next().unwrap_or_default()
        })
    }

    /// transform, with the device table as it is now.
    ///
    /// # Errors
    /// Every mistake, with the place in the topology file that leads to it.
    pub fn transform(&self) -> Result<Transform, ConfigErrors> {
        transform(&self.topology, &self.folder).map_err(|findings| self.errors(findings))
    }

    /// The device table, if there is one.
    pub fn device_table(&self) -> Option<PathBuf> {
        self.topology.devices.table.as_ref().map(|table| self.folder.join(table))
    }

    /// See [`Config::mistakes_at`](super::Config::mistakes_at).
    pub(super) fn mistakes(&self, found: Vec<(String, String)>) -> Vec<Mistake> {
        let findings = found.into_iter().map(|(pointer, text)| Finding::of_value(&pointer, text));
        placed(&self.name, &self.node, findings.collect())
    }

    fn errors(&self, findings: Vec<Finding>) -> ConfigErrors {
        ConfigErrors::of_findings(&self.name, &self.node, findings, Vec::new())
    }
}

/// The stage validate of a topology in `folder`.
pub(super) fn validate(topology: &Topology, folder: &Path) -> Result<Validate, Vec<Finding>> {
    Validate::new(&topology.topics, &schemas(folder)).map_err(of_topics)
}

/// The schema files that paths in `folder` lead to.
fn schemas(folder: &Path) -> Schemas {
    Schemas::new(folder.to_string_lossy(), |path: &str| {
        read_file(Path::new(path)).map_err(|error| error.to_string())
    })
}

/// The stage transform of a topology in `folder`.
pub(super) fn transform(topology: &Topology, folder: &Path) -> Result<Transform, Vec<Finding>> {
    let read = |devices: Option<&Arc<DeviceTable>>| {
        Transform::with_devices(&topology.topics, topology.lanes, devices).map_err(of_topics)
    };
    match device_table(topology, folder) {
        Ok(devices) => read(devices.as_ref()),
        Err(mut findings) => {
            // Which columns there are is not known: that they are missing would be told in vain.
            let others = read(None).err().unwrap_or_default();
            findings.extend(others.into_iter().filter(|finding| !is_of_table(&finding.pointer)));
            Err(findings)
        }
    }
}

pub(super) fn of_topics(mistakes: Vec<ConfigMistake>) -> Vec<Finding> {
    let finding =
        |mistake: ConfigMistake| Finding::of_value(&format!("/topics{}", mistake.pointer), mistake.message);
    mistakes.into_iter().map(finding).collect()
}

/// Whether `pointer` names the column of a tag: `/topics/0/transform/tags/site/table`.
fn is_of_table(pointer: &str) -> bool {
    let mut tokens = pointer.rsplit('/');
    tokens.next() == Some("table") && tokens.nth(1) == Some("tags")
}

fn device_table(topology: &Topology, folder: &Path) -> Result<Option<Arc<DeviceTable>>, Vec<Finding>> {
    let finding = |text| Finding::of_value("/devices/table", text);
    let Some(table) = &topology.devices.table else { return Ok(None) };
    let path = folder.join(table);
    let text = read_file_of(&path, topology.devices.table_bytes_max).map_err(|error| {
        vec![finding(format!("cannot use the device table {table}: cannot read {}: {error}", path.display()))]
    })?;
    let mistakes = match DeviceTable::read(&text) {
        Ok(devices) => return Ok(Some(Arc::new(devices))),
        Err(mistakes) => mistakes,
    };
    Err(mistakes.iter().map(|mistake| finding(format!("{}:{mistake}", path.display()))).collect())
}

/// The text of a regular file of bearable size.
pub(super) fn read_file(path: &Path) -> io::Result<String> {
    read_file_of(path, FILE_BYTES_MAX)
}

/// The text of a regular file of at most `bytes_max` bytes.
fn read_file_of(path: &Path, bytes_max: u64) -> io::Result<String> {
    let file = fs::File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::Error::other("it is a directory, not a file"));
    }
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::Error::other(format!("it is larger than {bytes_max} bytes")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        io::Error::other(format!("it is not UTF-8 text, first on line {}", line + 1))
    })
}
