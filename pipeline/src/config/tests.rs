//! Tables of configs and of what people are told of them.

use std::{fs, path::Path};

use serde_json::Value;
use tempfile::TempDir;

use super::*;

mod examples;
mod groups;
mod payloads;
mod sense;
mod shape;
mod sqs;
mod subscriber;
mod yaml;

/// A folder for a config, with the schema files that the tests name.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        ("any.json", "{}"),
        ("broken.json", "{"),
        ("wrong.json", r#"{"type": "strin"}"#),
        ("remote.json", r#"{"$ref": "https://example.com/other.json"}"#),
        ("local.json", r##"{"$ref": "parts/text.json"}"##),
        ("dangling.json", r#"{"$ref": "parts/gone.json"}"#),
        ("parts/text.json", r#"{"type": "string"}"#),
        ("parts/devices.csv", "device_id,site\na,hall\n"),
        ("ragged.csv", "device_id,site\na,hall\nb\na,roof\n"),
        ("large.csv", &("device_id,site\n".to_owned() + &" ".repeat(1024))),
    ];
    fs::create_dir(folder.path().join("parts")).unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn read(folder: &Path, yaml: &str) -> Result<Config, ConfigErrors> {
    Config::read("m.yaml", yaml, folder)
}

/// What a user sees of `yaml` instead of a running pipeline.
fn mistakes(yaml: &str) -> Vec<String> {
    let folder = folder();
    let here = folder.path().to_str().unwrap();
    match read(folder.path(), yaml) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.to_string().replace(here, "HERE").lines().map(str::to_owned).collect(),
    }
}

/// Holds each config against the lines that a user must see, without the `m.yaml:` that each begins with.
fn check(table: &[(&str, &[&str])]) {
    for (yaml, expected) in table {
        let expected: Vec<_> = expected.iter().map(|line| format!("m.yaml:{line}")).collect();
        assert_eq!(mistakes(yaml), expected, "of the config\n{yaml}");
    }
}

#[test]
fn an_empty_file_means_the_defaults() {
    let folder = folder();
    for yaml in ["", "# nothing\n", "---\n", "{}", "~"] {
        assert_eq!(read(folder.path(), yaml).unwrap().topology(), &Topology::default(), "of {yaml:?}");
    }
}

#[test]
fn the_default_file_says_every_key_and_its_default() {
    let config = Config::load(None).unwrap();
    let mut topology = config.topology().clone();
    // Written out there, because people will want to change it.
    assert!(topology.topics[0].transform.take().is_some());
    assert_eq!(topology, Topology::default());
    assert_eq!(config.warnings(), []);

    let written = Node::read(DEFAULT).unwrap().value();
    let known = serde_json::to_value(Topology::default()).unwrap();
    fn assert_says(written: &Value, known: &Value) {
        for (key, below) in known.as_object().into_iter().flatten() {
            assert!(written.get(key).is_some(), "default.yaml lacks {key}");
            assert_says(&written[key], below);
        }
    }
    assert_says(&written, &known);
}

/// Those that hang on the engine, which nobody writes out by copying the file.
#[test]
fn the_default_file_shows_the_defaults_of_the_embedded_engine() {
    let topology = Topology::default();
    for (key, value) in [
        ("frame_bytes_max", topology.ingest_frame_bytes_max()),
        ("frame_rows_max", topology.ingest_frame_rows_max().into()),
        ("linger_ms", topology.linger_ms().into()),
        ("buffer_bytes_max", topology.buffer_bytes_max()),
        ("frame_bytes_max", topology.queues.frame_bytes_max()),
        ("packet_bytes_max", topology.subscriber_packet_bytes_max().into()),
    ] {
        assert!(DEFAULT.contains(&format!(" # {key}: {value}")), "default.yaml lacks {key}: {value}");
    }
}

#[test]
fn paths_start_from_the_folder_of_the_file() {
    let folder = folder();
    let config =
        read(folder.path(), "data: d\ntopics: [{pattern: 'd/{device}', schema: local.json}]").unwrap();
    assert_eq!(config.data(), folder.path().join("d"));
    assert_eq!(config.lake().directory(), Some(&*folder.path().join("d/lake")));
    let config = read(folder.path(), "store: {lake: /lake}").unwrap();
    assert_eq!(config.lake().directory(), Some(Path::new("/lake")));
}

#[test]
fn flags_take_the_place_of_what_the_file_says() {
    let folder = folder();
    let mut config = read(folder.path(), "store: {lake: elsewhere}").unwrap();
    let listen = Some("127.0.0.1:0".parse().unwrap());
    config
        .apply(Overrides { listen, data: Some(folder.path().join("other")), ..Overrides::default() })
        .unwrap();
    assert_eq!(config.topology().ingest.listener.listen.to_string(), "127.0.0.1:0");
    assert_eq!(config.lake().directory(), Some(&*folder.path().join("other/lake")));

    let data = folder.path().join("any.json");
    let overrides = Overrides {
        listen: Some("0.0.0.0:1883".parse().unwrap()),
        data: Some(data.clone()),
        ..Overrides::default()
    };
    let errors = config.apply(overrides).unwrap_err().to_string();
    let lines: Vec<_> = errors.lines().collect();
    assert!(lines[0].starts_with("--listen: 0.0.0.0:1883 can be reached from other machines"), "{errors}");
    assert!(lines[1].starts_with(&format!("--data: {} is there", data.display())), "{errors}");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = folder();
    let path = folder.path().join("gone.yaml");
    let errors = Config::load(Some(&path)).unwrap_err().to_string();
    let expected = format!("{}: cannot read the config: No such file or directory", path.display());
    assert!(errors.starts_with(&expected), "{errors}");

    let path = folder.path().join("latin1.yaml");
    fs::write(&path, b"data: a\n# \xfc\n").unwrap();
    let errors = Config::load(Some(&path)).unwrap_err().to_string();
    assert!(errors.ends_with("it is not UTF-8 text, first on line 2"), "{errors}");

    let errors = Config::load(Some(folder.path())).unwrap_err().to_string();
    assert!(errors.ends_with("it is a directory, not a file"), "{errors}");
}
