//! `millstream check`, as a user runs it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::{Value, json};

fn check(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_millstream")).arg("check").args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn the_examples_are_without_mistakes() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    for name in ["replay.yaml", "factory.yaml", "gateway.yaml"] {
        let output = check(&["-c", examples.join(name).to_str().unwrap()]);
        let said = stdout(&output);
        assert_eq!(output.status.code(), Some(0), "{name}: {said}");
        assert!(said.starts_with("ok: mqtt://127.0.0.1:1883, 4 lanes"), "{name}: {said}");
        assert!(!said.contains("warning"), "{name}: {said}");
    }
}

#[test]
fn without_a_file_the_default_is_checked() {
    let output = check(&[]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).contains("devices/{device}/telemetry with builtin:device_sim"));
}

#[test]
fn mistakes_end_with_2_and_name_file_and_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("millstream.yaml");
    fs::write(&file, "lanes: 0\nanalyze: {dedupe_secs: 1}\ntopics:\n  - patern: a\n").unwrap();
    let name = file.to_str().unwrap();

    let output = check(&["-c", name]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        stdout(&output).replace(name, "FILE").lines().collect::<Vec<_>>(),
        [
            "FILE:1:8: lanes: expected at least 1, got 0",
            "FILE:4:5: topics[0] needs the key pattern",
            "FILE:4:5: topics[0].patern is not a known key; did you mean pattern?",
            "warning: FILE:2:24: analyze.dedupe_secs: 1 is less than allowed_lateness_secs (60); repeats older than 1 s are stored again",
            "3 mistakes",
        ]
    );

    let output = check(&["-c", name, "--json"]);
    assert_eq!(output.status.code(), Some(2));
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(report["ok"], false);
    assert_eq!(report["warnings"][0]["line"], 2);
    assert_eq!(
        report["mistakes"][0],
        json!({
            "file": name,
            "line": 1,
            "column": 8,
            "pointer": "/lanes",
            "message": "lanes: expected at least 1, got 0",
        })
    );
}

#[test]
fn a_missing_file_ends_with_2() {
    let output = check(&["-c", "nowhere/millstream.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    let said = stdout(&output);
    assert!(said.starts_with("nowhere/millstream.yaml: cannot read the config: No such file"), "{said}");
}

#[test]
fn the_default_and_the_schema_can_be_printed_and_fit() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("millstream.yaml");
    fs::write(&file, check(&["--print-default"]).stdout).unwrap();
    assert_eq!(check(&["-c", file.to_str().unwrap()]).status.code(), Some(0));

    let schema: Value = serde_json::from_slice(&check(&["--print-schema"]).stdout).unwrap();
    assert_eq!(schema["properties"]["lanes"]["maximum"], 1024);
}
