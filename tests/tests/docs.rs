//! Every command on every page runs as printed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use tests::page;

macro_rules! pages {
    ($($name:ident: $path:literal,)*) => {
        const PAGES: &[&str] = &[$($path),*];
        $(
            #[test]
            fn $name() {
                page::follow($path);
            }
        )*
    };
}

pages! {
    docs_readme: "README.md",
    docs_connecting: "docs/connecting.md",
    docs_alerts: "docs/alerts.md",
    docs_dead_letters: "docs/dead-letters.md",
    docs_device_table: "docs/device-table.md",
    docs_encodings: "docs/encodings.md",
    docs_engines: "docs/engines.md",
    docs_guarantees: "docs/guarantees.md",
    docs_lake: "docs/lake.md",
    docs_object_stores: "docs/object-stores.md",
    docs_operating: "docs/operating.md",
    docs_payloads: "docs/payloads.md",
    docs_performance: "docs/performance.md",
    docs_quarantine: "docs/quarantine.md",
}

#[test]
fn docs_leave_no_page_out() {
    let docs = root().join("docs");
    for page in fs::read_dir(docs).unwrap() {
        let name = format!("docs/{}", page.unwrap().file_name().to_string_lossy());
        assert!(PAGES.contains(&name.as_str()), "{name} has no test in tests/tests/docs.rs");
    }
}

/// A promise is only as good as the test that proves it.
#[test]
fn docs_name_tests_that_are_there() {
    let pages: Vec<_> = PAGES.iter().map(|path| fs::read_to_string(root().join(path)).unwrap()).collect();
    let sources: String =
        ["tests", "stages", "pipeline"].iter().map(|folder| sources(&root().join(folder))).collect();
    let mut named = 0;
    for word in pages.iter().flat_map(|page| page.split('`').skip(1).step_by(2)) {
        let is_name = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_';
        // Keys of the config and metrics are shorter.
        let is_test = word.matches('_').count() > 4 && word.chars().all(is_name);
        if word.ends_with(".rs") {
            assert!(root().join(word).is_file(), "there is no {word}");
        } else if is_test {
            // The table of clauses leaves out what all their names begin with.
            let is_there =
                ["", "conformance_"].iter().any(|start| sources.contains(&format!("fn {start}{word}")));
            assert!(is_there, "there is no test {word}");
        } else {
            continue;
        }
        named += 1;
    }
    assert!(named > 100, "{named} tests are named");
}

/// Which clauses an engine keeps is what its tests are. Prints the table, for whoever wants to see it.
#[test]
fn docs_say_what_each_engine_keeps() {
    let page = fs::read_to_string(root().join("docs/engines.md")).unwrap();
    let (_, table) = page.split_once("| clause |").unwrap();
    let suite = fs::read_to_string(root().join("tests/tests/conformance/main.rs")).unwrap();
    for (column, engine) in ["on_sqlite", "on_sqs_fifo", "on_sqs_standard"].into_iter().enumerate() {
        let (_, clauses) = suite.split_once(&format!("mod {engine} {{")).unwrap();
        let clauses = clauses.split("\nmod ").next().unwrap();
        let tested: Vec<&str> =
            clauses.lines().filter_map(|line| line.trim().strip_prefix("conformance_")).collect();
        let tested: Vec<&str> = tested.iter().map(|clause| clause.trim_end_matches(',')).collect();
        let mut said = Vec::new();
        for row in table.lines().skip(2) {
            let cells: Vec<&str> = row.trim_matches(['|', ' ']).split(" | ").collect();
            let word = cells[column + 1];
            if word == "yes" {
                said.push(cells[0].trim_matches('`'));
            } else {
                assert!(page.contains(&format!("\n| {word} | ")), "the page does not explain {word}");
            }
        }
        assert_eq!(sorted(said), sorted(tested), "{engine}");
    }
    // It is what the tests say by now.
    print!("\n| clause |{table}");
}

fn sorted(mut names: Vec<&str>) -> Vec<&str> {
    names.sort_unstable();
    names
}

/// All Rust below a folder.
fn sources(folder: &Path) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all += &sources(&path);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all += &fs::read_to_string(path).unwrap();
        }
    }
    all
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
