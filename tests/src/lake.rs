//! The lake, read with DuckDB.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::{Child, site::root};

/// Asserts that the rows of the CSV files are in `readings` of the lake, each once, with its exact time and value,
/// and nothing else; returns how many rows there are.
///
/// # Panics
/// When they are not.
pub fn holds_exactly(lake: &Path, files: &[PathBuf]) -> u64 {
    let mut command = python("compare.py");
    command.arg(lake).args(files);
    Child::start(command).ended().well().json()["rows"].as_u64().expect("a number of rows")
}

/// The rows of a query, as objects; it runs in the directory of the lake.
///
/// # Panics
/// When it fails.
pub fn query(lake: &Path, sql: &str) -> Vec<Value> {
    let mut command = python("query.py");
    command.current_dir(lake).arg(sql);
    match Child::start(command).ended().well().json() {
        Value::Array(rows) => rows,
        other => panic!("no list of rows: {other}"),
    }
}

/// Somebody who reads all of `readings` over and over, and fails on a file that cannot be read, a row that is there
/// twice, and a row that is there no more. SIGTERM ends it; then it says how often it read.
pub fn watch(lake: &Path) -> Child {
    let mut command = python("watch.py");
    command.arg(lake);
    Child::start(command)
}

/// The series in this folder.
pub fn series() -> Vec<PathBuf> {
    ["boiler.csv", "tide-gauge.csv"].map(data).into()
}

/// A script of this folder, run where Python's packages are installed.
///
/// # Panics
/// When it is not.
pub(crate) fn python(script: &str) -> Command {
    let python = root().join("target/test-venv/bin/python");
    assert!(
        python.is_file(),
        "there is no {}: run tests/run.sh, which installs {} there",
        python.display(),
        include_str!("../data/requirements.txt").lines().collect::<Vec<_>>().join(" and ")
    );
    let mut command = Command::new(python);
    command.arg(data(script));
    command
}

fn data(name: &str) -> PathBuf {
    root().join("tests/data").join(name)
}

/// The Parquet files that a reader of the directory finds.
///
/// # Panics
/// When a directory cannot be read.
pub fn files(lake: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![lake.to_owned()];
    while let Some(directory) = directories.pop() {
        // There may be no lake yet.
        for entry in fs::read_dir(directory).into_iter().flatten() {
            let path = entry.unwrap().path();
            let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if path.is_dir() && !is_hidden {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "parquet") {
                found.push(path);
            }
        }
    }
    found
}
